"""Stages of incremental learning at tiny scale, by the parts of run.py."""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.utils import import_modules_from_strings
from torch import Tensor, nn

from helpers import ROOT, load_weights, run_here
from mmood.hooks import FiniteLossHook
from mmood.registry import MODELS
from rank_helpers import without_chance

sys.path.append(str(ROOT / 'tools/analysis_tools'))
sys.path.append(str(ROOT / 'projects/incremental_detection'))
from experiments.spec import Row, Table
from experiments.stage import checkpoint_of
from trainings import Training, plan_trainings, prepare

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
    **{
        f'{name}_dataloader.num_workers': 0
        for name in ('train', 'val', 'test')
    },
}

# Of a Deformable DETR in the place of a Faster R-CNN.
TINY_DETR = {
    **{
        key: None
        for key in TINY
        if 'roi' in key or 'rcnn' in key or 'rpn' in key
    },
    'model.num_queries': 12,
    'model.encoder.num_layers': 1,
    'pseudo.num_pseudo': 2,
    'incremental.base.pseudo.start_epoch': 0,
}


def plan(
    path: Path, data: Path, out: Path, stages=None, processes=1, **more
) -> list[Training]:
    """The stages of a config on a tiny Shapes set, with seed 3."""
    options = {**TINY, 'data_root': str(data), **more}
    options = {k: v for k, v in options.items() if v is not None}
    row = Row(path.stem, path, cfg_options=options)
    methods = [prepare(row, stages)]
    return plan_trainings(Table(out, [3], [row]), methods, processes)


def carry_out(trainings: list[Training], execute: Callable) -> None:
    """Execute all commands that are left to do."""
    for one in trainings:
        for step, command in one.steps():
            execute(f'{one.stage.name}, {step}', command)


def finished_stages(
    path: Path, data: Path, out: Path, **more
) -> list[Training]:
    """All stages of a config, carried out here."""
    trainings = plan(path, data, out, **more)
    with run_in_this_process() as here:
        carry_out(trainings, here)
    return trainings


def increment(
    path: Path,
    data: Path,
    out: Path,
    change: Callable[[nn.Module], None] = lambda model: None,
    **options,
) -> Config:
    """One on eight images, without chance, from weights that are drawn.

    ``change`` says what else the detector starts with.
    """
    cfg = plan(path, data, out, ['step_1'], **options)[0].config()
    cfg.train_dataloader.dataset.indices = 8
    cfg.train_cfg.max_epochs = 1
    import_modules_from_strings(**cfg.custom_imports)
    torch.manual_seed(0)
    model = MODELS.build(copy.deepcopy(cfg.model))
    model.init_weights()
    change(model)
    cfg.load_from = str(out / 'start.pth')
    torch.save(dict(state_dict=model.state_dict()), cfg.load_from)
    return without_chance(cfg)


def break_off(
    trainings: list[Training], execute: Callable, iterations: int
) -> None:
    """Carry out, with a KeyboardInterrupt after so many iterations."""
    look = FiniteLossHook.after_train_iter

    def interrupt(hook, runner, *args, **kwargs):
        look(hook, runner, *args, **kwargs)
        if runner.iter == iterations:
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FiniteLossHook, 'after_train_iter', interrupt)
        with pytest.raises(KeyboardInterrupt):
            carry_out(trainings, execute)


@contextmanager
def run_in_this_process() -> Iterator[Callable]:
    """Run a command of a step here; ``steps`` keeps their names."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)

        def execute(step: str, command: list[str]) -> None:
            execute.steps.append(step)
            run_here(patch, Path(command[1]).stem, *command[2:])

        execute.steps = []
        yield execute


def weights_of(training: Training) -> dict[str, Tensor]:
    """Of its last checkpoint."""
    return load_weights(checkpoint_of(training.folder))


def metrics_of(trainings: list[Training]) -> dict[str, dict]:
    """Metrics of the finished stages, by name."""
    return trainings[0].method.read(trainings[0].folder.parent)
