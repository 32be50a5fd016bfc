"""Segmentors as ONNX files, against PyTorch."""

import copy

import pytest
import torch
from mmseg.structures import SegDataSample

from deploy_helpers import LOAD, exported, fit_scores, noise, photograph
from mmood.deploy.compare import differences
from mmood.deploy.pictures import prepare
from mmood.seg.export import plan
from seg_families import FAMILIES
from seg_helpers import build_segmentor, lively

SIZE = (64, 64)
RESIZE = dict(type='mmseg.Resize', scale=(96, 72), keep_ratio=True)
TO_SIZE = dict(type='mmseg.Resize', scale=(32, 32))
PACK = dict(type='mmseg.PackSegInputs')


@torch.no_grad()
def by_torch(model, picture, about):
    """What PyTorch makes of what the runner makes of the picture."""
    x, inner, _ = prepare(picture, about)
    height, width = x.shape[2:]
    padding = 0, width - inner[1], 0, height - inner[0]
    meta = dict(
        img_shape=(height, width),
        pad_shape=(height, width),
        ori_shape=picture.shape[:2],
        img_path='picture',
        img_padding_size=padding,
    )
    sample = SegDataSample(metainfo=meta)
    found = model.predict(torch.from_numpy(x), [sample])[0]
    maps = found.pred_ood
    return dict(
        classes=found.pred_sem_seg.data[0].numpy(),
        ood_scores={n: maps.get(n)[0].numpy() for n in model.scores.names},
        is_ood=maps.is_ood[0].numpy(),
    )


def assert_same_maps(found, expected):
    """Scores within 1e-3; a pixel in a thousand may be a close call."""
    for name, value in differences(found, expected).items():
        assert value <= 1e-3, (name, value)
    assert found['classes'].shape == expected['classes'].shape


def ready(model, limit):
    model.dataset_meta = dict(classes=list('abcd'))
    first = model.scores.first
    model.scores.thresholds[first].fill_(limit)
    return model


@pytest.fixture(scope='module')
def fcn():
    torch.manual_seed(0)
    model = build_segmentor(
        fit=False,
        **copy.deepcopy(FAMILIES['fcn'])
        | dict(probe=dict(classifier=True), losses=[], upsample='bilinear'),
        scores=['energy', 'msp', 'mahalanobis', dict(type='knn', k=5)],
    )
    lively(model.decode_head, 0.3)
    model.data_preprocessor.test_cfg = dict(size_divisor=32)
    fit_scores(model.scores, 16, 4)
    return ready(model, -2.0)


@pytest.fixture(scope='module')
def fcn_file(fcn, tmp_path_factory):
    path = tmp_path_factory.mktemp('onnx') / 'fcn.onnx'
    return exported(plan(fcn, [LOAD, RESIZE, PACK]), path, SIZE)[0]


@pytest.mark.parametrize('size', [(64, 64), (80, 50), (30, 41)])
def test_a_segmentor(fcn, fcn_file, size):
    found = fcn_file(noise(*size))
    assert found['classes'].shape == size
    assert_same_maps(found, by_torch(fcn, noise(*size), fcn_file.about))


@pytest.mark.parametrize('name', ['camvid', 'road_anomaly21'])
def test_a_segmentor_on_a_photograph(fcn, fcn_file, name):
    picture = photograph(name)
    expected = by_torch(fcn, picture, fcn_file.about)
    assert_same_maps(fcn_file(picture), expected)


TO_PATCHES = dict(type='mmseg.ResizeToMultiple', size_divisor=8)


def test_a_vision_transformer_takes_any_size(tmp_path):
    """Its position embedding is resized in the graph."""
    torch.manual_seed(0)
    cfg = dict(scores=['energy', 'msp'], losses=[])
    model = ready(build_segmentor(fit=False, **cfg), -2.0)
    embed = model.backbone.patch_embed
    assert embed.adap_padding is not None and embed.projection.stride == (8, 8)
    steps = [LOAD, dict(TO_PATCHES), PACK]
    file, said = exported(plan(model, steps), tmp_path / 'a.onnx', (32, 48))
    assert said.endswith('for pictures of any size')
    for size in ((32, 32), (40, 50), (90, 61)):
        expected = by_torch(model, noise(*size), file.about)
        assert_same_maps(file(noise(*size)), expected)


def test_dood_has_the_same_noise_for_every_picture(tmp_path):
    """Its position embedding and its noise are of one size."""
    torch.manual_seed(0)
    model = ready(build_segmentor(), 0.1)
    file, said = exported(
        plan(model, [LOAD, TO_SIZE, PACK]), tmp_path / 'a.onnx', (32, 32)
    )
    assert 'for 32 x 32 pixels alone' in said
    for size in ((32, 32), (40, 50)):
        expected = by_torch(model, noise(*size), file.about)
        assert_same_maps(file(noise(*size)), expected)


@pytest.mark.parametrize(
    ('change', 'said'),
    [
        (dict(mode='slide', crop_size=(8, 8), stride=(4, 4)), 'several win'),
    ],
)
def test_what_looks_several_times_is_refused(fcn, change, said):
    model = copy.deepcopy(fcn)
    model.test_cfg.update(change)
    with pytest.raises(ValueError, match=said):
        plan(model, [LOAD])


def test_a_stock_segmentor_is_refused():
    with pytest.raises(ValueError, match='Linear has no scores: it must be'):
        plan(torch.nn.Linear(1, 1), [LOAD])
