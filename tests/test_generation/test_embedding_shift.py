"""Noise on the class tokens: on all of them, and on nothing else."""

import numpy as np
import pytest
import torch
from transformers import CLIPTokenizer

import tiny_pipelines
from helpers import assert_near
from mmood.generation.embedding_shift import (
    class_token_positions,
    encode,
    shift_class_tokens,
    token_places,
)
from mmood.generation.pipelines import load_pipeline
from mmood.generation.prompts import ClassEmbeddings, Prompt

TABLE = ['din', 'ing</w>', 'table</w>']
TABLE_2 = ['din', 'ing</w>', 'ta', 'b', 'le</w>']


@pytest.fixture(scope='module')
def words(tmp_path_factory) -> CLIPTokenizer:
    return tiny_pipelines.tokenizer(tmp_path_factory.mktemp('words'))


@pytest.fixture(scope='module', params=['sd', 'xl'])
def pipe(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    save = {
        'sd': tiny_pipelines.save_inpainting,
        'xl': tiny_pipelines.save_xl_inpainting,
    }[request.param]
    return load_pipeline(str(save(folder)))


def found_tokens(words, template, name):
    prompt = ClassEmbeddings(1, template)(name)
    ids = words(prompt.text)['input_ids']
    positions = class_token_positions(words, prompt.text, prompt.span)
    return words.convert_ids_to_tokens([ids[i] for i in positions]), positions


@pytest.mark.parametrize(
    'template, first',
    [
        ('{}', 1),
        ('a {}, by day', 2),
        ('a Dining Table by a {}', 8),
        ('({})', 2),
        ('{} by a dining table', 1),
    ],
)
@pytest.mark.parametrize('name', ['dining table', 'DINING_table', 'table'])
def test_positions_are_those_of_the_class_name(words, template, first, name):
    tokens, positions = found_tokens(words, template, name)
    expected = TABLE[-1:] if name == 'table' else TABLE
    assert tokens == expected
    assert positions == list(range(first, first + len(expected)))


@pytest.mark.parametrize('template', ['{}s', 'x{}x', 'ab ' * 40 + '{}'])
def test_refuses_a_name_that_is_not_there_as_such(words, template):
    message = "tokens of the class 'table' are not among.*77"
    with pytest.raises(ValueError, match=message):
        found_tokens(words, template, 'table')


def test_refuses_a_name_that_is_cut_off_halfway(words):
    # 'a' takes a token, and so do the ends: 72 + 3 fit, 73 + 3 do not.
    assert found_tokens(words, 'a ' * 72 + '{}', 'dining table')[0] == TABLE
    with pytest.raises(ValueError, match='not among'):
        found_tokens(words, 'a ' * 73 + '{}', 'dining table')


def test_refuses_a_name_without_tokens(words):
    with pytest.raises(ValueError, match='not among'):
        class_token_positions(words, 'a photo', (2, 2))


def hidden_states(pipe, text):
    """By hand, (1, L, D): the last states, in XL the last but one."""
    xl = hasattr(pipe, 'tokenizer_2')
    pairs = [(pipe.tokenizer, pipe.text_encoder)]
    if xl:
        pairs.append((pipe.tokenizer_2, pipe.text_encoder_2))
    states = []
    for words, encoder in pairs:
        ids = words(text)['input_ids']
        ids += [words.pad_token_id] * (77 - len(ids))
        out = encoder(torch.tensor([ids]), output_hidden_states=True)
        states.append(out.hidden_states[-2] if xl else out.last_hidden_state)
    return torch.cat(states, -1)


@torch.no_grad()
def test_embeddings_are_those_of_the_text_encoders(pipe):
    embeds = encode(pipe, Prompt('a dining table', 'a cat'))
    expected = dict(
        prompt_embeds=hidden_states(pipe, 'a dining table'),
        negative_prompt_embeds=hidden_states(pipe, 'a cat'),
    )
    for name, states in expected.items():
        torch.testing.assert_close(embeds[name], states)
    assert len(embeds) == (4 if hasattr(pipe, 'tokenizer_2') else 2)


@torch.no_grad()
def test_no_negative_prompt(pipe):
    embeds = encode(pipe, Prompt('a cat'))['negative_prompt_embeds']
    empty = hidden_states(pipe, '')
    if hasattr(pipe, 'tokenizer_2'):  # XL was trained with zeros
        empty = torch.zeros_like(empty)
    torch.testing.assert_close(embeds, empty)


def seen_by_the_unet(pipe, embeds):
    """The text that reaches the U-Net, negative first, and XL's pooled."""
    seen = []

    def look(_, arguments, options):
        more = options.get('added_cond_kwargs') or {}
        text = options['encoder_hidden_states']
        seen.append((text.clone(), more.get('text_embeds')))

    hook = pipe.unet.register_forward_pre_hook(look, with_kwargs=True)
    pipe(
        **embeds,
        image=torch.zeros(1, 3, 64, 64),
        mask_image=torch.ones(1, 1, 64, 64),
        num_inference_steps=2,
        strength=1.0,
        generator=torch.Generator().manual_seed(0),
    )
    hook.remove()
    assert len(seen) == 2
    assert_near(seen[0][0], seen[1][0])
    return seen[0]


def shifted_embeds(pipe, prompt, seed=0):
    embeds = encode(pipe, prompt)
    embeds['prompt_embeds'], details = shift_class_tokens(
        pipe, embeds['prompt_embeds'], prompt, np.random.default_rng(seed)
    )
    return embeds, details


@torch.no_grad()
def test_all_tokens_of_a_name_are_shifted_and_nothing_else(pipe):
    source = ClassEmbeddings(0, 'a red {} by day', negative='grey')
    plain = seen_by_the_unet(pipe, encode(pipe, source('dining table')))
    # By hand: start, 'a', 'r', 'e', 'd</w>', then the name.
    expected = torch.zeros(77, plain[0].shape[-1], dtype=torch.bool)
    expected[5:8, : tiny_pipelines.WIDTH] = True
    expected[5:10, tiny_pipelines.WIDTH :] = True
    units = []
    for std in (0.01, 0.5, 5):
        source.std = std
        embeds, details = shifted_embeds(pipe, source('dining table'))
        text, pooled = seen_by_the_unet(pipe, embeds)
        noise = (text - plain[0])[1]
        assert_near(text[0], plain[0][0])  # of the negative prompt
        assert torch.equal(noise.abs() > 1e-5, expected)
        if pooled is not None:
            assert_near(pooled, plain[1])
        assert details['std'] == std
        assert details['tokens'] == TABLE
        assert details['positions'] == [5, 6, 7]
        assert details['shift_norm'] == pytest.approx(
            float(noise.norm()), 1e-4
        )
        units.append(noise[expected] / std)
    torch.testing.assert_close(units[1], units[2], rtol=0, atol=1e-4)
    torch.testing.assert_close(units[0], units[2], rtol=0, atol=1e-3)


@torch.no_grad()
@pytest.mark.parametrize('std', [0.1, 3])
def test_the_noise_is_normal_with_that_deviation(pipe, std):
    prompt = ClassEmbeddings(std, '{}')('dining table')
    embeds = encode(pipe, prompt)['prompt_embeds']
    drawn = torch.stack(
        [
            shift_class_tokens(
                pipe, embeds, prompt, np.random.default_rng(seed)
            )[0]
            for seed in range(300)
        ]
    )
    noise = (drawn - embeds)[:, 0, 1:4]  # three tokens of each encoder
    assert noise.mean().abs() < 0.02 * std  # six deviations of 300 * 96
    deviations = noise.std(0, correction=0) / std
    assert deviations.min() > 0.8 and deviations.max() < 1.2
    assert noise.std() / std == pytest.approx(1, abs=0.02)
    shares = [(noise.abs() < k * std).float().mean() for k in (1, 2)]
    np.testing.assert_allclose(shares, [0.6827, 0.9545], atol=0.015)
    # No value is another one's: neither across tokens nor across seeds.
    assert len(noise.unique()) > 0.99 * noise.numel()


@torch.no_grad()
def test_no_deviation_is_no_noise(pipe):
    prompt = ClassEmbeddings(0)('cat')
    embeds, details = shifted_embeds(pipe, prompt)
    plain = encode(pipe, prompt)['prompt_embeds']
    assert_near(embeds['prompt_embeds'], plain)
    assert details['shift_norm'] == 0


@torch.no_grad()
def test_half_precision_is_kept(pipe):
    prompt = ClassEmbeddings(1)('cat')
    embeds = encode(pipe, prompt)['prompt_embeds'].bfloat16()
    rng = np.random.default_rng(0)
    shifted, _ = shift_class_tokens(pipe, embeds, prompt, rng)
    full, _ = shifted_embeds(pipe, prompt)
    assert shifted.dtype == torch.bfloat16
    torch.testing.assert_close(
        shifted.float(), full['prompt_embeds'], rtol=0.02, atol=0.02
    )


def test_each_tokenizer_has_its_places(pipe):
    places = token_places(pipe, ClassEmbeddings(1, 'a {}')('dining table'))
    number = 2 if hasattr(pipe, 'tokenizer_2') else 1
    assert places == [[2, 3, 4], [2, 3, 4, 5, 6]][:number]
