"""A block beside a frozen segmentor that learns what outliers change.

Paper: Liu et al., "Residual Pattern Learning for Pixel-wise
Out-of-Distribution Detection in Semantic Segmentation" (RPL), ICCV 2023.

Shapes: B images, C channels, K classes, H x W pixels, h x w cells.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmood.ops import rank_mean
from mmood.registry import MODELS
from mmood.scores import Samples, energy, entropy, register_score

from .batch import OUTLIER, Batch, find_loss
from .pixels import PixelLoss


class ResidualBlock(nn.Module):
    """Atrous spatial pyramid pooling, (B, C, h, w) -> (B, C', h, w).

    A convolution of one pixel, a dilated one of 3 x 3 for each of
    ``dilations`` and the mean over the image, side by side, then two
    convolutions of one pixel; the last one starts at zero.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        channels: int,
        dilations: Sequence[int],
    ) -> None:
        super().__init__()
        sizes = [(1, 1), *((3, dilation) for dilation in dilations)]
        self.branches = nn.ModuleList(
            _normed(in_channels, channels, size, dilation)
            for size, dilation in sizes
        )
        self.pooled = _normed(in_channels, channels, 1, 1)
        width = channels * (len(sizes) + 1)
        self.bottleneck = nn.Conv2d(width, channels, 1, bias=False)
        self.out = nn.Conv2d(channels, out_channels, 1, bias=False)
        nn.init.zeros_(self.out.weight)

    def forward(self, x: Tensor, size: Sequence[int] | None = None) -> Tensor:
        """Of ``size`` (h, w), by default that of x."""
        found = [branch(x) for branch in self.branches]
        mean = self.pooled(x.mean((2, 3), keepdim=True))
        found.append(mean.expand_as(found[0]))
        x = self.bottleneck(torch.cat(found, 1))
        if size is not None and tuple(size) != tuple(x.shape[2:]):
            x = F.interpolate(
                x, tuple(size), mode='bilinear', align_corners=True
            )
        return self.out(x)


