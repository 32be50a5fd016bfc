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

from mmood.diffusion import BlurDiffusion, ConvUNet, NoiseDiffusion
from mmood.registry import MODELS

_DIFFUSIONS = dict(blur=BlurDiffusion, noise=NoiseDiffusion)


class DiffusedPyramid(tuple):
    """Feature maps for RPN and RoI head that bring DFDD's products along.

    The tuple itself holds the maps E. ``blurred`` are the maps F_T that
    outliers come from, ``deblurred`` the maps F^_0 and ``loss_deblur`` is
    lambda L_DFDD; each is None where it was not made. An attribute of a
    tuple passes through the stock detectors untouched. A backward pass
    through the maps raises RuntimeError if nobody read ``loss_deblur``.
    """

    blurred: tuple[Tensor, ...] | None = None
    deblurred: tuple[Tensor, ...] | None = None
    _loss: CollectedLoss | None = None

    @property
    def loss_deblur(self) -> Tensor | None:
        return None if self._loss is None else self._loss.collect()

    @loss_deblur.setter
    def loss_deblur(self, loss: Tensor) -> None:
        self._loss = CollectedLoss(loss)
        for x in self:  # also behind a frozen neck
            x.requires_grad_().register_hook(self._loss.check)


class CollectedLoss:
    """A loss that some head has to take along.

    Without one a detector would train and never learn to deblur. That shows
    when gradients arrive at the maps, before any weight is changed.
    """

    def __init__(self, loss: Tensor) -> None:
        self._loss, self._is_collected = loss, False

    def collect(self) -> Tensor:
        self._is_collected = True
        return self._loss

    def check(self, grad: Tensor) -> None:
        """Raises RuntimeError if nobody took the loss."""
        if not self._is_collected:
            raise RuntimeError(
                'no head of this detector takes the loss_deblur of '
                'mmood.DFDDNeck: set roi_head.type to mmood.OODRoIHead, or '
                'deblur=False in the neck'
            )


@MODELS.register_module()
class DFDDNeck(BaseModule):
    """Blur, enhance and (in training) deblur the maps of a feature pyramid.

    Goes after an FPN: ``neck=[dict(type='FPN', ...),
    dict(type='mmood.DFDDNeck', channels=256)]``.

    Args:
        channels: C of the maps.
        diffusion: ``dict(type='blur' | 'noise', ...)`` with the arguments of
            `BlurDiffusion` or `NoiseDiffusion` ("DDPM" in the paper), whose
            noise is fixed at test.
        enhance: whether the heads get E (Sec. 4.3) instead of F_0.
        deblur: whether to train the reverse process (Sec. 4.2).
        enhance_outliers: whether the maps of the outliers go through Psi
            too, ``Psi([F_T, F_T - blur(F_T)])``, as every map does at test.
            The paper takes F_T itself; docs/en/dfdd.md compares both.
        loss_weight: lambda, the weight of L_DFDD.
        width: inner channels of the `ConvUNet`; C / 8, at least 16, if None.
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
        self.diffusion = _build_diffusion(diffusion or dict(type='blur'))
        self.psi = Enhancement(channels) if enhance else None
        self.enhance_outliers = enhance_outliers
        steps = self.diffusion.num_steps
        self.unet = ConvUNet(channels, steps, width) if deblur else None

    def forward(self, inputs: Sequence[Tensor]) -> DiffusedPyramid:
        for x in inputs:
            if x.dim() != 4 or x.shape[1] != self.channels:
                raise ValueError(
                    f'DFDDNeck has channels={self.channels} and got a map of '
                    f'shape {tuple(x.shape)}; set channels to the out_'
                    'channels of the neck before it'
                )
        if not self.training and self.psi is None:
            return DiffusedPyramid(inputs)
        blurred = tuple(
            self.diffusion.degrade(x, fixed=not self.training) for x in inputs
        )
        maps = inputs
        if self.psi is not None:
            maps = [self.psi(x, b) for x, b in zip(inputs, blurred)]
        pyramid = DiffusedPyramid(maps)
        pyramid.blurred = blurred
        if self.training and self.psi is not None and self.enhance_outliers:
            pyramid.blurred = tuple(
                self.psi(b, self.diffusion.degrade(b)) for b in blurred
            )
        if self.training and self.unet is not None:
            chains = [self.deblur(x.detach()) for x in inputs]
            pyramid.deblurred = tuple(chain[0] for chain in chains)
            loss = sum(chain[1] for chain in chains) / len(chains)
            pyramid.loss_deblur = self.loss_weight * loss
        return pyramid

    def deblur(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Blur a map and run the reverse process (Eq. 5).

        (B, C, H, W) -> F^_0 (B, C, H, W) and L_DFDD (Eq. 6), a scalar: the
        squared error of the predicted detail, summed over channels,
        averaged over pixels and steps.
        """
        maps = self.diffusion.forward_process(x)
        steps = len(maps) - 1
        estimate, loss = maps[-1], x.new_zeros(())
        for t in range(steps, 0, -1):
            detail = self.unet(estimate, t)
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
        nn.init.zeros_(self.original.bias)
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


def _build_diffusion(cfg: dict) -> BlurDiffusion | NoiseDiffusion:
    cfg = dict(cfg)
    kind = cfg.pop('type', None)
    if kind not in _DIFFUSIONS:
        raise ValueError(
            f'unknown diffusion type {kind!r}; known are {sorted(_DIFFUSIONS)}'
        )
    return _DIFFUSIONS[kind](**cfg)
