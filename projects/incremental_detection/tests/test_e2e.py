"""iOD + DFDD through all stages of a tiny Shapes set, by run.py's commands.

Most commands run in this process, which saves the time of the imports.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable

import pytest
import torch
from trainings import Training

from helpers import ROOT, run_script
from stage_helpers import (
    break_off,
    carry_out,
    metrics_of,
    run_in_this_process,
)
from stage_helpers import plan as plan_of_any
from stage_helpers import weights_of as weights

CONFIG = 'iod-dfdd_faster-rcnn_r18_fpn_shapes-4-2'
PATH = ROOT / f'projects/incremental_detection/configs/{CONFIG}.py'
STAGES = ['step_0', 'step_1', 'step_1_finetune']
WARPS = {
    'warp.interval': 2,
    'warp.dataloader.batch_size': 4,
    'warp.dataloader.num_workers': 0,
}


def plan(*arguments, **more) -> list[Training]:
    return plan_of_any(PATH, *arguments, **{**WARPS, **more})


@pytest.fixture(scope='module')
def here() -> Callable:
    with run_in_this_process() as execute:
        yield execute


@pytest.fixture(scope='module')
def finished(shapes, here, tmp_path_factory) -> list[Training]:
    """All stages, uninterrupted."""
    trainings = plan(shapes, tmp_path_factory.mktemp('incremental'))
    carry_out(trainings, here)
    return trainings


def test_every_stage_is_tested_on_the_classes_it_knows(finished):
    metrics = metrics_of(finished)
    assert list(metrics) == STAGES
    base, new = ['circle', 'bar', 'triangle', 'star'], ['cross', 'ring']
    for stage, values in metrics.items():
        known = base if stage == 'step_0' else base + new
        found = {k.split('/')[1] for k in values if k.startswith('AP50/')}
        assert found == set(known)
        assert ('new/AP50' in values) == (stage != 'step_0')
        assert 0 < values['AP50'] <= 100


def test_each_stage_changes_what_the_one_before_left(finished):
    """It starts from there, and statistics stay as they are."""
    base, step, tuned = map(weights, finished)
    for name in base:
        if 'running_' in name or 'num_batches' in name:
            assert torch.equal(base[name], step[name]), name
    for before, after in ((base, step), (step, tuned)):
        name = 'roi_head.bbox_head.fc_cls.weight'
        change = (after[name] - before[name]).abs().amax(1)
        assert (change > 0).all()
        # Momentum and decay of one small step, not a new start.
        assert (change < 0.1).all()


def test_a_second_call_only_reads(finished, shapes):
    def execute(*_):
        raise AssertionError('nothing is left to do')

    out = finished[0].folder.parents[2]
    again = plan(shapes, out)
    for one in again:
        one.check()
        assert one.finished
    carry_out(again, execute)
    assert repr(metrics_of(again)) == repr(metrics_of(finished))
    with pytest.raises(ValueError, match='custom_hooks is .* there, '):
        plan(shapes, out, **{'custom_hooks': []})[1].check()


def test_interrupted_it_goes_on_to_the_same_end(
    finished, shapes, here, tmp_path
):
    """Broken off in the second epoch of the increment, with warp steps."""
    both = plan(shapes, tmp_path, STAGES[:2])
    shutil.copytree(finished[0].folder, both[0].folder)
    steps = len(here.steps)
    break_off(both, here, 2)
    folder = both[1].folder
    assert (folder / 'epoch_1.pth').is_file()
    assert not (folder / 'trained').exists()
    both[1].check()
    carry_out(both, here)
    assert here.steps[steps:] == [
        'step_1, training', 'step_1, training', 'step_1, testing'
    ]  # fmt: skip
    last, expected = weights(both[1]), weights(finished[1])
    for name, value in expected.items():
        torch.testing.assert_close(
            last[name], value, atol=1e-5, rtol=1e-4, equal_nan=True
        )
    metrics, expected = (metrics_of(t)['step_1'] for t in (both, finished))
    assert metrics == pytest.approx(expected, abs=0.5, nan_ok=True)


def test_two_processes_test_like_one(finished, shapes, tmp_path):
    two = plan(shapes, tmp_path, STAGES[2:], processes=2)
    shutil.copytree(finished[2].folder, two[0].folder)
    two[0].metrics('.').unlink()
    steps = []

    def execute(step: str, command: list[str]) -> None:
        """The script of a call to torchrun, which starts the same ranks."""
        steps.append(step)
        assert 'torch.distributed.run' in command
        run_script(*command[5:], ranks=2)

    carry_out(two, execute)
    assert steps == ['step_1_finetune, testing']
    metrics = metrics_of(two)[STAGES[2]]
    assert 0 < metrics['AP50'] <= 100
    expected = metrics_of(finished)[STAGES[2]]
    assert metrics == pytest.approx(expected, abs=0.5, nan_ok=True)
