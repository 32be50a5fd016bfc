"""Painting with real, if tiny, pipelines of diffusers."""

import json
import re

import diffusers
import numpy as np
import pytest
import torch
from PIL import Image

import tiny_pipelines
from mmood.generation.diffusers_painter import DiffusersPainter
from mmood.generation.painter import paint_box
from mmood.generation.prompts import ClassEmbeddings, GenericPrompts
from mmood.registry import PAINTERS

SOURCES = {
    'generic': GenericPrompts(['a {} of wool', 'a {} of foil'], 'a blurry {}'),
    'embeddings': ClassEmbeddings(2.0, 'a photo of a {}'),
}


@pytest.fixture(scope='module')
def models(tmp_path_factory) -> dict[str, str]:
    """The folders of the two inpainting pipelines."""
    root = tmp_path_factory.mktemp('models')
    return dict(
        sd=str(tiny_pipelines.save_inpainting(root / 'sd', safety=True)),
        xl=str(tiny_pipelines.save_xl_inpainting(root / 'xl')),
    )


@pytest.fixture(scope='module')
def build(models):
    """Function: a painter; the same one for the same values."""
    painters = {}

    def build(kind='sd', source='generic', **options):
        key = (kind, source, *sorted(options.items()))
        if key not in painters:
            prompts = SOURCES[source] if isinstance(source, str) else source
            painters[key] = DiffusersPainter(
                models[kind], prompts, **{'steps': 2, **options}
            )
        return painters[key]

    return build


def crop_and_mask(height=64, width=64):
    rng = np.random.default_rng(0)
    crop = rng.integers(0, 255, (height, width, 3), dtype=np.uint8)
    mask = np.zeros((height, width), bool)
    mask[8:40, 16:-8] = True
    return crop, mask


def picture(painter, label='dining table', seed=7, size=(64, 64)):
    return painter.paint(*crop_and_mask(*size), label, seed).image


def assert_same_picture(found, expected):
    """But for rounding, of two computations."""
    np.testing.assert_allclose(np.int16(found), np.int16(expected), atol=2)


both_kinds = pytest.mark.parametrize('kind', ['sd', 'xl'])
both_sources = pytest.mark.parametrize('source', list(SOURCES))


@both_kinds
@both_sources
def test_the_same_seed_paints_the_same_whatever_came_before(
    models, build, kind, source
):
    painter = build(kind, source)
    first = picture(painter)
    picture(painter, 'cat', 8, (64, 48))
    np.random.rand()
    torch.randn(3)
    assert_same_picture(picture(painter), first)
    fresh = DiffusersPainter(models[kind], SOURCES[source], steps=2)
    assert_same_picture(picture(fresh), first)
    assert (picture(painter, seed=9) != first).mean() > 0.5


@both_kinds
@pytest.mark.parametrize('name', ['PNDM', 'UniPCMultistep', 'EulerAncestral'])
def test_schedulers_with_a_memory_forget(models, kind, name):
    painter = DiffusersPainter(models[kind], SOURCES['generic'], steps=5)
    discrete = 'Discrete' * name.startswith('Euler')
    scheduler = getattr(diffusers, f'{name}{discrete}Scheduler')
    painter.pipe.scheduler = scheduler.from_config(
        painter.pipe.scheduler.config, skip_prk_steps=True
    )
    first = picture(painter)
    assert_same_picture(picture(painter), first)


@both_kinds
def test_painting_leaves_the_global_generators_alone(build, kind):
    torch_state, state = torch.get_rng_state(), np.random.get_state()
    picture(build(kind, 'embeddings'))
    assert torch.equal(torch.get_rng_state(), torch_state)
    assert np.array_equal(np.random.get_state()[1], state[1])


