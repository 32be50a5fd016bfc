"""dood.py on state dicts with the released names and shapes."""

import importlib.util
import os

import pytest
import torch
from mmseg.models.backbones import VisionTransformer
from mmseg.models.decode_heads import SegmenterMaskTransformerHead

from dood_release import (
    ADE,
    CITYSCAPES,
    TINY,
    released_denoiser,
    released_diffusion,
    released_forward,
    released_shapes,
    released_statistics,
)
from helpers import ROOT, assert_near, run_script
from mmood.diffusion import DenoisingMLP
from mmood.ops import FeatureRange
from mmood.seg.models import DistilledVisionTransformer

PATH = ROOT / 'tools/model_converters/dood.py'
spec = importlib.util.spec_from_file_location('dood_converter', PATH)
dood = importlib.util.module_from_spec(spec)
spec.loader.exec_module(dood)

WIDTH = dict(embed_dims=16, num_heads=2)
HEAD = dict(WIDTH, in_channels=16, channels=16, num_classes=5, num_layers=1)
BACKBONE = dict(WIDTH, img_size=32, patch_size=8, num_layers=2)


def states_of(**parts):
    return {
        f'{part}.{name}': value
        for part, module in parts.items()
        for name, value in module.state_dict().items()
    }


def segmenter():
    return states_of(
        backbone=DistilledVisionTransformer(**BACKBONE, final_norm=True),
        decode_head=SegmenterMaskTransformerHead(**HEAD),
    )


def part(state, prefix):
    return {
        key[len(prefix) :]: value
        for key, value in state.items()
        if key.startswith(prefix)
    }


@pytest.mark.parametrize(
    'form', [TINY, {**TINY, 'periodic': False}, CITYSCAPES]
)
def test_converted_denoiser_is_the_same_function(form):
    released = released_denoiser(256, **form)
    before = {name: value.clone() for name, value in released.items()}
    converted = dood.convert_denoiser(released)
    net = DenoisingMLP(**dood.denoiser_arguments(released))
    net.load_state_dict(converted)
    x, t = torch.randn(7, 256), torch.tensor([0, 1, 5, 24, 25, 500, 999])
    expected = released_forward(released, x, t)
    assert expected.std() > 0.1
    out = net(x, t)
    torch.testing.assert_close(out, expected, rtol=1e-4, atol=1e-5)
    row = released_forward(released, x[:1], t[3:4])
    torch.testing.assert_close(net(x[:1], 24), row, rtol=1e-4, atol=1e-5)
    # The time matters in both, and the input is left alone.
    other = released_forward(released, x, t.flip(0))
    assert (other - expected).abs().max() > 0.01
    assert all(torch.equal(released[k], before[k]) for k in before)


@pytest.mark.parametrize(
    ('channels', 'form', 'arguments', 'tensors', 'values'),
    [
        (768, CITYSCAPES, [6, 3, 'periodic'], 170, 39_026_688),
        (1024, ADE, [8, 4, 'scalar'], 182, 69_357_568),
    ],
)
def test_released_sizes_are_converted_whole(
    channels, form, arguments, tensors, values
):
    released = {
        name: torch.zeros(1).expand(shape)  # takes no memory
        for name, shape in released_shapes(channels, **form).items()
    }
    statistics = released_statistics(channels)
    diffusion = released_diffusion(released, statistics)
    state = dood.convert(segmenter(), diffusion)
    converted = part(state, 'losses.DenoisingLoss.denoiser.')
    assert len(released) == len(converted) == tensors
    assert sum(v.numel() for v in converted.values()) == values
    found = dood.denoiser_arguments(released)
    assert list(found.values())[:4] == [channels, *arguments]


@pytest.mark.parametrize('own_scales', [False, True])
@pytest.mark.parametrize(
    'without', [[], ['min', 'max', 'shift', 'scale', 'mean', 'std', 'means']]
)
def test_features_are_normalised_as_released(own_scales, without):
    statistics = released_statistics(16, own_scales=own_scales)
    x = torch.randn(9, 16)
    expected = (x - statistics['shift']) / statistics['scale']
    for name in without:
        del statistics[name]
    low, high, per_channel = dood.feature_range(statistics)
    # An old file does not say that it has a scale per channel.
    assert per_channel == (own_scales and not without)
    module = FeatureRange(16, per_channel=own_scales)
    module.load_state_dict(dict(minimum=low, maximum=high))
    torch.testing.assert_close(module(x), expected)


