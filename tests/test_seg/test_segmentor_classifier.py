"""Scores that read the last layer of a segmentor, against numpy.

Shapes: B images, C channels, K = 4 classes, H x W pixels, h x w cells.
"""

import copy

import numpy as np
import pytest
import torch

from helpers import assert_near
from mmood.hooks import fit_scores
from mmood.registry import SCORES
from mmood.scores import (
    ash,
    energy,
    fit_temperature,
    gradnorm,
    msp,
    register_score,
)
from mmood.seg.models import FeatureProbe
from seg_families import FAMILIES, batch, build
from seg_helpers import build_segmentor, seg_batch

LAST = dict(classifier=True)
WITH_CONV = ('fcn', 'deeplabv3plus', 'segformer', 'cgnet')
SLIDE = dict(mode='slide', crop_size=(32, 32), stride=(16, 32))
ALL = [
    'gen',
    'gradnorm',
    'temperature',
    'react',
    'scale',
    dict(type='dice', percentile=50),
    *(dict(type='ash', kind=kind, name=f'ash_{kind}') for kind in 'SPB'),
    dict(type='react', name='both', score=dict(type='dice', percentile=50)),
]


def network(model, data):
    """Features (B, C, h, w) before, logits (B, K, h, w) after conv_seg."""
    return around_last(model, images(model, data))


def images(model, data):
    """As the network gets them, (B, 3, H, W)."""
    return model.data_preprocessor(copy.deepcopy(data))['inputs']


def around_last(model, inputs):
    calls, layer = [], model.decode_head.conv_seg
    handle = layer.register_forward_hook(
        lambda _, inputs, output: calls.append((inputs[0], output))
    )
    with torch.no_grad():
        model._forward(inputs)
    handle.remove()
    (call,) = calls
    return call


def predicted(model, data):
    with torch.no_grad():
        found = model.test_step(copy.deepcopy(data))
    return [sample.pred_ood for sample in found]


def fitted(model, *data):
    train, validation = (data * 2)[:2]
    fit_scores(
        model, [copy.deepcopy(train)], None, [copy.deepcopy(validation)]
    )
    return model


def often_right(model, data):
    """The images with labels of which a quarter are the network's."""
    model.scores.skips_unfitted = True
    with torch.no_grad():
        found = model.test_step(copy.deepcopy(data))
    model.scores.skips_unfitted = False
    for sample, one in zip(data['data_samples'], found):
        said = one.seg_logits.data.argmax(0)
        sample.gt_sem_seg.data[0, ::4] = said[::4]
    return data


def enlarged(cells, maps):
    """Cells (B, h, w) as near as can be to maps (B, H, W), by repetition."""
    height = maps.shape[-2] // cells.shape[-2]
    width = maps.shape[-1] // cells.shape[-1]
    return cells.repeat_interleave(height, 1).repeat_interleave(width, 2)


@pytest.fixture
def seen():
    """A score that keeps the samples that it gets."""
    kept = []

    @register_score('seen', reads=('features', 'logits', 'classifier'))
    def seen(samples):
        kept.append(samples)
        return -samples.logits.amax(1)

    yield kept
    SCORES.module_dict.pop('seen')


@pytest.mark.parametrize('family', WITH_CONV)
def test_features_classifier_and_logits_go_together(seen, family):
    """The network's own, of each cell, not those of pixels made smaller."""
    model, _ = build(family, ['energy', 'seen'], probe=LAST)
    features, logits = network(model, batch())
    predicted(model, batch())
    (samples,) = seen
    assert_near(samples.features, features)
    assert_near(samples.logits, logits)
    assert_near(samples.classifier(features), logits)


def test_a_dropout_before_the_layer_does_nothing_at_test(seen):
    head = dict(FAMILIES['fcn']['decode_head'], dropout_ratio=0.5)
    model, _ = build('fcn', ['seen'], probe=LAST, decode_head=head)
    predicted(model, batch())
    assert_near(seen[0].logits, network(model, batch())[1])


def test_one_channel_has_a_first_class_of_zeros(seen):
    head = dict(
        FAMILIES['fcn']['decode_head'],
        num_classes=2,
        out_channels=1,
        threshold=0.3,
        loss_decode=dict(type='CrossEntropyLoss', use_sigmoid=True),
    )
    model, _ = build('fcn', ['seen'], probe=LAST, decode_head=head)
    predicted(model, batch())
    logits = network(model, batch())[1]
    both = torch.cat([torch.zeros_like(logits), logits], 1)
    assert_near(seen[0].logits, both)


