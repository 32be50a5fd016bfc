"""iOD + DFDD through all stages of a tiny Shapes set, by run.py's commands.

Most commands run in this process, which saves the time of the imports.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from experiments.spec import Row, Table
from experiments.stage import checkpoint_of
from trainings import Training, plan_trainings, prepare

from helpers import ROOT, load_weights, run_here, run_script
from mmood.hooks import FiniteLossHook

CONFIG = 'iod-dfdd_faster-rcnn_r18_fpn_shapes-4-2'
PATH = ROOT / f'projects/incremental_detection/configs/{CONFIG}.py'
STAGES = ['step_0', 'step_1', 'step_1_finetune']
# No flips and fewer candidates than are sampled: nothing is left to chance,
# so an interrupted training can be compared with one that was not.
TINY = {
    'model.roi_head.bbox_head.fc_out_channels': 32,
    'model.train_cfg.rpn.sampler.num': 8192,
    'model.train_cfg.rcnn.sampler.num': 256,
    'model.train_cfg.rpn_proposal.max_per_img': 16,
    'model.test_cfg.rpn.max_per_img': 20,
    'model.test_cfg.rcnn.score_thr': 0.0,  # untrained, it still finds some
    'train_dataloader.batch_size': 4,
    'train_dataloader.persistent_workers': False,
    'train_dataloader.dataset.pipeline.2.prob': 0.0,
    'default_hooks.logger.interval': 1,
    'incremental.exemplars': 2,
    'incremental.base.max_epochs': 1,
    'incremental.base.train_dataloader.dataset.indices': 8,
    'incremental.increment.max_epochs': 2,
    'incremental.increment.train_dataloader.dataset.indices': 8,
    'incremental.increment.param_scheduler': [],
    'incremental.finetune.max_epochs': 1,
    'warp.interval': 2,
    'warp.dataloader.batch_size': 4,
    'warp.dataloader.num_workers': 0,
    **{
        f'{name}_dataloader.num_workers': 0
        for name in ('train', 'val', 'test')
    },
}


def plan(
    data: Path, out: Path, stages=None, processes=1, **more
) -> list[Training]:
    options = {**TINY, 'data_root': str(data), **more}
    row = Row(CONFIG, PATH, cfg_options=options)
    methods = [prepare(row, stages)]
    return plan_trainings(Table(out, [3], [row]), methods, processes)


def carry_out(trainings: list[Training], execute: Callable) -> None:
    for one in trainings:
        for step, command in one.steps():
            execute(f'{one.stage.name}, {step}', command)


@pytest.fixture(scope='module')
def here() -> Callable:
    """Run a command of a step in this process; it keeps their names."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)

        def execute(step: str, command: list[str]) -> None:
            execute.steps.append(step)
            run_here(patch, Path(command[1]).stem, *command[2:])

        execute.steps = []
        yield execute


@pytest.fixture(scope='module')
def finished(shapes, here, tmp_path_factory) -> list[Training]:
    """All stages, uninterrupted."""
    trainings = plan(shapes, tmp_path_factory.mktemp('incremental'))
    carry_out(trainings, here)
    return trainings


def weights(training: Training) -> dict[str, torch.Tensor]:
    return load_weights(checkpoint_of(training.folder))


def metrics_of(trainings: list[Training]) -> dict[str, dict]:
    return trainings[0].method.read(trainings[0].folder.parent)


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
    finished, shapes, here, tmp_path, monkeypatch
):
    """Broken off in the second epoch of the increment, with warp steps."""
    both = plan(shapes, tmp_path, STAGES[:2])
    shutil.copytree(finished[0].folder, both[0].folder)
    steps = len(here.steps)

    with monkeypatch.context() as patch:
        look = FiniteLossHook.after_train_iter

        def interrupt(hook, runner, *args, **kwargs):
            look(hook, runner, *args, **kwargs)
            if runner.iter == 2:
                raise KeyboardInterrupt

        patch.setattr(FiniteLossHook, 'after_train_iter', interrupt)
        with pytest.raises(KeyboardInterrupt):
            carry_out(both, here)
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