def test_a_scale_of_one_number_is_taken_too():
    statistics = released_statistics(16)
    statistics['scale'] = statistics['scale'][:1]
    assert dood.feature_range(statistics)[2] is False


def test_mask_head_multiplies_by_what_the_released_one_does():
    state = segmenter()
    converted = dood.convert_segmentor(state)
    head = SegmenterMaskTransformerHead(**HEAD)
    head.load_state_dict(part(converted, 'decode_head.'))
    x = torch.randn(6, 16)
    for name in ('patch_proj', 'classes_proj'):
        weight = state[f'decode_head.{name}.weight']
        layer = getattr(head, name)
        torch.testing.assert_close(layer(x), x @ weight)
        assert not torch.allclose(layer(x), x @ weight.T, atol=0.1)


def test_segmentors_pass_otherwise_unchanged():
    state = segmenter()
    converted = dood.convert_segmentor(state)
    assert list(converted) == list(state)
    for name in set(state) - set(dood.TRANSPOSED):
        assert converted[name] is state[name], name
    setr = states_of(
        backbone=VisionTransformer(**BACKBONE, patch_bias=True),
        decode_head=torch.nn.Conv2d(16, 5, 1),
        auxiliary_head=torch.nn.Conv2d(16, 5, 1),
    )
    assert dood.convert_segmentor(setr) == setr


def test_all_parts_get_their_places():
    segmentor, diffusion = segmenter(), released_diffusion()
    state = dood.convert(segmentor, diffusion)
    ours = {k for k in state if k.startswith('losses.DenoisingLoss.')}
    assert set(state) - ours == set(segmentor)
    start = 'losses.DenoisingLoss.feature_range'
    buffers = {f'{start}.{n}imum' for n in ('min', 'max')}
    assert {k for k in ours if '.denoiser.' not in k} == buffers
    for end in ('min', 'max'):
        value = state[f'{start}.{end}imum']
        assert torch.equal(value, diffusion[f'normalization.{end}'])


def changed(state, name, value):
    """With a key set, or removed for None."""
    state = {**state, name: value}
    return (
        state
        if value is not None
        else {k: state[k] for k in state if k != name}
    )


ONE, ONES = torch.zeros(1), torch.ones(256)
SKIP = 'output_blocks.1.0.skip_connection.bias'
EXTRA = 'middle_blocks.0.0.extra.weight'
THIRD = 'input_blocks.2.0.in_layers.0.weight'


@pytest.mark.parametrize(
    ('name', 'value', 'pattern'),
    [
        (f'denoiser.{SKIP}', None, f'missing: {SKIP}'),
        ('denoiser.out.0.weight', None, 'missing: out.0.weight'),
        (f'denoiser.{EXTRA}', ONE, f'unknown: {EXTRA}'),
        ('denoiser.head.0.weight', ONE, 'unknown: head.0.weight'),
        (f'denoiser.{THIRD}', ONE, 'missing: .*output_blocks.2.0.skip_conn'),
        (
            'denoiser.out.2.bias',
            ONE,
            r'misshapen: out.2.bias \(1,\), not \(25',
        ),
        ('denoiser.time_embed.2.weight', None, 'unknown: .*emb_layers.1.bias'),
        ('optimizer.lr', ONE, 'unknown: optimizer.lr'),
        ('normalization.offset', ONE, 'unknown: offset'),
        ('normalization.shift', ONES, 'normalization: shift not as minimum'),
        ('normalization.scale', ONES, 'normalization: scale not as minimum'),
        ('normalization.shift', ONE, 'min, max and shift differ in shape'),
        ('normalization.max', ONES / 0, 'minimum and maximum are not finite'),
    ],
)
def test_what_does_not_fit_is_named(name, value, pattern):
    diffusion = changed(released_diffusion(), name, value)
    with pytest.raises(ValueError, match=pattern):
        dood.convert(segmenter(), diffusion)


