"""Diffusion processes and the networks that revert them."""

from .blur import BlurDiffusion
from .build import Diffusion, build_diffusion
from .ddpm import GaussianDiffusion, NoiseDiffusion
from .denoising_unet import DenoisingUNet
from .mlp import DenoisingMLP
from .unet import ConvUNet

__all__ = [
    'BlurDiffusion',
    'ConvUNet',
    'DenoisingMLP',
    'DenoisingUNet',
    'Diffusion',
    'GaussianDiffusion',
    'NoiseDiffusion',
    'build_diffusion',
]
