"""Untrained models of a few classes, and a picture."""

import cv2
import numpy as np
import pytest

from mmood.demo.model import Model
from tiny_models import write_detector, write_segmentor


@pytest.fixture(scope='session')
def detector(tmp_path_factory):
    return Model(*write_detector(tmp_path_factory.mktemp('detector')), 'cpu')


@pytest.fixture(scope='session')
def segmentor(tmp_path_factory):
    return Model(*write_segmentor(tmp_path_factory.mktemp('segmentor')), 'cpu')


@pytest.fixture(scope='session')
def picture():
    """BGR, with some structure."""
    rng = np.random.default_rng(0)
    small = rng.integers(0, 255, (6, 8, 3), np.uint8)
    return cv2.resize(small, (128, 96), interpolation=cv2.INTER_CUBIC)