def test_missing_extremes_are_named():
    statistics = released_statistics(256)
    del statistics['min'], statistics['mins']
    with pytest.raises(ValueError, match='normalization .*missing: min$'):
        dood.feature_range(statistics)


@pytest.mark.parametrize(
    ('name', 'value', 'pattern'),
    [
        ('ema.weight', ONE, 'segmentor .*unknown: ema.weight'),
        (dood.TRANSPOSED[0], None, f'missing: {dood.TRANSPOSED[0]}'),
    ],
)
def test_segmentors_that_do_not_fit_are_named(name, value, pattern):
    with pytest.raises(ValueError, match=pattern):
        dood.convert_segmentor(changed(segmenter(), name, value))
    with pytest.raises(ValueError, match=r'missing: backbone\.\*, decode_h'):
        dood.convert_segmentor({})


def test_swapped_files_are_an_error():
    with pytest.raises(ValueError, match=r'missing: denoiser\.\*.*and \d+ mo'):
        dood.convert(released_diffusion(), segmenter())


def test_models_of_different_width_are_an_error():
    diffusion = released_diffusion(statistics=released_statistics(128))
    with pytest.raises(ValueError, match='256 channels, .* for 128'):
        dood.convert(segmenter(), diffusion)


def test_a_width_with_other_groups_is_an_error():
    denoiser = released_denoiser(64, **TINY)
    with pytest.raises(ValueError, match='32 groups, .*64 channels has 8'):
        dood.convert(segmenter(), released_diffusion(denoiser))


def test_command_writes_one_checkpoint_and_says_what_fits_it(tmp_path):
    segmentor, diffusion = segmenter(), released_diffusion()
    meta = dict(dataset_meta=dict(classes=('road', 'car')), epoch=3)
    files = [tmp_path / 'segm.pth', tmp_path / 'diff.pth']
    torch.save(dict(state_dict=segmentor, meta=meta), files[0])
    torch.save(dict(state_dict=diffusion, optimizer={}), files[1])
    out = tmp_path / 'new' / 'dood.pth'
    printed = run_script(PATH, *files, '--out', out)
    for setting in (
        "backbone.type='mmood.DistilledVisionTransformer'",
        'decode_head.num_classes=5',
        'losses.0.channels=256',
        'losses.0.per_channel=False',
        'losses.0.denoiser.num_blocks=2',
        "losses.0.denoiser.time_embedding='periodic'",
    ):
        assert setting in printed
    written = torch.load(out, weights_only=True)
    assert written['meta'] == dict(dataset_meta=meta['dataset_meta'])
    expected = dood.convert(segmentor, diffusion)
    assert list(written['state_dict']) == list(expected)
    for name, value in expected.items():
        assert_near(written['state_dict'][name], value)
    assert os.listdir(out.parent) == ['dood.pth']


class Evil:
    """A pickle that would run a command when it is loaded."""

    def __reduce__(self):
        return os.system, ('exit 1',)


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        (
            dict(state_dict={}, meta=Evil()),
            'which is no data and could run code',
        ),
        (dict(epoch=3), 'has no state_dict'),
        (dict(state_dict={}), 'not one that DOoD released'),
        (None, 'there is no checkpoint'),
        (b'hello', r'cannot be read \(KeyError: 101\): fetch or make it'),
        (dict(state_dict=[1]), 'a list as state_dict, which must be a dict'),
        (dict(state_dict={3: torch.zeros(1)}), 'is not of named tensors'),
        (dict(state_dict={'backbone.a': 5}), 'is not of named tensors'),
    ],
)
def test_command_refuses_other_files(tmp_path, content, message):
    path, out = tmp_path / 'segm.pth', tmp_path / 'out.pth'
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        torch.save(content, path)
    with pytest.raises(SystemExit, match=f'error: .*{message}'):
        dood.main([str(path), str(path), '--out', str(out)])
    assert not out.exists()
