"""ROSETTA through all stages of a tiny Shapes set, by run.py's commands."""

from __future__ import annotations

import shutil

import pytest
import torch
from mmdet.registry import MODELS

from helpers import ROOT, assert_near
from stage_helpers import (
    break_off,
    carry_out,
    finished_stages,
    metrics_of,
    plan,
    run_in_this_process,
)
from stage_helpers import weights_of as weights

PATH = (
    ROOT / 'projects/open_world_detection/configs'
    '/rosetta_faster-rcnn_r18_fpn_shapes-4-2-2.py'
)
# Gates follow each step, and are not drawn by chance: half are shut at first.
OPTIONS = {
    'gate_noise': 0.0,
    'model.backbone.gate.momentum': 0.0,
    'model.backbone.gate.start': 0.0,
    'model.diversity': 10.0,
}
QUEUES = 'roi_head.losses.ClassPrototypes.queues.'


@pytest.fixture(scope='module')
def finished(shapes, tmp_path_factory):
    """All stages, uninterrupted."""
    out = tmp_path_factory.mktemp('rosetta')
    return finished_stages(PATH, shapes, out, **OPTIONS)


def backbone_of(training, task) -> torch.nn.Module:
    """That of a stage's checkpoint, as the sub-model of a task."""
    cfg = training.config()
    cfg.model.backbone.update(task=task, norm_eval=True)
    detector = MODELS.build(cfg.model)
    detector.load_state_dict(weights(training))
    detector.eval()
    return detector.backbone


def test_each_task_is_measured_and_nothing_is_called_unknown(finished):
    metrics = metrics_of(finished)
    assert list(metrics) == [
        'step_0', 'step_1', 'step_1_finetune', 'step_2', 'step_2_finetune'
    ]  # fmt: skip
    for stage, values in metrics.items():
        assert 0 <= values['AP50'] <= 100
        assert ('new/AP50' in values) == (stage != 'step_0')
        if not stage.startswith('step_2'):
            assert values['id/open_set/R_U'] == 0


@pytest.mark.parametrize('stage, task', [(1, 2), (2, 2), (3, 3), (4, 3)])
def test_a_stage_keeps_what_earlier_tasks_use(finished, stage, task):
    before, after = (backbone_of(t, task) for t in finished[stage - 1 :][:2])
    kept = learned = 0
    for (old, rows), (new, same) in zip(before.kept(), after.kept()):
        assert torch.equal(rows, same)
        assert torch.equal(old[rows], new[rows])
        kept += int(rows.sum())
        learned += int((old[~rows] != new[~rows]).sum())
    assert kept > 100 and learned > 100


def test_each_task_takes_channels_of_its_own(finished):
    for training, task in zip(finished, (1, 2, 2, 3, 3)):
        gates = backbone_of(training, task).gates.values()
        owners = torch.cat([gate.owner for gate in gates])
        assert owners.unique().tolist()[-1] == task


def test_the_last_checkpoint_has_the_first_tasks_sub_model(finished):
    first, last = (backbone_of(finished[i], 1) for i in (0, -1))
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        expected = first(images)
        for own, other in zip(last(images), expected):
            assert other.abs().max() > 0
            assert_near(own, other)
        for gate in last.gates.values():
            gate.task = 3
        assert not torch.allclose(last(images)[-1], expected[-1])


def test_prototypes_of_a_task_stay(finished):
    """Each step adds those of its classes, a fine-tuning none of old ones."""
    seen = [weights(t)[f'{QUEUES}seen'] for t in finished]
    memory = [weights(t)[f'{QUEUES}memory'] for t in finished]
    olds = [0, 4, 4, 6, 6]
    for stage, old in enumerate(olds):
        assert seen[stage][old : [4, 6, 6, 8, 8][stage]].any()
        if stage:
            assert torch.equal(seen[stage][:old], seen[stage - 1][:old])
            assert torch.equal(memory[stage][:old], memory[stage - 1][:old])
    assert not seen[0][4:].any()


def test_interrupted_it_goes_on_to_the_same_end(finished, shapes, tmp_path):
    """Broken off in the second epoch of the increment."""
    both = plan(PATH, shapes, tmp_path, ['step_0', 'step_1'], **OPTIONS)
    shutil.copytree(finished[0].folder, both[0].folder)
    with run_in_this_process() as here:
        break_off(both, here, 2)
        assert (both[1].folder / 'epoch_1.pth').is_file()
        carry_out(both, here)
        assert here.steps == ['step_1, training'] * 2 + ['step_1, testing']
    last, expected = weights(both[1]), weights(finished[1])
    for name, value in expected.items():
        torch.testing.assert_close(
            last[name], value, atol=1e-5, rtol=1e-4, equal_nan=True
        )
