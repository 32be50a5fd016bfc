"""OW-DETR through all stages of a tiny Shapes set, by run.py's commands."""

from __future__ import annotations

import math

import pytest
import torch

from helpers import ROOT
from stage_helpers import (
    TINY_DETR,
    finished_stages,
    metrics_of,
)
from stage_helpers import weights_of as weights

PATH = (
    ROOT / 'projects/open_world_detection/configs'
    '/owdetr_deformable-detr_r18_shapes-4-2-2.py'
)
LAYER = 'bbox_head.cls_branches.0.weight'
COUNT = 'bbox_head.pseudo.activity.count'


@pytest.fixture(scope='module')
def finished(shapes, tmp_path_factory):
    """All stages."""
    out = tmp_path_factory.mktemp('owdetr')
    return finished_stages(PATH, shapes, out, **TINY_DETR)


def test_each_task_is_measured_beside_what_is_unknown(finished):
    metrics = metrics_of(finished)
    known = [4, 6, 6, 8, 8]
    assert len(metrics) == len(known)
    for (stage, values), number in zip(metrics.items(), known):
        found = [k for k in values if k.startswith('AP50/')]
        assert len(found) == number
        assert ('new/AP50' in values) == (stage != 'step_0')
        recall = values['id/open_set/R_U']
        # Of the last task nothing is unknown.
        is_last = stage.startswith('step_2')
        assert math.isnan(recall) if is_last else 0 <= recall <= 100


def test_unknown_objects_are_learned_in_every_stage(finished):
    """Two at most of an image, in each of three decoder layers.

    The small boxes of an untrained detector may hold no pixel.
    """
    counts = [weights(training)[COUNT].item() for training in finished]
    assert all(count > 0 for count in counts)
    # One epoch of 8 images, and two.
    assert counts[0] <= 2 * 3 * 8 and counts[1] <= 2 * 3 * 8 * 2


def test_classes_to_come_stay_shut(finished):
    base, step = (weights(t)[LAYER] for t in finished[:2])
    change = (step - base).abs().amax(1)
    assert (change[[*range(6), 8]] > 0).all()
    # Weight decay alone.
    torch.testing.assert_close(step[6:8], base[6:8], rtol=1e-3, atol=0)