@pytest.mark.parametrize('family', ['fcn', 'segformer'])
def test_all_scores_of_one_model(family):
    model, _ = build(family, ALL, probe=LAST)
    fitted(model, often_right(model, batch()))
    found = predicted(model, batch(seed=2))
    features, logits = network(model, batch(seed=2))
    classify = model.probe.linear(model)
    cut = features.clamp(max=float(model.scores.fitted['react'].limit))
    expected = dict(
        gradnorm=gradnorm(features, logits),
        ash_B=energy(classify(ash(features, 65, 'B'))),
        react=energy(classify(cut)),
    )
    for i, maps in enumerate(found):
        for name, cells in expected.items():
            value = getattr(maps, name)
            assert_near(value, enlarged(cells[i : i + 1], value), 1e-3, 1e-4)
        for name in model.scores.names:
            value = getattr(maps, name)
            assert value.shape == (1, 48, 32) and torch.isfinite(value).all()
            assert value.std() > 0


def test_the_fit_sees_labelled_cells():
    model, _ = build('fcn', ['react', 'dice'], probe=LAST)
    data = batch()
    for sample in data['data_samples']:
        sample.gt_sem_seg.data[:, :20] = 255
    features, _ = network(model, data)
    scale = 48 // features.shape[2]
    label = torch.stack([s.gt_sem_seg.data[0] for s in data['data_samples']])
    chosen = label[:, scale // 2 :: scale, scale // 2 :: scale] != 255
    rows = features.permute(0, 2, 3, 1)[chosen].double().numpy()
    assert 0 < len(rows) < chosen.numel()
    fitted(model, data)
    scores = model.scores.fitted
    assert_near(scores['dice'].mean, rows.mean(0))
    limit = np.percentile(rows, 90)
    assert scores['react'].limit.item() == pytest.approx(limit, rel=1e-5)


def test_windows_have_features_of_their_own():
    """Each is scored for itself, and the scores are averaged."""
    model, _ = build('fcn', ['gradnorm'], probe=LAST, test_cfg=SLIDE)
    data = batch()
    (one, _) = predicted(model, data)
    inputs, parts = images(model, data)[:1], []
    for top in (0, 16):
        window = inputs[:, :, top : top + 32]
        cells = gradnorm(*around_last(model, window))
        parts.append(enlarged(cells, torch.zeros(32, 32)))
    assert_near(one.gradnorm[:, :16], parts[0][:, :16], 1e-3, 1e-4)
    both = (parts[0][:, 16:] + parts[1][:, :16]) / 2
    assert_near(one.gradnorm[:, 16:32], both, 1e-3, 1e-4)


def test_a_temperature_of_the_validation_images_pixels():
    """Not of the training images; wrong pixels count, unlabelled do not."""
    model = build_segmentor(scores=['temperature', 'energy'], losses=[])
    (train, labels), (others, samples) = seg_batch(2), seg_batch(2)
    train = dict(inputs=list(train), data_samples=labels)
    data = dict(inputs=list(others), data_samples=samples)
    often_right(model, data)
    for sample in samples:
        sample.gt_sem_seg.data[0, 1] = 255
    fitted(model, train, data)
    with torch.no_grad():
        done = model.test_step(copy.deepcopy(data))
    z = torch.stack([sample.seg_logits.data for sample in done])
    label = torch.cat([sample.gt_sem_seg.data for sample in samples])
    rows = z.permute(0, 2, 3, 1)[label != 255]
    expected = fit_temperature(rows, label[label != 255])
    found = model.scores.fitted['temperature'].temperature.item()
    assert found == pytest.approx(expected, rel=1e-3)
    for one in done:
        scaled = msp(one.seg_logits.data / expected, 0)
        assert_near(one.pred_ood.temperature[0], scaled, atol=1e-4)


def test_the_classifiers_features_are_the_default_for_those_who_read_it():
    cfg = dict(losses=[], scores=['energy', 'react', 'dice'])
    model = build_segmentor(**cfg)
    assert model.probe.classifier and model.scores.fitted['react'].channels
    model, _ = build('fcn', ['react'], probe=None)
    assert model.probe.width(model) == 16
    # As before where a score reads features alone.
    assert build_segmentor(losses=[], scores=['knn']).probe.keys == -1


@pytest.mark.parametrize(
    'options',
    [
        dict(scores=['react', 'knn'], losses=[]),
        dict(scores=['react'], losses=[], probe=dict(keys=-1)),
        dict(scores=['react', 'diffusion', 'energy']),
    ],
)
def test_features_of_anything_else_are_refused(options):
    message = (
        "'react' reads the last linear layer .* set "
        r'probe=dict\(classifier=True\)'
    )
    with pytest.raises(ValueError, match=message):
        build_segmentor(**options)


@pytest.mark.parametrize('probe', [None, LAST])
def test_a_head_without_such_a_layer_is_refused(probe):
    message = (
        'decode head with a last layer conv_seg, and of '
        'SegmenterMaskTransformerHead the head has no last layer'
    )
    with pytest.raises(ValueError, match=message):
        build('segmenter', ['react'], probe=probe)


def test_a_layer_of_another_kind_is_refused():
    model, _ = build('fcn', ['energy'])
    model.decode_head.conv_seg = torch.nn.Conv2d(16, 4, 3)
    with pytest.raises(ValueError, match=r'convolution of \(3, 3\) pixels'):
        FeatureProbe(**LAST).linear(model)
