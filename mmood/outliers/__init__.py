"""Outliers made in feature space while a detector trains."""

from .flow import FlowFeatureSynthesis
from .gan import GANSynthesis, gan_loss, reverse_gradient
from .gaussians import low_likelihood_samples, tied_gaussians
from .vos import VirtualOutlierSynthesis

__all__ = [
    'FlowFeatureSynthesis',
    'GANSynthesis',
    'VirtualOutlierSynthesis',
    'gan_loss',
    'low_likelihood_samples',
    'reverse_gradient',
    'tied_gaussians',
]
