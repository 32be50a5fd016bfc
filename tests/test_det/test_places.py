"""Places that ride along on priors and boxes."""

import pytest
import torch

from mmood.det.models.places import (
    CarryingCoder,
    rows_at,
    split_places,
    with_places,
)


@pytest.mark.parametrize('kind', ['float16', 'bfloat16', 'float32'])
def test_places_survive_any_precision(kind):
    rows = torch.zeros(3, 2, dtype=getattr(torch, kind))
    for start in (0, 255, 256, 65534, 256**3 - 3):
        own, places = split_places(with_places(rows, start))
        assert torch.equal(own, rows)
        assert places.tolist() == [start, start + 1, start + 2]


def test_a_batch_has_the_same_places():
    marked = with_places(torch.rand(2, 5, 4))
    for image in marked:
        assert split_places(image)[1].tolist() == [0, 1, 2, 3, 4]


def test_no_rows():
    own, places = split_places(with_places(torch.zeros(0, 4)))
    assert own.shape == (0, 4) and places.shape == (0,)


def test_the_coder_sees_the_priors_alone():
    class Coder:
        name = 'shift'

        def decode(self, priors, deltas, max_shape=None):
            assert priors.shape == (3, 2) and max_shape == (4, 4)
            return torch.cat([priors, deltas], 1)

    coder = CarryingCoder(Coder())
    priors, deltas = torch.rand(3, 2), torch.rand(3, 2)
    marked = with_places(priors, 7)[[2, 0, 1]]
    boxes = coder.decode(marked, deltas, max_shape=(4, 4))
    own, places = split_places(boxes)
    assert torch.equal(own, torch.cat([priors[[2, 0, 1]], deltas], 1))
    assert places.tolist() == [9, 7, 8] and coder.name == 'shift'


def test_rows_at_reads_level_by_level():
    # Two levels, two priors of a position, three values each.
    levels = [
        torch.arange(48.0).view(6, 2, 4),
        torch.arange(12.0).view(6, 1, 2),
    ]
    flat = torch.cat([m.view(2, 3, -1).permute(2, 0, 1).reshape(-1, 3)
                      for m in levels])  # fmt: skip
    places = torch.tensor([0, 1, 15, 16, 19, 7])
    assert torch.equal(rows_at(levels, places, 2, 2), flat[places])
    one = torch.cat([m.flatten(1).T.repeat_interleave(2, 0) for m in levels])
    assert torch.equal(rows_at(levels, places, 2), one[places])
    assert rows_at(levels, places[:0], 2, 2).shape == (0, 3)


def test_gradients_reach_the_rows_that_are_read_alone():
    level = torch.rand(3, 2, 2, requires_grad=True)
    rows_at([level], torch.tensor([3]), 1).sum().backward()
    assert torch.equal(level.grad[:, 1, 1], torch.ones(3))
    assert level.grad.sum() == 3
