"""Prompts as embeddings, with noise on the tokens of the class name.

Works on pipelines of diffusers with one CLIP text encoder (Stable Diffusion
1 and 2) or two (XL).

Shapes: L tokens of the padded prompt, D values of an embedding, the sum of
the text encoders' widths; embeddings are (1, L, D).
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from .prompts import Prompt

_NAMES = (
    'prompt_embeds',
    'negative_prompt_embeds',
    'pooled_prompt_embeds',
    'negative_pooled_prompt_embeds',
)


def encode(pipe, prompt: Prompt) -> dict[str, Tensor]:
    """The prompt's embeddings, by the names that the pipeline takes them by.

    The noise of the prompt is not yet in them.
    """
    embeds = pipe.encode_prompt(
        prompt=prompt.text,
        device=pipe.device,
        num_images_per_prompt=1,
        do_classifier_free_guidance=True,
        # XL puts zeros in place of no text, but only if it is None.
        negative_prompt=prompt.negative or None,
    )
    return dict(zip(_NAMES, embeds))


def shift_class_tokens(
    pipe, embeds: Tensor, prompt: Prompt, rng: np.random.Generator
) -> tuple[Tensor, dict]:
    """Add ``N(0, prompt.std^2)`` to the class tokens of embeds (1, L, D).

    Returns new embeddings and the provenance: ``std``, the ``tokens``, their
    ``positions`` (0 is the start token) and ``shift_norm``, the L2 norm of
    all the noise. Of two tokenizers, tokens and positions are the first's;
    each has its own in its part of D. XL's pooled embedding is not shifted.

    Raises ValueError as `class_token_positions` does.
    """
    places = token_places(pipe, prompt)
    noise = torch.zeros(embeds.shape, dtype=torch.float32)
    left = 0
    for positions, encoder in zip(places, _modules(pipe, 'text_encoder')):
        right = left + encoder.config.hidden_size
        drawn = rng.standard_normal((len(positions), right - left))
        noise[0, positions, left:right] = torch.from_numpy(drawn).float()
        left = right
    noise *= prompt.std or 0.0
    ids = pipe.tokenizer(prompt.text)['input_ids']
    details = dict(
        std=prompt.std,
        tokens=pipe.tokenizer.convert_ids_to_tokens(
            [ids[i] for i in places[0]]
        ),
        positions=places[0],
        shift_norm=float(noise.norm()),
    )
    # In float32: the sum in half precision would be rounded twice.
    shifted = embeds.float() + noise.to(embeds.device)
    return shifted.to(embeds.dtype), details


def token_places(pipe, prompt: Prompt) -> list[list[int]]:
    """`class_token_positions` by each of the pipeline's tokenizers."""
    return [
        class_token_positions(tokenizer, prompt.text, prompt.span or (0, 0))
        for tokenizer in _modules(pipe, 'tokenizer')
    ]


def class_token_positions(
    tokenizer, text: str, span: tuple[int, int]
) -> list[int]:
    """Positions of the tokens of ``text[span]`` among those of ``text``.

    The start token is position 0. Raises ValueError if these tokens are
    not there as such: grown together with their neighbours, cut off at the
    end, or none at all.
    """
    start, stop = span
    ids = tokenizer(
        text, truncation=True, max_length=tokenizer.model_max_length
    )['input_ids']
    before, name = (
        tokenizer(part, add_special_tokens=False)['input_ids']
        for part in (text[:start], text[start:stop])
    )
    first = len(before) + (ids[0] == tokenizer.bos_token_id)
    if not name or ids[first : first + len(name)] != name:
        raise ValueError(
            f'the tokens of the class {text[start:stop]!r} are not among '
            f'those of the prompt {text!r}: give a template with spaces '
            f'around {{}} and no more than {tokenizer.model_max_length} '
            'tokens in all'
        )
    return list(range(first, first + len(name)))


def _modules(pipe, name: str) -> list:
    both = (getattr(pipe, key, None) for key in (name, f'{name}_2'))
    return [module for module in both if module is not None]
