"""OOD scores; higher is more out-of-distribution."""

from .diffusion import diffusion_score, directional_error
from .logits import energy, entropy, get_score, max_logit, msp

__all__ = [
    'diffusion_score',
    'directional_error',
    'energy',
    'entropy',
    'get_score',
    'max_logit',
    'msp',
]