@both_kinds
def test_pictures_are_those_of_the_pipeline(models, build, kind):
    """Against the pipeline itself, called with words."""
    painting = build(kind).paint(*crop_and_mask(72, 48), 'cat', 3)
    index = int(np.random.default_rng(3).integers(2))
    words = ['a cat of wool', 'a cat of foil'][index]
    assert painting.how['prompt'] == words
    crop, mask = crop_and_mask(72, 48)
    pipe = diffusers.AutoPipelineForInpainting.from_pretrained(
        models[kind], local_files_only=True
    )
    expected = pipe(
        prompt=words,
        negative_prompt='a blurry cat',
        image=Image.fromarray(crop),
        mask_image=Image.fromarray(np.where(mask, 255, 0).astype(np.uint8)),
        height=72,
        width=48,
        strength=1.0,
        guidance_scale=7.5,
        num_inference_steps=2,
        generator=torch.Generator().manual_seed(3),
    ).images[0]
    assert_same_picture(painting.image, np.asarray(expected))
    assert painting.image.std() > 5


@both_kinds
def test_no_shift_paints_what_the_words_say(build, kind):
    words = build(kind, GenericPrompts(['a {}, by day'], negative=''))
    shifted = [
        build(kind, ClassEmbeddings(std, 'a {}, by day')) for std in (0, 3)
    ]
    pictures = [picture(painter) for painter in (words, *shifted)]
    assert_same_picture(pictures[0], pictures[1])
    assert (pictures[0] != pictures[2]).mean() > 0.2


@both_kinds
@both_sources
def test_label_crop_and_mask_count(build, kind, source):
    painter = build(kind, source)
    crop, mask = crop_and_mask()
    first = painter.paint(crop, mask, 'cat', 0).image
    others = [
        (crop, mask, 'cow'),
        (255 - crop, mask, 'cat'),
        (crop, ~mask, 'cat'),
    ]
    for other in others:
        assert (painter.paint(*other, 0).image != first).mean() > 0.2


@both_kinds
def test_provenance(models, build, kind):
    how = build(kind).paint(*crop_and_mask(), 'cat', 0).how
    assert re.fullmatch('a cat of (wool|foil)', how.pop('prompt'))
    assert how == dict(negative_prompt='a blurry cat', dtype='fp32')
    painter = build(kind, 'embeddings')
    how = painter.paint(*crop_and_mask(), 'dining_table', 0).how
    norm = how.pop('shift_norm')
    width = 3 * 32 + (5 * 16 if kind == 'xl' else 0)
    assert norm == pytest.approx(2 * width**0.5, rel=0.25)
    assert json.loads(json.dumps(how)) == dict(
        prompt='a photo of a dining table',
        negative_prompt='',
        dtype='fp32',
        std=2.0,
        tokens=['din', 'ing</w>', 'table</w>'],
        positions=[10, 11, 12],
    )
    assert painter.name == models[kind]


@both_kinds
def test_paints_at_the_models_size_and_outside_of_the_box_nothing(build, kind):
    painter = build(kind, 'embeddings')
    assert (painter.size, painter.multiple) == (64, 8)
    image = np.random.default_rng(1).integers(0, 255, (90, 120, 3), np.uint8)
    box = (30, 20, 80, 60)
    made, how = paint_box(image, box, painter, 'cat', 5)
    assert max(how['paint_size']) == 64
    x1, y1, x2, y2 = how['padded_box']
    outside = np.ones(image.shape[:2], bool)
    outside[y1:y2, x1:x2] = False
    assert 0 < outside.mean() < 1
    np.testing.assert_array_equal(made[outside], image[outside])
    assert (made[20:60, 30:80] != image[20:60, 30:80]).mean() > 0.9


def test_own_size(build):
    assert build(size=96).size == 96
    with pytest.raises(ValueError, match='size must be at least 8 .*got 4'):
        build(size=4)


@both_kinds
@both_sources
def test_fp16_without_a_gpu_says_so_and_goes_on(build, kind, source):
    with pytest.warns(UserWarning, match='fp16.*goes on in fp32'):
        painter = build(kind, source, dtype='fp16')
    assert painter.dtype == 'fp32'
    assert painter.pipe.unet.dtype == torch.float32
    assert_same_picture(picture(painter), picture(build(kind, source)))


