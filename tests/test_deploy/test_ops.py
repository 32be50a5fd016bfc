"""The graph's own operators, in PyTorch and as ONNX has them."""

import numpy as np
import onnxruntime
import pytest
import torch
import torch.nn.functional as F
from mmcv.ops import nms as mmcv_nms
from mmcv.ops import roi_align as mmcv_roi_align
from torch import nn

import mmood.det.export_roi  # noqa: F401  (registers roi_align)
from mmood.deploy import ops
from mmood.deploy.export import Plan, write

LIMIT, IOU = 12, 0.4


def boxes(count, seed=0):
    generator = torch.Generator().manual_seed(seed)
    corner = torch.rand(count, 2, generator=generator) * 30
    size = 4 + torch.rand(count, 2, generator=generator) * 20
    scores = torch.rand(count, generator=generator)
    return torch.cat([corner, corner + size], 1), scores


@pytest.mark.parametrize('count', [0, 1, 9, 60])
def test_nms_keeps_what_mmcv_keeps(count):
    corners, scores = boxes(count)
    places, number = ops.nms(corners, scores, IOU, LIMIT)
    kept = mmcv_nms(corners, scores, IOU)[1][:LIMIT]
    assert places.shape == (LIMIT,)
    assert places[: int(number)].tolist() == kept.tolist()
    assert not places[int(number) :].any()


def test_nms_leaves_out_scores_below_zero():
    corners = torch.tensor([[0.0, 0, 2, 2], [5, 5, 7, 7], [0, 0, 2, 2.1]])
    places, number = ops.nms(corners, torch.tensor([-1, 0.0, 0.3]), IOU, 3)
    assert (places.tolist(), number.tolist()) == ([2, 1, 0], [2])


def test_fit_cuts_and_resizes():
    x = torch.rand(1, 2, 8, 8)
    inner, size = torch.tensor([6, 5]), torch.tensor([9, 20])
    for mode, corners in (('bilinear', False), ('bilinear', True)):
        found = ops.fit(x, inner, size, mode, corners)
        expected = F.interpolate(
            x[..., :6, :5], (9, 20), mode=mode, align_corners=corners
        )
        torch.testing.assert_close(found, expected)


class All(nn.Module):
    """Every operator once; feature maps are made of the picture."""

    def forward(self, image, inner, size):
        near = image[0, :, :8, :8].flatten(1).T  # (64, 3)
        corners = 20 * near[:, :2].sigmoid()
        sides = 4 + 9 * near[:, 1:].sigmoid()
        found = torch.cat([corners, corners + sides], 1)
        scores = near[:, 0] / 4
        places, count = ops.nms(found, scores, IOU, LIMIT)
        maps = [F.avg_pool2d(image, 2), F.avg_pool2d(image, 4)]
        levels = (scores > 0.2).long()
        arguments = levels, [0.5, 0.25], [3, 2]
        return (
            ops.first(found[places], count),
            ops.fit(image, inner, size, 'bilinear', False),
            ops.fit(image, inner, size, 'bilinear', True),
            ops.fit(image, inner, size, 'nearest', False),
            torch.ops.mmood.roi_align(maps, found, *arguments, 2, True),
            torch.ops.mmood.roi_align(maps, found, *arguments, 0, False),
            torch.cdist(near.double(), near[:5].double()),
            torch.cdist(near, near[:5], 2.0, 'donot_use_mm_for_euclid_dist'),
            near.round().sort(stable=True, dim=0).indices,
        )


NAMES = [f'output_{i}' for i in range(9)]


@pytest.fixture(scope='module')
def session(tmp_path_factory):
    path = tmp_path_factory.mktemp('onnx') / 'all.onnx'
    about = dict(divisor=8, pad_size=None, steps=[])
    write(
        Plan(All(), ('image', 'inner', 'size'), NAMES, about), path, (16, 24)
    )
    return onnxruntime.InferenceSession(str(path))


@pytest.mark.parametrize('shape', [(16, 24), (40, 16)])
@pytest.mark.parametrize('shift', [0.0, -9.0])
def test_translations_compute_the_same(session, shape, shift):
    """Of any size, and where no box is left."""
    torch.manual_seed(3)
    given = (
        torch.randn(1, 3, *shape) * 4 + shift,
        torch.tensor([13, 11]),
        torch.tensor([30, 9]),
    )
    feed = {k.name: x.numpy() for k, x in zip(session.get_inputs(), given)}
    found = session.run(None, feed)
    for name, one, expected in zip(NAMES, found, All()(*given)):
        expected = expected.numpy()
        assert one.shape == expected.shape, name
        np.testing.assert_allclose(
            one, expected, rtol=1e-4, atol=1e-4, err_msg=name
        )


def test_roi_align_is_mmcvs_of_each_level():
    torch.manual_seed(0)
    maps = [torch.randn(1, 2, 16, 16), torch.randn(1, 2, 8, 8)]
    corners, _ = boxes(6)
    levels = torch.tensor([0, 1, 1, 0, 0, 1])
    found = torch.ops.mmood.roi_align(
        maps, corners, levels, [0.5, 0.25], [3, 3], 2, True
    )
    for level, scale in enumerate((0.5, 0.25)):
        rois = F.pad(corners, (1, 0))
        expected = mmcv_roi_align(
            maps[level], rois, (3, 3), scale, 2, 'avg', True
        )
        here = levels == level
        torch.testing.assert_close(found[here], expected[here])
