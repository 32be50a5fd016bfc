"""What a loss sees of a training step, and how losses are listed.

Shapes: R rows (RoIs, anchors, queries) of all images of a rank, N of them on
known objects, K known classes, C feature channels, (c, h, w) pooled maps.
"""

from __future__ import annotations

import inspect
from collections.abc import (
    Callable,
    ItemsView,
    Iterable,
    Mapping,
    Sequence,
    ValuesView,
)
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from torch import Tensor, nn

from mmood.registry import MODELS
from mmood.scores import MaskQueries, Samples, View
from mmood.scores.samples import Part

# Labels beside those of the classes 0..K-1.
BACKGROUND, IGNORE, OUTLIER = -1, -2, -3


@dataclass
class Batch:
    """What a training step shows, on one rank: R rows, or maps.

    logits: (R, K + extra), of the known classes, then of unknown where the
        head has such a class, then of the background where it has one.
    labels: (R,), a class, `BACKGROUND`, `IGNORE` or `OUTLIER`.
    features: (R, C), what the classifier gets.
    num_classes: K.
    classify: from features (n, C) to logits (n, K + extra).
    inputs: (R, c, h, w), what the box head gets.
    view: from inputs to their `Samples`.
    look: the known rows on other maps of the neck, by the maps' name; with
        True behind it without gradients into the maps.
    jitter: inputs (N, c, h, w) of the known rows' boxes, moved a little.
    flagged: rows annotated as OOD, which are not among the R.
    outliers: what the source of outliers made, with the flagged rows; None
        while nothing counts. `ood_losses` fills it in.
    ious: (R,) with the object of a row, 0 for background.
    kind: what the logits are of, see `Samples`.
    queries: of maps, the `MaskQueries` of heads that classify masks.
    layers: of each decoder layer all queries: features (n, C), labels (n,).
    iteration, max_iters: how many steps have passed, of how many.

    What a head does not have is None. Raises ValueError for rows that do not
    belong together, and for logits of fewer than K columns.
    """

    logits: Part = None
    labels: Part = None
    features: Part = None
    num_classes: int = 0
    classify: Callable[[Tensor], Tensor] | Any = None
    inputs: Part = None
    view: View | Any = None
    look: Callable[..., Samples] | Any = None
    jitter: Callable[[], Tensor] | Any = None
    flagged: Samples | Any = None
    outliers: Samples | Any = None
    ious: Part = None
    kind: str = 'softmax'
    queries: MaskQueries | Any = None
    layers: Callable[[], list[tuple[Tensor, Tensor]]] | Any = None
    iteration: int = 0
    max_iters: int | None = None

    def __post_init__(self) -> None:
        names = ('logits', 'labels', 'features', 'inputs', 'ious')
        parts = {name: getattr(self, name) for name in names}
        rows = {k: len(v) for k, v in parts.items() if v is not None}
        if len(set(rows.values())) > 1:
            raise ValueError(f'a Batch needs one row of each, got {rows}')
        shape = None if self.logits is None else tuple(self.logits.shape)
        if shape and not 1 <= self.num_classes <= shape[1]:
            raise ValueError(
                f'logits of shape {shape} do not have num_classes='
                f'{self.num_classes} columns'
            )

    @property
    def is_known(self) -> Tensor:
        """Which rows are on an object of a known class, (R,) bool."""
        return self.labels >= 0

    @property
    def is_background(self) -> Tensor:
        """Which rows are on no object, (R,) bool."""
        return self.labels == BACKGROUND

    @cached_property
    def known_rows(self) -> Tensor:
        """Places (N,) of the known rows. Waits for the device, once."""
        return self.is_known.nonzero()[:, 0]

    @cached_property
    def object_rows(self) -> Tensor:
        """Places (n,) of rows on known objects or labelled `OUTLIER`.

        Waits for the device, once.
        """
        return (self.is_known | (self.labels == OUTLIER)).nonzero()[:, 0]

    @cached_property
    def known(self) -> Samples:
        """The known rows; logits (N, K) of the known classes."""
        known = self.rows(self.known_rows)
        if self.inputs is not None:
            known.inputs, known.view = self.inputs[self.known_rows], self.view
        return known

    @cached_property
    def inliers(self) -> Samples:
        """The known rows and those on no object, as they stand."""
        rows = self.is_known | self.is_background
        return self.rows(rows.nonzero()[:, 0])

    @property
    def known_labels(self) -> Tensor:
        """Their classes, (N,)."""
        return self.labels[self.known_rows]

    @property
    def progress(self) -> float:
        """Share of the training that has passed; 0 if its length is open."""
        return self.iteration / self.max_iters if self.max_iters else 0.0

    def rows(self, places: Tensor) -> Samples:
        """Rows at some places: logits (n, K) of known classes, features."""
        return Samples(
            logits=self.logits[places, : self.num_classes],
            features=self.features[places],
            kind=self.kind,
        )

    def classified(self, features: Tensor) -> Samples:
        """What the classifier says of features (n, C), with gradients."""
        logits = self.classify(features)[:, : self.num_classes]
        return Samples(logits=logits, features=features, kind=self.kind)

    def contrast(self, background: bool = False) -> tuple[Samples, Samples]:
        """What a loss tells apart: known rows and outliers.

        Both are empty, but have a graph, while ``outliers`` is None. With
        ``background`` rows on no object count as known.
        """
        if self.outliers is None:
            return self.known[:0], self.known[:0]
        return self.inliers if background else self.known, self.outliers


