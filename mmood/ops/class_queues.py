"""The newest features of each class, the same on all ranks.

Shapes: N samples, K classes, C channels, Q places per class.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .gather import gather_labelled


class ClassQueues(nn.Module):
    """First in, first out: the newest ``size`` vectors of each class.

    Buffers, so in checkpoints: ``memory`` (K, Q, C), a ring per class whose
    sample number i lies at place ``i % Q``, and ``seen`` (K,), how many
    samples were ever added. Q is ``size``; of queues that grow it is at
    first 0, and at most twice what the fullest class needs.

    Args:
        num_classes: K.
        channels: C.
        size: of each queue.
        grows: take memory, and room in checkpoints, as the queues fill.
        dtype: of the memory.

    Raises ValueError for a K, C or size below 1.
    """

    memory: Tensor
    seen: Tensor
    exact_buffers = ('memory', 'seen')

    def __init__(
        self,
        num_classes: int,
        channels: int,
        size: int,
        *,
        grows: bool = False,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__()
        shape = num_classes, channels, size
        if min(shape) < 1:
            raise ValueError(
                'num_classes, channels and size of the queues must be at '
                f'least 1, got {shape}'
            )
        self.size, self.grows = size, grows
        places = 0 if grows else size
        memory = torch.zeros(num_classes, places, channels, dtype=dtype)
        self.register_buffer('memory', memory)
        self.register_buffer('seen', torch.zeros(num_classes).long())

    @property
    def counts(self) -> Tensor:
        """How many samples each class holds now, (K,)."""
        return self.seen.clamp(max=self.size)

    @property
    def is_full(self) -> Tensor:
        """Which classes hold ``size`` samples, (K,) bool."""
        return self.seen >= self.size

    @property
    def means(self) -> Tensor:
        """Mean of what each class holds, (K, C); 0 for an empty class."""
        held = self._held[..., None]
        total = self.memory.masked_fill(~held, 0).sum(1)
        return total / self.counts.clamp(min=1)[:, None]

    def samples(self) -> tuple[Tensor, Tensor]:
        """All that is held now, (M, C), and the classes, (M,); a copy."""
        held = self._held
        return self.memory[held], held.nonzero()[:, 0]

    @property
    def _held(self) -> Tensor:
        """Which places are taken, (K, Q) bool: always the first ones."""
        places = torch.arange(self.memory.shape[1], device=self.seen.device)
        return places < self.counts[:, None]

    @torch.no_grad()
    def add(self, features: Tensor, labels: Tensor) -> None:
        """Append features (N, C) of classes (N,) of this and other ranks.

        The order is that of the ranks, then of the batch. A collective
        call: every rank makes it, even with N = 0. Raises as `append` does.
        """
        self.append(*gather_labelled(features, labels))

    @torch.no_grad()
    def append(self, features: Tensor, labels: Tensor) -> None:
        """Append rows that all ranks have alike; not a collective call.

        Raises ValueError, on all ranks, for values that are not finite and
        for labels outside of [0, K); the queues stay as they were.
        """
        self._check(features, labels)
        order, number = by_class(labels, len(self.seen))
        features = features[order].to(self.memory.dtype)
        labels = labels[order]
        counts = class_counts(labels, len(self.seen))
        if self.grows:
            self._make_room(counts)
        size = max(self.memory.shape[1], 1)
        # Of those that share a place all write the newest one's features: a
        # mask of the newest would wait for the device.
        later = (counts[labels] - 1 - number) // size
        newest = torch.arange(len(labels), device=labels.device) + later * size
        place = (self.seen[labels] + number) % size
        self.memory[labels, place] = features[newest]
        self.seen += counts

    def _make_room(self, counts: Tensor) -> None:
        """For so many more of each class (K,); no ring comes round before
        it has its whole size."""
        held = self.memory.shape[1]
        needed = min(self.size, int((self.seen + counts).max()))
        if needed > held:
            places = min(self.size, max(needed, 2 * held))
            self.memory = F.pad(self.memory, (0, 0, 0, places - held))

    def _check(self, features: Tensor, labels: Tensor) -> None:
        bad = (~torch.isfinite(features)).any(1).sum()
        outside = (labels < 0) | (labels >= len(self.seen))
        # Together, to wait for the device only once.
        bad, strange = torch.stack([bad, outside.sum()]).tolist()
        if bad:
            raise ValueError(
                f'{bad} of {len(features)} samples for the class queues have '
                'nan or infinite features: the training diverges, lower the '
                'learning rate'
            )
        if strange:
            got = labels[outside].unique().tolist()
            raise ValueError(
                f'labels for the class queues must be in [0, '
                f'{len(self.seen)}), got {got}: leave out background samples'
            )

    def _load_from_state_dict(
        self, state_dict: dict, prefix: str, *args, **kwargs
    ) -> None:
        """A checkpoint of another queue size leaves the queues empty.

        Its mismatch is reported by the loader; ``seen`` alone would fit.
        Queues that grow take any that have not come round.
        """
        given = state_dict.get(f'{prefix}memory')
        if self.grows and given is not None and given.dim() == 3:
            own = len(self.memory), given.shape[1], self.memory.shape[2]
            seen = state_dict.get(f'{prefix}seen', self.seen)
            is_whole = given.shape[1] == self.size
            fits = given.shape == own and given.shape[1] <= self.size
            if fits and (is_whole or not (seen > given.shape[1]).any()):
                self.memory = self.memory.new_zeros(own)
            else:  # as empty as new ones
                self.memory = self.memory[:, :0]
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)
        memory = state_dict.get(f'{prefix}memory', self.memory)
        if memory.shape != self.memory.shape:
            self.seen.zero_()


def class_counts(labels: Tensor, num_classes: int) -> Tensor:
    """How many labels (N,) are of each class, (K,).

    As ``bincount``, which waits for the device.
    """
    classes = torch.arange(num_classes, device=labels.device)
    return (labels[:, None] == classes).sum(0)


def by_class(labels: Tensor, num_classes: int) -> tuple[Tensor, Tensor]:
    """The stable order that sorts labels (N,), and their numbers, (N,).

    ``numbers[i]`` counts the samples of the class of ``labels[order[i]]``
    that are before it. Labels are in [0, num_classes).
    """
    order = labels.argsort(stable=True)
    counts = class_counts(labels, num_classes)
    first = counts.cumsum(0) - counts
    places = torch.arange(len(labels), device=labels.device)
    return order, places - first[labels[order]]
