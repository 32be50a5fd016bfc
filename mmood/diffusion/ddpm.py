"""Gaussian-noise diffusion (Ho et al., DDPM, NeurIPS 2020).

Shapes: x is (B, *); time t is (B,) or an int and counts from 0, where one
step of noise has been added already.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

_TILE = 64  # pixels after which fixed noise repeats


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
        # As numbers, of which a traced graph is made without reading tensors.
        self._betas = self.betas.tolist()
        self._alpha_bars = self.alpha_bars.tolist()

    def q_sample(self, x0: Tensor, t: Tensor | int, noise: Tensor) -> Tensor:
        """``sqrt(a_t) x0 + sqrt(1 - a_t) noise``, (B, *) (DDPM, Eq. 4).

        Raises ValueError if a time is outside 0..T-1 or the noise has
        another shape than ``x0``.
        """
        _check_noise(noise, x0)
        if isinstance(t, int):  # no tensor made, no GPU waited for
            return math.sqrt(self._alpha_bar(t)) * x0 + self.sigma(t) * noise
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

    def sigma(self, t: int) -> float:
        """``sqrt(1 - a_t)``, the noise's share of x_t, in (0, 1).

        Raises ValueError if ``t`` is outside 0..T-1.
        """
        return math.sqrt(1 - self._alpha_bar(t))

    def _alpha_bar(self, t: int) -> float:
        if not 0 <= t < self.num_steps:
            raise ValueError(f't must be in 0..{self.num_steps - 1}, got {t}')
        return self._alpha_bars[t]

    def reverse_step(
        self,
        x_t: Tensor,
        t: int,
        predicted: Tensor,
        noise: Tensor | None = None,
    ) -> Tensor:
        """x_{t-1} from x_t and the noise predicted in it, (B, *).

        ``(x_t - beta_t / sqrt(1 - a_t) predicted) / sqrt(1 - beta_t)`` plus
        ``sqrt(beta_t (1 - a_{t-1}) / (1 - a_t)) noise``, or without the
        second part for ``noise=None``; it is 0 at t = 0 anyway, where the
        result is x_0 (DDPM, Eq. 11 and Alg. 2, the smaller variance).
        Raises ValueError if ``t`` is outside 0..T-1 or the shapes differ.
        """
        sigma, beta = self.sigma(t), self._betas[t]
        _check_noise(predicted, x_t, 'predicted', 'x_t')
        mean = (x_t - beta / sigma * predicted) / math.sqrt(1 - beta)
        if noise is None or t == 0:
            return mean
        _check_noise(noise, x_t, other='x_t')
        return mean + math.sqrt(beta) * self.sigma(t - 1) / sigma * noise


def _check_noise(
    noise: Tensor, x: Tensor, name: str = 'noise', other: str = 'x0'
) -> None:
    if noise.shape != x.shape:
        raise ValueError(
            f'{name} has shape {tuple(noise.shape)}, {other} '
            f'{tuple(x.shape)}; they must agree'
        )


class NoiseDiffusion:
    """Noise in the place of `BlurDiffusion`'s blur: DFDD's "DDPM" row.

    The chain ``F_t = sqrt(1 - beta_t) F_{t-1} + sqrt(beta_t) s n`` has T
    steps; s is each map's own standard deviation, because features do not
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
        scale = _deviation(x)
        maps = [x]
        for beta in self._chain.betas.tolist():
            noise = torch.randn_like(x) * scale
            maps.append((1 - beta) ** 0.5 * maps[-1] + beta**0.5 * noise)
        return maps

    def degrade(self, x: Tensor, fixed: bool = False) -> Tensor:
        """The end of the forward process, F_T, in one step.

        ``fixed``, for tests: the noise of a channel's pixel is always the
        same, whatever the map's size, its place in the batch and the calls
        before, so that predictions do not depend on chance.
        """
        noise = _fixed_noise(x) if fixed else torch.randn_like(x)
        last = self.num_steps - 1
        return self._chain.q_sample(x, last, noise * _deviation(x))


def _deviation(x: Tensor) -> Tensor:
    """Of each map of its own, (B, C, H, W) -> (B, 1, 1, 1)."""
    if x.shape[1:].numel() < 2:
        return x.new_ones(len(x), 1, 1, 1)
    return x.detach().flatten(1).std(1).view(-1, 1, 1, 1)


def _fixed_noise(x: Tensor) -> Tensor:
    """Standard normal (B, C, H, W), alike in the batch, a tile repeated."""
    shape = x.shape[1], _TILE, _TILE
    generator = torch.Generator().manual_seed(0)
    tile = torch.randn(shape, generator=generator).to(x)
    rows, columns = (
        torch.arange(size, device=x.device) % _TILE for size in x.shape[-2:]
    )
    return tile[:, rows][:, :, columns].expand_as(x)