class OODLoss(nn.Module):
    """Base of the losses that see a `Batch`.

    A constructor may ask for ``num_classes`` (K), ``in_channels`` (C) and
    ``num_layers``, the decoder layers that classify by themselves.
    A subclass says what it needs from others, which is checked before the
    first iteration.
    """

    needs_outliers = False  # a source of outliers beside it
    reads: tuple[str, ...] = ()  # of a `Batch`, beside rows and labels
    kinds: tuple[str, ...] = ('softmax', 'sigmoid')  # of logits
    maps: tuple[str, ...] = ()  # of the neck, by name
    of_pixels = False  # its `Batch` holds maps of a segmentor's pixels

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Scalars by name, each a mean over all ranks; {} for none.

        A collective call: every rank makes it, also without a row.
        """
        raise NotImplementedError


Loss = TypeVar('Loss', bound=OODLoss)


class LossDict(nn.ModuleDict):
    """Losses by name, as parts of a model."""

    if TYPE_CHECKING:

        def values(self) -> ValuesView[OODLoss]: ...

        def items(self) -> ItemsView[str, OODLoss]: ...


def ood_losses(
    batch: Batch,
    losses: Mapping[str, OODLoss] | LossDict,
    source: Any = None,
) -> dict[str, Tensor]:
    """All losses of a step, and those of the `mmood.outliers` source.

    Rows annotated as OOD join the outliers once the source is active.
    Losses of one name are added up. A collective call.
    """
    found: dict[str, Tensor] = {}
    if source is not None:
        batch.outliers, found = source(batch)
        if batch.flagged is not None and source.is_active(batch):
            batch.outliers = _joined(batch.outliers, batch.flagged)
        count = 0 if batch.outliers is None else len(batch.outliers)
        source.activity.add(count)
    for loss in losses.values():
        for name, value in loss(batch).items():
            found[name] = found[name] + value if name in found else value
    return found


def _joined(made: Samples | None, flagged: Samples) -> Samples | None:
    """Both; known rows do not count for the sake of no flagged one."""
    if not len(flagged):
        return made
    return flagged if made is None else Samples.cat(made, flagged)


def build_part(config: dict, **sizes: int | None) -> nn.Module:
    """A loss or source with those sizes that its constructor asks for.

    A ``name`` in the config is not for the constructor. Raises ValueError
    for what is no config with a type.
    """
    if not isinstance(config, Mapping) or 'type' not in config:
        raise ValueError(
            "losses and outliers are dicts, such as dict(type='mmood."
            f"UncertaintyLoss'), got {config!r}"
        )
    kind = config['type']
    kind = MODELS.get(kind) if isinstance(kind, str) else kind
    asked = () if kind is None else inspect.signature(kind).parameters
    known = {name: size for name, size in sizes.items() if name in asked}
    own = {key: value for key, value in config.items() if key != 'name'}
    return MODELS.build({**known, **own})


def build_losses(
    configs: Sequence[dict], *, of_pixels: bool = False, **sizes: int | None
) -> LossDict:
    """Losses by the name of their class, or the ``name`` of their config.

    Raises ValueError for what is no list, for a name that comes twice or
    cannot be a part of a checkpoint's keys, for what is no `OODLoss`, and
    for losses on pixels among others or the reverse.
    """
    if not isinstance(configs, (list, tuple)):
        raise ValueError(f'losses must be a list of configs, got {configs!r}')
    losses = LossDict()
    for config in configs:
        loss = build_part(config, **sizes)
        name = config.get('name') or type(loss).__name__
        if not isinstance(loss, OODLoss):
            raise ValueError(f'losses has {name}, which is no mmood.OODLoss')
        if name in losses:
            raise ValueError(
                f'losses has {name} twice: give one of them another name'
            )
        if '.' in name or hasattr(losses, name):
            raise ValueError(
                f'a loss cannot be called {name!r}: its name becomes a part '
                "of the checkpoint's keys"
            )
        if loss.of_pixels != of_pixels:
            raise ValueError(
                f'{name} is a loss on {"pixels" if loss.of_pixels else "rows"}'
                ': losses on pixels, and no others, are listed in '
                "a segmentor's pixel_losses"
            )
        losses[name] = loss
    return losses


def find_loss(
    losses: Iterable[nn.Module], kind: type[Loss], score: str
) -> Loss:
    """The loss of a class that trains a score.

    Raises ValueError that says which loss to add.
    """
    for loss in losses:
        if isinstance(loss, kind):
            return loss
    where = 'pixel_losses' if kind.of_pixels else 'losses'
    raise ValueError(
        f'the score {score!r} is trained by mmood.{kind.__name__}: add '
        f"dict(type='mmood.{kind.__name__}') to {where}"
    )
