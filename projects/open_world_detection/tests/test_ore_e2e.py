"""ORE through all stages of a tiny Shapes set, by run.py's commands."""

from __future__ import annotations

import math

import pytest
import torch

from helpers import ROOT
from stage_helpers import (
    carry_out,
    finished_stages,
    metrics_of,
    plan,
    run_in_this_process,
)
from stage_helpers import weights_of as weights

PATH = (
    ROOT / 'projects/open_world_detection/configs'
    '/ore_faster-rcnn_r18_fpn_shapes-4-2-2.py'
)
OPTIONS = {'clustering.start': 0, 'clustering.interval': 1}
BASE, SECOND = ['circle', 'bar', 'triangle', 'star'], ['cross', 'ring']
THIRD = ['crescent', 'arrow']
LOSSES = 'roi_head.losses.'


@pytest.fixture(scope='module')
def finished(shapes, tmp_path_factory):
    """All stages, and what was called."""
    out = tmp_path_factory.mktemp('ore')
    return finished_stages(PATH, shapes, out, **OPTIONS)


def test_each_task_is_measured_beside_what_is_unknown(finished):
    metrics = metrics_of(finished)
    assert list(metrics) == [
        'step_0', 'step_1', 'step_1_finetune', 'step_2', 'step_2_finetune'
    ]  # fmt: skip
    known = dict(step_0=BASE, step_1=BASE + SECOND)
    for stage, values in metrics.items():
        seen = known.get(stage[:6], BASE + SECOND + THIRD)
        found = {k.split('/')[1] for k in values if k.startswith('AP50/')}
        assert found == set(seen)
        assert ('new/AP50' in values) == (stage != 'step_0')
        recall = values['id/open_set/R_U']
        # Of the last task nothing is unknown.
        is_last = stage.startswith('step_2')
        assert math.isnan(recall) if is_last else 0 <= recall <= 100
        if is_last:
            assert values['id/open_set/AOSE'] == 0
        assert values['AP50'] == pytest.approx(values['id/open_set/mAP_K'])


def test_prototypes_go_from_task_to_task_and_energies_do_not(finished):
    made = [
        weights(t)[f'{LOSSES}ContrastiveClustering.made'] for t in finished
    ]
    known = [4, 6, 6, 8, 8]
    for mask, number in zip(made, known):
        assert mask[:number].any() and not mask[number:8].any()
        assert mask[8] == 1  # unknown
    first, second = (
        weights(t)[f'{LOSSES}EnergyWeibulls.queues.seen'] for t in finished[:2]
    )
    # One unknown object of each of 8 images, in one and in two epochs: those
    # of the task before are of other weights.
    assert first[0] > 0 and first[1] == 8
    assert second[0] > 0 and second[1] == 2 * 8


def test_the_classifier_learns_unknown_and_keeps_later_classes_shut(finished):
    base, step = (
        weights(t)['roi_head.bbox_head.fc_cls.weight'] for t in finished[:2]
    )
    change = (step - base).abs().amax(1)
    assert (change[[*range(6), 8, 9]] > 0).all()
    # Weight decay alone.
    torch.testing.assert_close(step[6:8], base[6:8], rtol=1e-3, atol=0)


def test_the_leak_is_an_argument(finished, shapes, tmp_path):
    """Energies are of annotated objects then, known and unknown ones."""
    leaking = plan(PATH, shapes, tmp_path, ['step_0'], **OPTIONS, leak=True)
    with run_in_this_process() as here:
        carry_out(leaking, here)
    name = f'{LOSSES}EnergyWeibulls.queues.seen'
    seen, before = weights(leaking[0])[name], weights(finished[0])[name]
    assert seen.min() > 2 and not torch.equal(seen, before)
    other = 'roi_head.bbox_head.fc_cls.weight'
    torch.testing.assert_close(
        weights(leaking[0])[other], weights(finished[0])[other]
    )