def _normed(
    in_channels: int, channels: int, size: int, dilation: int
) -> nn.Sequential:
    padding = dilation * (size // 2)
    convolution = nn.Conv2d(
        in_channels,
        channels,
        size,
        padding=padding,
        dilation=dilation,
        bias=False,
    )
    return nn.Sequential(convolution, nn.BatchNorm2d(channels), nn.ReLU())


@MODELS.register_module()
class RPLLoss(PixelLoss):
    """Teach a `ResidualBlock` to keep known pixels and flatten outliers.

    The block sees what the module ``source`` of the segmentor gets; what it
    makes is added to what the module ``target`` gets, which gives other
    logits z' beside z, those of the segmentor as it is. Three terms, each a
    mean over the pixels of all ranks:

    - ``loss_rpl_class``: cross-entropy of z' to argmax z, known pixels;
    - ``loss_rpl_entropy``: ``(H(z') - H(z))^2``, known pixels;
    - ``loss_rpl_energy``: ``w relu(log sum_k exp(z'_k))``, outliers.

    Class maps stay those of z; the score ``rpl`` is the energy of z'. With
    ``trains=[]`` and ``supervised=False`` in the segmentor nothing but the
    block learns, as published. Its last layer starts at zero, so z' = z at
    first; the public code draws it at random and copies the rest from the
    segmentor's own pooling. The contrastive loss CoroCL is left out.
    Source: RPL; w, the dilations and the width are the public code's.

    Args:
        source: name of a module of the segmentor whose input the block sees;
            one of the decode head, which alone is run again.
        target: name of one to whose input the block's output is added.
        source_channels: of that input.
        target_channels: of that one.
        channels: of each branch of the block.
        dilations: of its branches.
        energy_weight: w.

    Raises ValueError for sizes below 1; `attach` for names of no module, and
    the pass itself for inputs of other widths.
    """

    reads = ('view',)
    kinds = ('softmax',)

    def __init__(
        self,
        source_channels: int,
        target_channels: int,
        *,
        source: str = 'decode_head.aspp_modules',
        target: str = 'decode_head.sep_bottleneck',
        channels: int = 256,
        dilations: Sequence[int] = (12, 24, 36),
        energy_weight: float = 0.05,
    ) -> None:
        super().__init__()
        sizes = source_channels, target_channels, channels, *dilations
        if min(sizes) < 1:
            raise ValueError(
                'source_channels, target_channels, channels and dilations '
                f'must be at least 1, got {sizes}'
            )
        self.names = source, target
        self.widths = source_channels, target_channels
        self.energy_weight = energy_weight
        self.block = ResidualBlock(
            source_channels, target_channels, channels, dilations
        )
        self._places: tuple[nn.Module, ...] = ()

    def attach(self, model: nn.Module) -> None:
        modules = dict(model.named_modules())
        for key, name in zip(('source', 'target'), self.names):
            if name.split('.')[0] == 'backbone':
                raise ValueError(
                    f'RPLLoss has {key}={name!r}, and the backbone is not run '
                    'again: name a part of the decode head, such as the one '
                    "that gets the backbone's map"
                )
            if name not in modules:
                outer = modules.get(name.rpartition('.')[0], model)
                near = [child for child, _ in outer.named_children()]
                raise ValueError(
                    f'RPLLoss has {key}={name!r}, which is no module of the '
                    f'segmentor; there are {near}'
                )
        # In a tuple: they are saved with the segmentor.
        self._places = tuple(modules[name] for name in self.names)

    @contextmanager
    def beside(self) -> Iterator[None]:
        """What the segmentor says inside it says with the block.

        Raises RuntimeError if the target did not run inside, or before the
        source.
        """
        seen: list[Tensor] = []
        added: list[Tensor] = []

        def note(_: nn.Module, inputs: tuple) -> None:
            seen.append(self._checked(inputs[0], 0))

        def add(_: nn.Module, inputs: tuple) -> tuple:
            if not seen:
                raise RuntimeError(
                    f'RPLLoss: target {self.names[1]!r} runs before source '
                    f'{self.names[0]!r}: name them in the order of the pass'
                )
            x = self._checked(inputs[0], 1)
            added.append(self.block(seen[-1], x.shape[2:]))
            return (x + added[-1].to(x.dtype), *inputs[1:])

        with ExitStack() as stack:
            for place, hook in zip(self._places, (note, add)):
                handle = place.register_forward_pre_hook(hook)
                stack.callback(handle.remove)
            yield
        if not added:
            raise RuntimeError(
                f'RPLLoss: the segmentor does not run {self.names[1]!r} as a '
                'module: name another one as target'
            )

    def _checked(self, x: Tensor, which: int) -> Tensor:
        if x.shape[1] != self.widths[which]:
            key = ('source', 'target')[which]
            raise ValueError(
                f'{self.names[which]} gets {x.shape[1]} channels, and RPLLoss '
                f'has {key}_channels={self.widths[which]}: set it to '
                f'{x.shape[1]}'
            )
        return x

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        size, known = batch.labels.shape[1:], batch.labels >= 0
        frozen, logits = _sized(batch.logits.detach(), size), batch.logits
        if len(logits):
            with self.beside():
                logits = batch.view(batch.inputs).logits
        with torch.autocast(logits.device.type, enabled=False):
            logits = _sized(logits, size)
            said = F.cross_entropy(logits, frozen.argmax(1), reduction='none')
            spread = (entropy(logits) - entropy(frozen)).square()
            dense = (-energy(logits)).relu()
            terms = dict(
                loss_rpl_class=rank_mean(said, known),
                loss_rpl_entropy=rank_mean(spread, known),
                loss_rpl_energy=self.energy_weight
                * rank_mean(dense, batch.labels == OUTLIER),
            )
        return terms


def _sized(logits: Tensor, size: Sequence[int]) -> Tensor:
    """(B, K, h, w) -> (B, K, *size), float32."""
    if tuple(logits.shape[2:]) == tuple(size):
        return logits.float()
    return F.interpolate(logits.float(), tuple(size), mode='bilinear')


@register_score('rpl', reads=('inputs',), kinds=('softmax',))
class RPLScore(nn.Module):
    """The `energy` of the logits that a `RPLLoss` learned, (N, *), nats.

    Runs the decode head again, with the block beside it. Source: RPL.
    """

    def __init__(self, losses: Iterable[nn.Module]) -> None:
        super().__init__()
        # In a tuple: it is saved with the losses.
        self._loss = (find_loss(losses, RPLLoss, 'rpl'),)

    def forward(self, samples: Samples) -> Tensor:
        with self._loss[0].beside():
            logits = samples.view(samples.inputs).logits
        return energy(logits.float())
