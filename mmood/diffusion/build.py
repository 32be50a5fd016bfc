"""The forward process of a config."""

from __future__ import annotations

from typing import Union

from .blur import BlurDiffusion
from .ddpm import NoiseDiffusion

Diffusion = Union[BlurDiffusion, NoiseDiffusion]
_KINDS = dict(blur=BlurDiffusion, noise=NoiseDiffusion)


def build_diffusion(cfg: dict) -> Diffusion:
    """``dict(type='blur' | 'noise', ...)`` -> the process, with its arguments.

    'blur' is `BlurDiffusion`, 'noise' `NoiseDiffusion` ("DDPM" in DFDD).
    Raises ValueError for another type, and as these do.
    """
    cfg = dict(cfg)
    kind = cfg.pop('type', None)
    if kind not in _KINDS:
        raise ValueError(
            f'unknown diffusion type {kind!r}; known are {sorted(_KINDS)}'
        )
    return _KINDS[kind](**cfg)