@both_kinds
@both_sources
def test_half_precision_paints_nearly_the_same(build, kind, source):
    painter = build(kind, source, dtype='bf16')
    assert painter.pipe.unet.dtype == torch.bfloat16
    difference = picture(painter).astype(int) - picture(build(kind, source))
    assert 0 < np.abs(difference).mean() < 8


def test_the_safety_checker_refuses(models):
    painter = DiffusersPainter(models['sd'], SOURCES['generic'], steps=2)
    assert painter.paint(*crop_and_mask(), 'cat', 0) is not None
    # Everything is like the concepts now.
    painter.pipe.safety_checker.concept_embeds_weights.data.fill_(-2)
    assert painter.paint(*crop_and_mask(), 'cat', 0) is None
    image = np.zeros((64, 64, 3), np.uint8)
    assert paint_box(image, (0, 0, 32, 32), painter, 'cat', 0) is None


def test_a_picture_that_is_not_finite_is_refused(models):
    painter = DiffusersPainter(models['xl'], SOURCES['generic'], steps=2)
    painter.pipe.vae.decoder.conv_out.bias.data[0] = torch.nan
    with pytest.warns(UserWarning, match="not finite; left out.*'fp32'"):
        assert painter.paint(*crop_and_mask(), 'cat', 0) is None


@both_kinds
def test_checks_classes_before_it_paints(build, kind):
    build(kind).check_classes(['cat', 'dining table'])
    build(kind, 'embeddings').check_classes(['cat', 'dining table'])
    table = GenericPrompts(classes={'cat': 'a wooden {}'})
    with pytest.raises(ValueError, match="not in the prompt table: 'cow'"):
        build(kind, table).check_classes(['cat', 'cow'])
    grown = ClassEmbeddings(1, 'super{}s')
    with pytest.raises(ValueError, match="tokens of the class 'cat'"):
        build(kind, grown).check_classes(['cat'])


@pytest.mark.parametrize(
    'options, message',
    [
        (dict(guidance=0.5), 'guidance must be at least 1.*got 0.5'),
        (dict(strength=0), r'strength must be in \(0, 1\], got 0'),
        (dict(strength=1.5), r'strength must be in \(0, 1\], got 1.5'),
        (dict(steps=0), 'steps 0 at strength 1.0'),
        (dict(steps=3, strength=0.3), 'steps 3 at strength 0.3'),
        (dict(dtype='int8'), "dtype must be .*got 'int8'"),
    ],
)
def test_refuses_bad_values(build, options, message):
    with pytest.raises(ValueError, match=message):
        build(**options)


def test_sampling_values_reach_the_pipeline(build):
    first = picture(build())
    for options in (dict(guidance=1), dict(steps=4), dict(strength=0.5)):
        other = picture(build(**options))
        assert (other != first).mean() > 0.2, options


def test_refuses_crops_that_do_not_fit(build):
    crop, mask = crop_and_mask()
    with pytest.raises(ValueError, match=r'multiples of 8, got \(60, 64\)'):
        build().paint(crop[:60], mask[:60], 'cat', 0)
    with pytest.raises(ValueError, match=r'\(64, 64\), got \(64, 56\)'):
        build().paint(crop, mask[:, 8:], 'cat', 0)
    with pytest.raises(ValueError, match='multiples of 8'):
        build().paint(crop[:0], mask[:0], 'cat', 0)


def test_is_built_from_a_config(models, build):
    painter = PAINTERS.build(
        dict(
            type='mmood.DiffusersPainter',
            model=models['sd'],
            prompts=dict(
                type='mmood.ClassEmbeddings',
                std=2.0,
                template='a photo of a {}',
            ),
            steps=2,
        )
    )
    expected = picture(build('sd', 'embeddings'))
    assert_same_picture(picture(painter), expected)
