"""DOoD's denoiser: a U-Net of residual blocks whose layers are linear.

Paper: Galesso et al., "Diffusion for Out-of-Distribution Detection on Road
Scenes and Beyond", ECCV 2024, Sec. 5.2 and Appendix B. As in the released
models; what differs: the scalar embedding takes t / T, and narrow networks
get fewer normalisation groups. The wiring is shared with `DenoisingUNet`.

Shapes: N features, C channels, * any trailing shape (none for features, H W
for maps). Time t counts from 0 (one step of noise) to T - 1.
"""

from __future__ import annotations

import math
from typing import Any, Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmood.registry import MODELS

TIME_EMBEDDINGS = ('scalar', 'periodic')
# Fewer channels in a group leave little of a feature: of two only a sign.
_MIN_GROUP = 8


def sinusoid(t: Tensor, channels: int, max_period: float = 1e4) -> Tensor:
    """``cos(w_i t)`` for all i, then ``sin(w_i t)``, (N,) -> (N, C).

    ``w_i = max_period ** (-i / h)`` for i = 0..h-1 with h = C // 2; an odd C
    ends with a zero. Source: Vaswani et al., "Attention Is All You Need",
    NeurIPS 2017, Sec. 3.5, with the cosines first as in the released models.
    """
    half = channels // 2
    exponents = torch.arange(half, device=t.device) / max(half, 1)
    angles = t.float()[:, None] * max_period**-exponents
    waves = torch.cat((angles.cos(), angles.sin()), 1)
    return F.pad(waves, (0, channels - 2 * half))


class TimeEmbedding(nn.Module):
    """Times as vectors, (N,) -> (N, C).

    ``scalar`` (Appendix B): ``Linear(t / T)`` with the number in every input;
    ``periodic``: ``Linear(silu(Linear(sinusoid(t))))``.
    """

    def __init__(self, channels: int, kind: str, num_steps: int) -> None:
        super().__init__()
        if kind not in TIME_EMBEDDINGS:
            raise ValueError(
                f'time_embedding must be one of {TIME_EMBEDDINGS}, got '
                f'{kind!r}'
            )
        self.kind, self.num_steps = kind, num_steps
        self.linear1 = nn.Linear(channels, channels)
        if kind == 'periodic':
            self.linear2 = nn.Linear(channels, channels)

    def forward(self, t: Tensor) -> Tensor:
        weight = self.linear1.weight
        if self.kind == 'scalar':
            share = t.float()[:, None] / self.num_steps
            return self.linear1(share.to(weight).expand(-1, len(weight)))
        waves = sinusoid(t, len(weight)).to(weight)
        return self.linear2(F.silu(self.linear1(waves)))


class GroupNorm(nn.GroupNorm):
    """`nn.GroupNorm`, faster for features (N, C) on a CPU.

    torch's CPU kernel is made for maps and takes nearly twice as long there.
    """

    def forward(self, x: Tensor) -> Tensor:
        if x.dim() > 2 or x.device.type != 'cpu':
            return super().forward(x)
        groups = x.unflatten(1, (self.num_groups, -1))
        normal = F.layer_norm(groups, groups.shape[2:], eps=self.eps)
        return torch.addcmul(self.bias, normal.flatten(1), self.weight)


def group_norm(channels: int, groups: int) -> GroupNorm:
    """As many groups as divide both numbers and keep 8 channels each.

    A group of a single channel would be normalised to a constant.
    """
    shared = math.gcd(groups, channels)
    fitting = (
        g
        for g in range(shared, 0, -1)
        if shared % g == 0 and channels // g >= _MIN_GROUP
    )
    return GroupNorm(next(fitting, 1), channels)


class ResidualBlock(nn.Module):
    """``skip(x) + f(x, time)``, (N, C_in, *) -> (N, C_out, *) (Fig. 9).

    f is norm1, SiLU, linear1, plus the time, norm2, SiLU, linear2. The time
    (N or 1, C_out) passes SiLU and a layer of the block first, or is added
    as it is (``project_time=False``). ``skip`` is the identity unless the
    width changes. linear2 starts at zero: the block starts as its skip.

    Args:
        layer: makes the layers, from input and output width: `nn.Linear`,
            or a convolution for maps.
        projection: makes the skip: a linear one for each position.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        layer: Callable[[int, int], nn.Module],
        projection: Callable[[int, int], nn.Module],
        project_time: bool,
        groups: int,
    ) -> None:
        super().__init__()
        self.norm1 = group_norm(in_channels, groups)
        self.linear1 = layer(in_channels, out_channels)
        self.time = None
        if project_time:
            self.time = nn.Linear(out_channels, out_channels)
        self.norm2 = group_norm(out_channels, groups)
        self.linear2 = zeroed(layer(out_channels, out_channels))
        self.skip = None
        if in_channels != out_channels:
            self.skip = projection(in_channels, out_channels)

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        if self.time is not None:
            time = self.time(F.silu(time))
        time = time.reshape(*time.shape, *[1] * (x.dim() - 2))
        h = self.linear1(F.silu(self.norm1(x))) + time
        h = self.linear2(F.silu(self.norm2(h)))
        return h + (x if self.skip is None else self.skip(x))


def zeroed(layer: nn.Module) -> nn.Module:
    """The layer, with zeros for its weight and bias."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer


