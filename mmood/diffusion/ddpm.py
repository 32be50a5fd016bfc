"""Gaussian-noise diffusion (Ho et al., DDPM, NeurIPS 2020).

Shapes: x is (B, *); time t is (B,) or an int and counts from 0, where one
step of noise has been added already.
"""

from __future__ import annotations

import torch
from torch import Tensor


class GaussianDiffusion:
    """``q(x_t | x_0)`` for betas linear from start to end (DDPM, Sec. 4).

    ``alpha_bars`` (T,) float64 holds the cumulated products of 1 - beta.
    Raises ValueError unless ``num_steps`` >= 1 and
    0 < beta_start <= beta_end < 1.
    """

    def __init__(
        self,
        num_steps: int = 1000,
        beta_start: float = 1e-4,
        beta_end: float = 0.02,
    ) -> None:
        if num_steps < 1:
            raise ValueError(f'num_steps must be at least 1, got {num_steps}')
        if not 0 < beta_start <= beta_end < 1:
            raise ValueError(
                'betas must satisfy 0 < beta_start <= beta_end < 1, got '
                f'{beta_start} and {beta_end}'
            )
        self.num_steps = num_steps
        self.betas = torch.linspace(
            beta_start, beta_end, num_steps, dtype=torch.float64
        )
        self.alpha_bars = torch.cumprod(1 - self.betas, 0)

    def q_sample(self, x0: Tensor, t: Tensor | int, noise: Tensor) -> Tensor:
        """``sqrt(a_t) x0 + sqrt(1 - a_t) noise``, (B, *) (DDPM, Eq. 4).

        Raises ValueError if a time is outside 0..T-1 or the noise has
        another shape than ``x0``.
        """
        if noise.shape != x0.shape:
            raise ValueError(
                f'noise has shape {tuple(noise.shape)}, x0 '
                f'{tuple(x0.shape)}; they must agree'
            )
        t = torch.as_tensor(t)
        if t.numel() and not 0 <= int(t.min()) <= int(t.max()) < (
            self.num_steps
        ):
            raise ValueError(
                f't must be in 0..{self.num_steps - 1}, got {t.tolist()}'
            )
        alpha_bar = self.alpha_bars.to(x0.device)[t.to(x0.device)]
        alpha_bar = alpha_bar.reshape(-1, *[1] * (x0.dim() - 1))
        signal, sigma = alpha_bar.sqrt(), (1 - alpha_bar).sqrt()
        return signal.to(x0) * x0 + sigma.to(x0) * noise


class NoiseDiffusion:
    """Noise in the place of `BlurDiffusion`'s blur: DFDD's "DDPM" row.

    The chain ``F_t = sqrt(1 - beta_t) F_{t-1} + sqrt(beta_t) s n`` has T
    steps; s is the map's own standard deviation, because features do not
    have the unit variance that DDPM assumes. The paper states no schedule
    for T = 5; beta from 1e-4 to 0.5 leaves a fifth of the signal's variance at
    the end (for a single step beta is ``beta_end``).
    """

    def __init__(
        self,
        num_steps: int = 5,
        beta_start: float = 1e-4,
        beta_end: float = 0.5,
    ) -> None:
        start = beta_end if num_steps == 1 else beta_start
        self._chain = GaussianDiffusion(num_steps, start, beta_end)
        self.num_steps = num_steps

    def forward_process(self, x: Tensor) -> list[Tensor]:
        """Add noise step by step: (B, C, H, W) -> [x, F_1, ..., F_T]."""
        scale = x.detach().std() if x.numel() > 1 else 1.0
        maps = [x]
        for beta in self._chain.betas.tolist():
            noise = torch.randn_like(x) * scale
            maps.append((1 - beta) ** 0.5 * maps[-1] + beta**0.5 * noise)
        return maps

    def degrade(self, x: Tensor) -> Tensor:
        """The end of the forward process, F_T, in one step."""
        scale = x.detach().std() if x.numel() > 1 else 1.0
        noise = torch.randn_like(x) * scale
        last = torch.full((len(x),), self.num_steps - 1)
        return self._chain.q_sample(x, last, noise)
