"""What a file says about its preprocessing."""

import json

import pytest
from mmdet.models.data_preprocessors import DetDataPreprocessor
from mmseg.models import SegDataPreProcessor

from mmood.deploy.pipeline import describe, multiples

LOAD = dict(type='LoadImageFromFile')
PACK = dict(type='mmdet.PackDetInputs')


def test_of_a_detector():
    maker = DetDataPreprocessor(
        [1, 2, 3], [4, 5, 6], bgr_to_rgb=True, pad_size_divisor=32
    )
    steps = [LOAD, dict(type='mmdet.Resize', scale=(8, 6)), PACK]
    found = describe(steps, maker)
    assert json.loads(json.dumps(found)) == dict(
        steps=[dict(step='resize', scale=[8, 6], keep_ratio=False)],
        order='rgb',
        mean=[1, 2, 3],
        std=[4, 5, 6],
        divisor=32,
        pad_size=None,
        pad_value=0,
    )


def test_of_a_segmentor_without_normalisation():
    maker = SegDataPreProcessor(size=(64, 64), pad_val=3)
    found = describe([LOAD], maker)
    assert found == dict(
        steps=[],
        order='bgr',
        mean=None,
        std=None,
        divisor=1,
        pad_size=None,
        pad_value=3,
    )


@pytest.mark.parametrize(
    ('step', 'said'),
    [
        (dict(type='TestTimeAug', transforms=[]), 'several times'),
        (dict(type='mmdet.RandomFlip', prob=1.0), 'RandomFlip'),
        (dict(type='mmdet.Resize', scale_factor=2.0), 'scale_factor'),
        (
            dict(type='mmdet.Resize', scale=(8, 8), interpolation='area'),
            "'area'",
        ),
        (dict(type='mmdet.Pad', size=(9, 9), padding_mode='edge'), 'edge'),
    ],
)
def test_what_the_runner_cannot_do_is_refused(step, said):
    with pytest.raises(ValueError, match=said):
        describe([LOAD, step, PACK], DetDataPreprocessor())


RESIZE = dict(step='resize', scale=[8, 6], keep_ratio=True)
MULTIPLE = dict(step='multiple', divisor=14)
PAD = dict(step='pad', size=None, divisor=8, square=False, value=0)


@pytest.mark.parametrize(
    ('steps', 'divisor', 'expected'),
    [
        ([], 1, 1),
        ([RESIZE], 32, 32),
        ([RESIZE, MULTIPLE], 1, 14),
        ([RESIZE, MULTIPLE], 7, 14),
        ([RESIZE, MULTIPLE], 4, 4),
        ([MULTIPLE, RESIZE], 1, 1),
        ([RESIZE, PAD], 1, 8),
        ([dict(PAD, divisor=None)], 1, 1),
    ],
)
def test_what_sides_are_multiples_of(steps, divisor, expected):
    about = dict(steps=steps, divisor=divisor, pad_size=None)
    assert multiples(about) == expected
    about = dict(about, pad_size=[50, 50])
    assert multiples(about) == divisor
