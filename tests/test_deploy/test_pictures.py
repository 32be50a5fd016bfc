"""What the runner does to a picture, against what the pipelines do."""

import cv2
import mmcv
import mmseg.datasets  # noqa: F401  (registers its transforms)
import numpy as np
import pytest
import torch
from mmcv.transforms import Compose
from mmdet.models.data_preprocessors import DetDataPreprocessor
from mmdet.structures import DetDataSample
from mmseg.models import SegDataPreProcessor

from mmood.deploy.pictures import prepare, resize, scaled_size
from mmood.deploy.pipeline import describe
from mmood.registry import TRANSFORMS

MEAN, STD = [123.7, 116.3, 103.5], [58.4, 57.1, 57.4]


def picture(height=50, width=70):
    rng = np.random.default_rng(height)
    return rng.integers(0, 256, (height, width, 3), np.uint8)


@pytest.mark.parametrize(
    'size',
    [(20, 31), (99, 120), (100, 140), (50, 71), (25, 35), (50, 70), (1, 1)],
)
@pytest.mark.parametrize('old', [(50, 70), (3, 300), (1, 1), (7, 1)])
def test_resizing_is_as_opencv_does_it(old, size):
    expected = cv2.resize(picture(*old), size[::-1])
    np.testing.assert_array_equal(resize(picture(*old), size), expected)


def test_resizing_of_one_colour_is_that_colour():
    flat = np.full((7, 5, 3), (0, 128, 255), np.uint8)
    assert (resize(flat, (13, 4)) == (0, 128, 255)).all()


@pytest.mark.parametrize('scale', [(60, 40), (1333, 800), (31, 97)])
@pytest.mark.parametrize('size', [(50, 70), (70, 50), (33, 33)])
def test_scaled_sizes_are_as_mmcv_has_them(size, scale):
    expected = mmcv.rescale_size(size[::-1], scale)[::-1]
    assert scaled_size(size, scale, keep_ratio=True) == expected
    assert scaled_size(size, scale, keep_ratio=False) == scale[::-1]


DET = [
    [],
    [dict(type='mmdet.Resize', scale=(60, 40), keep_ratio=True)],
    [
        dict(type='mmdet.Resize', scale=(90, 90), keep_ratio=True),
        dict(type='mmdet.Pad', size=(96, 100), pad_val=dict(img=(114,) * 3)),
    ],
    [dict(type='mmdet.Pad', pad_to_square=True, size_divisor=16, pad_val=7)],
]


@pytest.mark.parametrize('steps', DET, ids=len)
@pytest.mark.parametrize('is_rgb', [True, False])
def test_a_detector_gets_the_same(steps, is_rgb):
    maker = DetDataPreprocessor(
        MEAN, STD, bgr_to_rgb=is_rgb, pad_size_divisor=32, pad_value=0.5
    )
    assert_same(steps, maker)


SEG = [
    [dict(type='mmseg.Resize', scale=(60, 45))],
    [
        dict(type='mmseg.Resize', scale=(60, 45), keep_ratio=True),
        dict(type='mmseg.ResizeToMultiple', size_divisor=14),
    ],
]


@pytest.mark.parametrize('steps', SEG, ids=len)
@pytest.mark.parametrize('padding', [None, dict(size_divisor=32)])
def test_a_segmentor_gets_the_same(steps, padding):
    options = dict(bgr_to_rgb=True, size=(1, 1), test_cfg=padding)
    assert_same(steps, SegDataPreProcessor(MEAN, STD, **options))


def assert_same(steps, maker):
    built = Compose([TRANSFORMS.build(dict(step)) for step in steps])
    made = built(dict(img=picture(), img_shape=(50, 70), ori_shape=(50, 70)))
    x = made['img']
    batch = dict(inputs=[torch.from_numpy(x.transpose(2, 0, 1).copy())])
    expected = maker({**batch, 'data_samples': [DetDataSample()]})[
        'inputs'
    ].numpy()
    found, inner, scale = prepare(picture(), describe(steps, maker))
    assert inner == x.shape[:2]
    if 'multiple' not in [s['step'] for s in describe(steps, maker)['steps']]:
        expected_scale = made.get('scale_factor', (1, 1))[::-1]
        np.testing.assert_allclose(scale, expected_scale)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, atol=1e-5)
    turned = picture()[..., ::-1]
    again = prepare(turned, describe(steps, maker), 'rgb')
    np.testing.assert_allclose(found, again.image, atol=1e-5)


@pytest.mark.parametrize(
    ('wrong', 'said'),
    [
        ('street.jpg', 'got str: read the file'),
        (np.zeros((5, 5), np.uint8), r'got \(5, 5\)'),
        (np.zeros((5, 5, 4), np.uint8), r'got \(5, 5, 4\)'),
        (np.zeros((5, 5, 3)), 'got float64'),
        (np.zeros((0, 5, 3), np.uint8), r'of shape \(0, 5, 3\)'),
    ],
)
def test_what_is_no_picture_is_refused(wrong, said):
    with pytest.raises(ValueError, match=said):
        prepare(wrong, describe([], DetDataPreprocessor(MEAN, STD)))


def test_an_unknown_order_is_refused():
    with pytest.raises(ValueError, match="'bgr' or 'rgb', got 'hsv'"):
        prepare(picture(), describe([], DetDataPreprocessor()), 'hsv')
