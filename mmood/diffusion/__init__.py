"""Diffusion processes and the networks that revert them."""

from .blur import BlurDiffusion
from .ddpm import GaussianDiffusion, NoiseDiffusion
from .unet import ConvUNet

__all__ = ['BlurDiffusion', 'ConvUNet', 'GaussianDiffusion', 'NoiseDiffusion']
