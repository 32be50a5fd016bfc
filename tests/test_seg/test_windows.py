"""Windows of an image, against mmseg's own sliding."""

import numpy as np
import pytest
import torch
from mmengine.config import ConfigDict
from mmseg.models.segmentors import EncoderDecoder
from torch import nn
from torch.profiler import profile

from helpers import assert_near
from mmood.registry import SCORES
from mmood.scores import Samples, ScoreSet, register_score
from mmood.seg.models.windows import (
    image_key,
    label_as_seen,
    labelled_rows,
    mean_of_windows,
    row_scores,
    window_boxes,
)


class Slider(EncoderDecoder):
    """Looks at an image of its own places, and answers noise."""

    def __init__(self, crop, stride):
        nn.Module.__init__(self)
        self.out_channels = 1
        test_cfg = dict(mode='slide', crop_size=crop, stride=stride)
        self.test_cfg = ConfigDict(test_cfg)
        self.boxes, self.maps = [], []

    def encode_decode(self, inputs, batch_img_metas):
        ends = inputs[0, :, 0, 0], inputs[0, :, -1, -1] + 1
        self.boxes.append(tuple(int(v) for end in ends for v in end))
        self.maps.append(torch.randn(len(inputs), 1, *inputs.shape[-2:]))
        return self.maps[-1]


@pytest.fixture
def spy():
    """A score that remembers how many logits it got at once."""
    seen = []

    @register_score('spy')
    def spy(samples):
        seen.append(samples.logits.numel())
        return -samples.logits.amax(1)

    yield seen
    del SCORES.module_dict['spy']


def test_memory_of_scores_does_not_grow_with_classes_and_image(spy):
    """Beside the map of each score, that is."""
    scores = ScoreSet(['spy'], num_classes=150)
    logits = torch.randn(1, 150, 64, 683)
    found = row_scores(scores, Samples(logits))
    assert torch.equal(found['spy'], -logits.amax(1))
    assert sum(spy) == logits.numel() and max(spy) <= 2**19


def test_one_map_of_each_score_is_held():
    names = ['energy', 'msp', 'max_logit', 'entropy']
    scores = ScoreSet(names, num_classes=4)
    samples = Samples(torch.randn(1, 4, 1024, 2048))
    with torch.no_grad(), profile(profile_memory=True) as record:
        found = row_scores(scores, samples)
    assert list(found) == names
    held = peak = 0
    for event in record.profiler.kineto_results.events():
        if event.name() == '[memory]':
            held += event.nbytes()
            peak = max(peak, held)
    one = 4 * 1024 * 2048
    assert 4 * one <= peak < 6 * one  # and what is made on the way


@pytest.mark.parametrize(
    ('size', 'crop', 'stride'),
    [
        ((45, 37), (24, 24), (16, 16)),
        ((32, 32), (16, 16), (16, 16)),
        ((33, 20), (16, 24), (5, 7)),
        ((10, 50), (16, 16), (16, 8)),
        ((16, 16), (16, 16), (3, 3)),
    ],
)
def test_windows_are_where_mmseg_looks(size, crop, stride):
    slider = Slider(crop, stride)
    places = torch.meshgrid(*map(torch.arange, size), indexing='ij')
    image = torch.stack(places).float()[None].expand(2, 2, *size)
    merged = slider.slide_inference(image, [{}, {}])
    boxes = window_boxes(size, slider.test_cfg)
    assert boxes == slider.boxes
    maps = [part[:, 0] for part in slider.maps]
    assert_near(mean_of_windows(maps, boxes, lambda x, size: x), merged)
    with pytest.raises(ValueError, match='it must slide as mmseg does'):
        mean_of_windows(maps[1:], boxes, lambda x, size: x)


def test_the_whole_image_is_one_window():
    for test_cfg in ({}, dict(mode='whole')):
        assert window_boxes((5, 7), test_cfg) == [(0, 0, 5, 7)]
    x = torch.randn(2, 5, 7)
    found = mean_of_windows([x], [(0, 0, 5, 7)], lambda x, size: x)
    assert_near(found, x[:, None])


@pytest.mark.parametrize('direction', [None, 'horizontal', 'vertical'])
def test_a_label_as_the_network_sees_it(direction):
    """Half the size, turned, then padded on the left and below."""
    label = torch.arange(24).reshape(4, 6).repeat_interleave(2, 0)
    label = label.repeat_interleave(2, 1)
    meta = dict(img_padding_size=(3, 0, 0, 1))
    if direction:
        meta.update(flip=True, flip_direction=direction)
    found = label_as_seen(label, meta, (5, 9), 255)
    expected = np.full((5, 9), 255)
    inner = np.arange(24).reshape(4, 6)
    turned = dict(horizontal=inner[:, ::-1], vertical=inner[::-1])
    expected[:4, 3:] = turned.get(direction, inner)
    np.testing.assert_array_equal(found, expected)


def test_keys_of_images():
    """The same on any machine, others for another name or label."""
    label = torch.zeros(2, 3).long()
    key = image_key('a.png', label)
    assert key == -3677785299424392643
    assert image_key('b.png', label) != key
    label[0, 0] = 1
    assert image_key('a.png', label) != key


def test_rows_of_the_labelled_cells():
    """Of 2 x 2 cells three have a label in their middle."""
    label = torch.full((4, 4), 255)
    label[:2, :2], label[2:, :2], label[:2, 2:] = 0, 1, 2
    x = torch.arange(8.0).reshape(1, 2, 2, 2)
    seen = Samples(features=x, logits=-x, kind='sigmoid')
    samples, labels, keys = labelled_rows(seen, label, 255, key=100, number=2)
    assert samples.features.tolist() == [[0, 4], [1, 5], [2, 6]]
    assert samples.logits.tolist() == [[0, -4], [-1, -5], [-2, -6]]
    assert samples.kind == 'sigmoid' and not samples.values
    assert labels.tolist() == [0, 2, 1] and keys.tolist() == [108, 109, 110]


def test_rows_of_the_labelled_pixels():
    """The label has half the size of the maps."""
    label = torch.tensor([[0, 255], [255, 1]])
    values = dict(energy=torch.arange(16.0).reshape(1, 4, 4))
    seen = Samples(values=values)
    samples, labels, keys = labelled_rows(seen, label, 255, key=2**63 - 1)
    places = [0, 1, 4, 5, 10, 11, 14, 15]
    assert samples.values['energy'].tolist() == places
    assert samples.logits is None and samples.features is None
    assert labels.tolist() == [0] * 4 + [1] * 4
    assert len(set(keys.tolist())) == 8  # they wrap around
