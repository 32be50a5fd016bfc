"""OOD scores; higher is more out-of-distribution."""

from .logits import energy, entropy, get_score, max_logit, msp

__all__ = ['energy', 'entropy', 'get_score', 'max_logit', 'msp']
