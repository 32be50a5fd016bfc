"""Diffusion pipelines of tiny random weights, saved as real ones are.

Their pictures are noise, but text, image, mask and seed all count in them.
The tokenizers know the letters and a few parts of words.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    EulerDiscreteScheduler,
    StableDiffusionInpaintPipeline,
    StableDiffusionPipeline,
    StableDiffusionXLInpaintPipeline,
    UNet2DConditionModel,
)
from diffusers.pipelines.stable_diffusion.safety_checker import (
    StableDiffusionSafetyChecker,
)
from transformers import (
    CLIPConfig,
    CLIPImageProcessor,
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
)

START, END = '<|startoftext|>', '<|endoftext|>'
# Of 'dining' stays 'din' 'ing</w>', 'table</w>' is whole; the others differ.
MERGES = ('d i', 'di n', 'n g</w>', 'i ng</w>', 't a', 'l e</w>')
WHOLE = MERGES + ('b le</w>', 'ta ble</w>')
WIDTH, WIDTH_2 = 32, 16
SIZE = 64  # pixels that the pipelines paint by themselves


def tokenizer(folder: Path, merges=WHOLE, pad=END) -> CLIPTokenizer:
    """A byte-pair tokenizer of letters, some signs and the merges."""
    signs = [*map(chr, range(ord('!'), ord('~') + 1))]
    tokens = [*signs, *(sign + '</w>' for sign in signs)]
    tokens += [merge.replace(' ', '') for merge in merges] + [START, END]
    folder.mkdir(parents=True, exist_ok=True)
    vocab = {token: i for i, token in enumerate(tokens)}
    (folder / 'vocab.json').write_text(json.dumps(vocab))
    lines = ['#version: 0.2', *merges, '']
    (folder / 'merges.txt').write_text('\n'.join(lines))
    return CLIPTokenizer.from_pretrained(
        folder, model_max_length=77, pad_token=pad, local_files_only=True
    )


def text_encoder(words: CLIPTokenizer, width: int, projected: bool):
    config = CLIPTextConfig(
        vocab_size=len(words),
        hidden_size=width,
        projection_dim=width,
        intermediate_size=width,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=77,
        bos_token_id=words.bos_token_id,
        eos_token_id=words.eos_token_id,
        pad_token_id=words.pad_token_id,
    )
    build = CLIPTextModelWithProjection if projected else CLIPTextModel
    return build(config).eval()


def denoiser(text_width: int, channels: int = 9, **options):
    return UNet2DConditionModel(
        sample_size=SIZE // 8,
        in_channels=channels,
        block_out_channels=(8, 16),
        layers_per_block=1,
        down_block_types=('DownBlock2D', 'CrossAttnDownBlock2D'),
        up_block_types=('CrossAttnUpBlock2D', 'UpBlock2D'),
        cross_attention_dim=text_width,
        attention_head_dim=2,
        norm_num_groups=4,
        **options,
    )


def autoencoder() -> AutoencoderKL:
    return AutoencoderKL(
        block_out_channels=(8, 8, 8, 8),
        down_block_types=('DownEncoderBlock2D',) * 4,
        up_block_types=('UpDecoderBlock2D',) * 4,
        norm_num_groups=4,
        latent_channels=4,
        sample_size=SIZE,
    )


def safety_checker(image_size: int = 32) -> StableDiffusionSafetyChecker:
    vision = dict(
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        image_size=image_size,
        patch_size=16,
    )
    config = CLIPConfig(vision_config=vision, projection_dim=8)
    return StableDiffusionSafetyChecker(config)


def save_inpainting(folder: Path, safety: bool = False) -> Path:
    """As Stable Diffusion 1 and 2 inpainting are."""
    torch.manual_seed(0)
    words = tokenizer(folder / 'tokenizer')
    pipe = StableDiffusionInpaintPipeline(
        vae=autoencoder(),
        text_encoder=text_encoder(words, WIDTH, False),
        tokenizer=words,
        unet=denoiser(WIDTH),
        scheduler=DDIMScheduler(steps_offset=1, clip_sample=False),
        safety_checker=safety_checker() if safety else None,
        feature_extractor=CLIPImageProcessor(
            size={'shortest_edge': 32}, crop_size={'height': 32, 'width': 32}
        ),
        requires_safety_checker=safety,
    )
    return _save(pipe, folder)


def save_xl_inpainting(folder: Path) -> Path:
    """As Stable Diffusion XL inpainting is: two text encoders.

    Unlike there, the second tokenizer cuts words into other parts.
    """
    torch.manual_seed(0)
    words = tokenizer(folder / 'tokenizer')
    words_2 = tokenizer(folder / 'tokenizer_2', MERGES, pad='!')
    unet = denoiser(
        WIDTH + WIDTH_2,
        addition_embed_type='text_time',
        addition_time_embed_dim=4,
        projection_class_embeddings_input_dim=6 * 4 + WIDTH_2,
    )
    pipe = StableDiffusionXLInpaintPipeline(
        vae=autoencoder(),
        text_encoder=text_encoder(words, WIDTH, False),
        text_encoder_2=text_encoder(words_2, WIDTH_2, True),
        tokenizer=words,
        tokenizer_2=words_2,
        unet=unet,
        scheduler=EulerDiscreteScheduler(steps_offset=1),
        add_watermarker=False,
    )
    return _save(pipe, folder)


def save_text_to_image(folder: Path) -> Path:
    """A pipeline that cannot inpaint."""
    torch.manual_seed(0)
    words = tokenizer(folder / 'tokenizer')
    pipe = StableDiffusionPipeline(
        vae=autoencoder(),
        text_encoder=text_encoder(words, WIDTH, False),
        tokenizer=words,
        unet=denoiser(WIDTH, channels=4),
        scheduler=DDIMScheduler(steps_offset=1, clip_sample=False),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    return _save(pipe, folder)


def _save(pipe, folder: Path) -> Path:
    pipe.save_pretrained(folder, safe_serialization=True)
    return folder
