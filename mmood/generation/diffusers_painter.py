"""Outlier objects painted by an inpainting diffusion model of diffusers.

Paper: Dream-Box (CVPRW 2025). Other than the published code: a seed for each
object, the model's own resolution, and all tokens of a class name shifted.

Shapes: crop (h, w, 3) uint8 RGB, mask (h, w) bool.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import cast

import numpy as np
import torch
from PIL import Image

from mmood.registry import PAINTERS

from .embedding_shift import encode, shift_class_tokens, token_places
from .painter import Painter, Painting
from .pipelines import load_pipeline, pick_device, pick_dtype
from .prompts import PromptSource


@PAINTERS.register_module()
class DiffusersPainter(Painter):
    """Paints what a prompt says with Stable Diffusion (1, 2, XL) inpainting.

    The noise is drawn on the CPU, so that it is the same on every device;
    the same arguments give the same picture, whatever was painted before.
    Weights are read from safetensors only, and no code comes with them.
    `paint` returns None where the pipeline's safety checker refuses the
    picture or half precision overflows, which is warned of.

    Args:
        model: a folder with a pipeline (``model_index.json``), or the id of
            one on the Hugging Face hub.
        prompts: a prompt source or its config: `GenericPrompts` or
            `ClassEmbeddings`.
        size: longer side, in pixels, to paint at; None: the model's own.
        guidance: weight of the prompt, at least 1, which is none. Published
            are 20 (generic prompts) and 12 (class embeddings).
        strength: in (0, 1]; 1 starts from pure noise, less from the object
            under noise, and takes ``strength * steps`` steps.
        dtype: ``'fp16'``, ``'bf16'``, ``'fp32'`` or ``'auto'``: fp16 on a
            GPU, else fp32. fp16 on a CPU is warned of and becomes fp32.
        device: None: this process' GPU (``LOCAL_RANK``), or the CPU.
        download: whether a hub id that is not in the local cache is fetched.
        variant: of the weight files, such as ``'fp16'``.

    Raises ValueError for a model that is no inpainting pipeline or cannot be
    read, and for values out of range; ImportError without diffusers
    (``pip install 'mmood[generation]'``).
    """

    def __init__(
        self,
        model: str,
        prompts: Mapping | PromptSource,
        *,
        size: int | None = None,
        steps: int = 50,
        guidance: float = 7.5,
        strength: float = 1.0,
        dtype: str = 'auto',
        device: str | None = None,
        download: bool = False,
        variant: str | None = None,
    ) -> None:
        _check_sampling(steps, guidance, strength)
        place = pick_device(device)
        self.name = str(model)
        self.dtype = pick_dtype(dtype, place)
        if isinstance(prompts, Mapping):
            prompts = PAINTERS.build(prompts)
        self.prompts = cast(PromptSource, prompts)
        pipe = load_pipeline(self.name, self.dtype, download, variant)
        self.pipe = pipe.to(place)
        # XL checks for multiples of 8 whatever the model's factor is.
        self.multiple = max(8, pipe.vae_scale_factor)
        self.size = _paint_size(pipe) if size is None else size
        if self.size < self.multiple:
            raise ValueError(
                f'size must be at least {self.multiple} pixels, got {size}'
            )
        self.sampling = dict(
            num_inference_steps=steps,
            guidance_scale=guidance,
            strength=strength,
        )

    def check_classes(self, classes: Sequence[str]) -> None:
        """Raise ValueError for classes that the prompt source refuses.

        So for a class whose tokens would not be found in its prompt.
        """
        self.prompts.check_classes(classes)
        for label in classes:
            prompt = self.prompts(label, np.random.default_rng(0))
            if prompt.std is not None:
                token_places(self.pipe, prompt)

    @torch.no_grad()
    def paint(
        self, crop: np.ndarray, mask: np.ndarray, label: str, seed: int
    ) -> Painting | None:
        """See `Painter.paint`; seeds are in [0, 2^64).

        Raises ValueError for a crop whose sides are no multiples of
        ``multiple``, or a mask of another size.
        """
        self._check(crop, mask)
        rng = np.random.default_rng(seed)
        prompt = self.prompts(label, rng)
        embeds = encode(self.pipe, prompt)
        how = dict(
            prompt=prompt.text,
            negative_prompt=prompt.negative,
            dtype=self.dtype,
        )
        if prompt.std is not None:
            embeds['prompt_embeds'], details = shift_class_tokens(
                self.pipe, embeds['prompt_embeds'], prompt, rng
            )
            how.update(details)
        image = self._inpaint(crop, mask, int(seed), embeds)
        return None if image is None else Painting(image, how)

    def _check(self, crop: np.ndarray, mask: np.ndarray) -> None:
        sides = crop.shape[:2]
        if any(side == 0 or side % self.multiple for side in sides):
            raise ValueError(
                f'crop must have sides that are multiples of {self.multiple}'
                f', got {sides}'
            )
        if mask.shape != sides:
            raise ValueError(
                f'mask must have the size of the crop, {sides}, got '
                f'{mask.shape}'
            )

    def _inpaint(
        self, crop: np.ndarray, mask: np.ndarray, seed: int, embeds: dict
    ) -> np.ndarray | None:
        height, width = mask.shape
        out = self.pipe(
            **embeds,
            **self.sampling,
            image=Image.fromarray(crop),
            mask_image=Image.fromarray(mask.astype(np.uint8) * 255),
            height=height,
            width=width,
            generator=torch.Generator('cpu').manual_seed(seed),
            output_type='np',
        )
        if any(getattr(out, 'nsfw_content_detected', None) or ()):
            return None
        image = out.images[0]
        if not np.isfinite(image).all():
            warnings.warn(
                f'{self.name} in {self.dtype} made a picture that is not '
                "finite; left out. Try dtype='bf16' or 'fp32'",
                stacklevel=3,
            )
            return None
        return (image * 255).round().astype(np.uint8)


def _paint_size(pipe) -> int:
    """Pixels along the longer side that the model was trained at."""
    sides = pipe.unet.config.sample_size  # one, or height and width
    return int(np.max(sides)) * pipe.vae_scale_factor


def _check_sampling(steps: int, guidance: float, strength: float) -> None:
    if guidance < 1:
        raise ValueError(
            f'guidance must be at least 1, which is none, got {guidance}'
        )
    if not 0 < strength <= 1:
        raise ValueError(f'strength must be in (0, 1], got {strength}')
    if int(steps * strength) < 1:
        raise ValueError(
            f'steps {steps} at strength {strength} leave none to take; give '
            'more steps'
        )