def _check_least(least: int, **numbers: int) -> None:
    for name, number in numbers.items():
        if number < least:
            raise ValueError(f'{name} must be at least {least}, got {number}')


class ResidualDenoiser(nn.Module):
    """Input, middle and output blocks with skips, (N, C, *) -> the same.

    What comes out of an input block goes, after the running features, into
    the output block that mirrors it. All blocks are C wide. The head (norm,
    SiLU, layer) starts at zero like each block's last layer, so that no
    noise is predicted before training.

    Raises ValueError for arguments that describe no network and for an input
    of another width, dimension or time than it was built for; times in a
    tensor are not checked, which would make a GPU wait.
    """

    dims: int
    layer: Callable[[int, int], nn.Module]
    projection: Callable[[int, int], nn.Module]

    def __init__(
        self,
        channels: int,
        *,
        num_blocks: int = 6,
        num_middle_blocks: int = 3,
        time_embedding: str = 'scalar',
        num_steps: int = 1000,
        groups: int = 32,
    ) -> None:
        super().__init__()
        _check_least(
            1,
            channels=channels,
            num_blocks=num_blocks,
            num_steps=num_steps,
            groups=groups,
        )
        _check_least(0, num_middle_blocks=num_middle_blocks)
        self.channels, self.num_steps = channels, num_steps
        self.time = TimeEmbedding(channels, time_embedding, num_steps)

        def blocks(number: int, width: int) -> nn.ModuleList:
            options: dict[str, Any] = dict(
                layer=self.layer,
                projection=self.projection,
                project_time=time_embedding == 'periodic',
                groups=groups,
            )
            return nn.ModuleList(
                ResidualBlock(width, channels, **options)
                for _ in range(number)
            )

        self.input_blocks = blocks(num_blocks, channels)
        self.middle_blocks = blocks(num_middle_blocks, channels)
        self.output_blocks = blocks(num_blocks, 2 * channels)
        self.head = nn.Sequential(
            group_norm(channels, groups),
            nn.SiLU(),
            zeroed(self.layer(channels, channels)),
        )

    def forward(self, x: Tensor, t: Tensor | int) -> Tensor:
        """Predict the noise in ``x`` at time ``t``, an int or (N,).

        For an int the embedding is computed once and broadcast.
        """
        self._check(x, t)
        if isinstance(t, int):
            t = torch.full((1,), t, device=x.device)
        time, skips = self.time(t), []
        for i, block in enumerate(self.input_blocks):
            x = block(self._shrink(x, i), time)
            skips.append(x)
        for block in self.middle_blocks:
            x = block(x, time)
        for block in self.output_blocks:
            skip = skips.pop()
            x = block(torch.cat((self._grow(x, skip), skip), 1), time)
        return self.head(x)

    def _shrink(self, x: Tensor, i: int) -> Tensor:
        """What the input block ``i`` gets of the features before it."""
        return x

    def _grow(self, x: Tensor, skip: Tensor) -> Tensor:
        """The features in the size of the skip that they meet."""
        return x

    def _check(self, x: Tensor, t: Tensor | int) -> None:
        name = type(self).__name__
        if x.dim() != self.dims:
            form = '(N, C)' if self.dims == 2 else '(B, C, H, W)'
            raise ValueError(f'{name} takes x {form}, got {tuple(x.shape)}')
        if x.shape[1] != self.channels:
            raise ValueError(
                f'{name} was built for channels={self.channels} and got x of '
                f'width {x.shape[1]}; set channels to the width of the '
                'features, or take the features that it was trained on'
            )
        if not isinstance(t, int):
            if t.shape != x.shape[:1]:
                raise ValueError(
                    f't must be an int or ({len(x)},), one time for each of '
                    f'x, got {tuple(t.shape)}'
                )
        elif not 0 <= t < self.num_steps:
            raise ValueError(
                f't must be in 0..{self.num_steps - 1}, got {t}; num_steps '
                'is that of the diffusion'
            )


@MODELS.register_module()
class DenoisingMLP(ResidualDenoiser):
    """DOoD's denoiser of single features, (N, C) and t -> noise (N, C).

    It sees no neighbours, so it cannot fill in an unknown object from
    around it (Sec. 5.2, Fig. 5). The released models are (6 blocks,
    3 middle, periodic) for Cityscapes at C = 768 and (8, 4, scalar) for
    ADE20k at C = 1024, of the same function: the scalar embedding takes
    t / T in [0, 1), where theirs takes t, so their weight is multiplied by T
    (``tools/model_converters/dood.py``).

    Args:
        num_blocks: input blocks, and output blocks.
        time_embedding: 'scalar' (Appendix B) or 'periodic' (DDPM).
        num_steps: T of the diffusion.
        groups: normalisation groups at most; narrow networks get fewer.
    """

    dims = 2
    layer = projection = nn.Linear
