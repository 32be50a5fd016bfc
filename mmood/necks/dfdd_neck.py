"""DFDD's part between FPN and heads.

Paper: Wu et al., "Deep Feature Deblurring Diffusion for Detecting
Out-of-Distribution Objects", ICCV 2023, Sec. 4. No public code exists. What
the paper leaves open and is decided here: every FPN level is a map F_0 of
its own and all levels share the networks; the deblurring network learns from
detached maps, so that L_DFDD cannot pull the backbone towards features that
are easy to deblur (flat ones).

Shapes: L levels of (B, C, H_l, W_l).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmood.diffusion import ConvUNet, Diffusion, build_diffusion
from mmood.registry import MODELS

from .pyramid import Pyramid


@MODELS.register_module()
class DFDDNeck(BaseModule):
    """Blur, enhance and (in training) deblur the maps of a feature pyramid.

    Goes after an FPN: ``neck=[dict(type='FPN', ...),
    dict(type='mmood.DFDDNeck', channels=256)]``.

    Args:
        channels: C of the maps.
        diffusion: ``dict(type='blur' | 'noise', ...)``, see
            `build_diffusion`; the noise is fixed at test. A list in the
            place of an argument has a value per level, finest first.
        enhance: whether the heads get E (Sec. 4.3) instead of F_0.
        deblur: whether to train the reverse process (Sec. 4.2).
        enhance_outliers: whether the maps of the outliers go through Psi
            too, ``Psi([F_T, F_T - blur(F_T)])``: what this neck makes at
            test of an image whose FPN map is F_T. Neither ``F_T - F_T = 0``
            nor ``F_0 - F_T`` ever comes with F_T at test, and either would
            give the outliers away. The paper takes F_T itself;
            docs/en/dfdd.md compares both.
        loss_weight: lambda, the weight of L_DFDD.
        width: inner channels of the `ConvUNet`; C / 8, at least 16, if None.

    Raises ValueError for lists of different lengths, for a list of
    ``num_steps``, which the levels have in common as they share the network,
    and as `build_diffusion` does.
    """

    def __init__(
        self,
        channels: int,
        *,
        diffusion: dict | None = None,
        enhance: bool = True,
        deblur: bool = True,
        enhance_outliers: bool = False,
        loss_weight: float = 0.001,
        width: int | None = None,
    ) -> None:
        super().__init__()
        self.channels, self.loss_weight = channels, loss_weight
        self.diffusions = _by_level(diffusion or dict(type='blur'))
        self.psi = Enhancement(channels) if enhance else None
        self.enhance_outliers = enhance_outliers
        steps = self.diffusions[0].num_steps
        self.unet = ConvUNet(channels, steps, width) if deblur else None

    @property
    def makes(self) -> tuple[str, ...]:
        """The maps and losses that a training step brings along."""
        more = () if self.unet is None else ('deblurred', 'loss_deblur')
        return ('blurred', *more)

    def forward(self, inputs: Sequence[Tensor]) -> Pyramid:
        """The maps E for the heads, with DFDD's products.

        ``maps`` holds F_T, ``blurred``, that outliers come from, and, in
        training, F^_0, ``deblurred``; ``losses`` lambda L_DFDD by the name
        ``loss_deblur``.
        """
        self._check(inputs)
        if not self.training and self.psi is None:
            return Pyramid(inputs)
        blurred = self.degrade(inputs)
        levels = inputs
        if self.psi is not None:
            levels = [self.psi(x, b) for x, b in zip(inputs, blurred)]
        maps = dict(blurred=blurred)
        if not self.training:
            return Pyramid(levels, maps)
        if self.psi is not None and self.enhance_outliers:
            twice = self.degrade(blurred)
            maps['blurred'] = [self.psi(*pair) for pair in zip(blurred, twice)]
        if self.unet is None:
            return Pyramid(levels, maps)
        chains = [
            self.deblur(x.detach(), diffusion, self.unet)
            for x, diffusion in zip(inputs, self._levels(len(inputs)))
        ]
        maps['deblurred'] = [chain[0] for chain in chains]
        losses = [chain[1] for chain in chains]
        loss = sum(losses[1:], losses[0]) / len(chains)
        return Pyramid(levels, maps, dict(loss_deblur=self.loss_weight * loss))

    def degrade(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """F_T of each level's map."""
        return [
            diffusion.degrade(x, fixed=not self.training)
            for x, diffusion in zip(maps, self._levels(len(maps)))
        ]

    def _levels(self, count: int) -> list[Diffusion]:
        if len(self.diffusions) == 1:
            return self.diffusions * count
        return self.diffusions

    def _check(self, inputs: Sequence[Tensor]) -> None:
        if len(self.diffusions) not in (1, len(inputs)):
            raise ValueError(
                f'diffusion of DFDDNeck has lists of {len(self.diffusions)} '
                f'values, one per level, and the maps have {len(inputs)} '
                'levels: give one for each of them, or a number for all'
            )
        for x in inputs:
            if x.dim() != 4 or x.shape[1] != self.channels:
                raise ValueError(
                    f'DFDDNeck has channels={self.channels} and got a map of '
                    f'shape {tuple(x.shape)}; set channels to the out_'
                    'channels of the neck before it'
                )

    @staticmethod
    def deblur(
        x: Tensor, diffusion: Diffusion, unet: nn.Module
    ) -> tuple[Tensor, Tensor]:
        """Blur a map and run the reverse process (Eq. 5).

        (B, C, H, W) -> F^_0 (B, C, H, W) and L_DFDD (Eq. 6), a scalar: the
        squared error of the predicted detail, summed over channels,
        averaged over pixels and steps.
        """
        maps = diffusion.forward_process(x)
        steps = len(maps) - 1
        estimate, loss = maps[-1], x.new_zeros(())
        for t in range(steps, 0, -1):
            detail = unet(estimate, t)
            target = maps[t - 1] - maps[t]
            loss = loss + F.mse_loss(detail, target) * (x.shape[1] / steps)
            estimate = estimate + detail
        return estimate, loss


