"""Where outliers come from while a model trains."""

from .annotated import AnnotatedOutliers
from .blurred import BlurredOutliers
from .flow import FlowFeatureSynthesis
from .gan import GANSynthesis, gan_loss, reverse_gradient
from .gaussians import low_likelihood_samples, tied_gaussians
from .source import OutlierSource, build_source
from .vos import VirtualOutlierSynthesis

__all__ = [
    'AnnotatedOutliers',
    'BlurredOutliers',
    'FlowFeatureSynthesis',
    'GANSynthesis',
    'OutlierSource',
    'VirtualOutlierSynthesis',
    'build_source',
    'gan_loss',
    'low_likelihood_samples',
    'reverse_gradient',
    'tied_gaussians',
]