class Enhancement(nn.Module):
    """``E = Psi([F_0, F_0 - F_T])``, Psi a 1 x 1 convolution 2C -> C.

    Starts as the identity on F_0, so that it can be put into a trained
    detector. Source: DFDD, Sec. 4.3. The concatenation is never built: the
    two halves of Psi's weight are convolutions of their own.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.original = nn.Conv2d(channels, channels, 1)
        self.residual = nn.Conv2d(channels, channels, 1, bias=False)
        nn.init.dirac_(self.original.weight)
        nn.init.zeros_(self.original.get_parameter('bias'))
        nn.init.zeros_(self.residual.weight)

    def forward(self, x: Tensor, blurred: Tensor) -> Tensor:
        # A x + B (x - F_T) = (A + B) x - B F_T saves two maps.
        count, channels = x.shape[:2]
        weight = self.original.weight + self.residual.weight
        out = F.conv2d(x, weight, self.original.bias)
        residual = self.residual.weight.flatten(1).expand(count, -1, -1)
        return torch.baddbmm(
            out.view(count, channels, -1),
            residual,
            blurred.flatten(2),
            alpha=-1,
        ).view_as(x)


def _by_level(cfg: dict) -> list[Diffusion]:
    """One process for all levels, or one for each if there are lists."""
    lists = {k: v for k, v in cfg.items() if isinstance(v, (list, tuple))}
    if 'num_steps' in lists:
        raise ValueError(
            'num_steps of diffusion must be one number, because all levels '
            f'share the deblurring network, got {lists["num_steps"]!r}'
        )
    if not lists:
        return [build_diffusion(cfg)]
    counts = {name: len(values) for name, values in lists.items()}
    if len(set(counts.values())) > 1 or 0 in counts.values():
        raise ValueError(
            'lists in diffusion must have a value for each level, got '
            f'{counts} values'
        )
    return [
        build_diffusion({**cfg, **dict(zip(lists, values))})
        for values in zip(*lists.values())
    ]
