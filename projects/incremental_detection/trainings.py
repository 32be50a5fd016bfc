"""The stages of a config with one seed, as stages of an experiment.

Folders are ``OUT/CONFIG/seed_N/STAGE``; beside each is its config, written
before it is trained and tested.
"""

from __future__ import annotations

import inspect
import json
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import mmdet.registry as mmdet
from experiments import stage as base
from experiments.results import read_metrics
from experiments.spec import Row, Table, flatten
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from mmengine.utils import import_modules_from_strings
from stages import (
    SECTIONS,
    Plan,
    Stage,
    check_data,
    plan_of,
    stage_config,
    step_sets,
)

from mmood.checkpoint import last_checkpoint
from mmood.config import read_config
from mmood.launch import metric_configs
from mmood.ops import atomic_write, file_sha256

# What decides a training and its test. Other keys of a config are notes.
_KEYS = {
    *inspect.signature(Runner.__init__).parameters,
    'custom_imports',
    'find_unused_parameters',
    'stage',
}
# The copy of a checkpoint that stands for a base training.
_START = 'start.pth'
# Paths, which may differ between two calls.
_FREE = ('load_from', 'work_dir', 'model.teacher')


class Method(NamedTuple):
    """A row with its config and plan, and the stages that are wanted."""

    row: Row
    cfg: Config
    plan: Plan
    stages: list[Stage]

    def read(self, run: Path) -> dict[str, dict]:
        """Metrics of the finished stages of a run, by name."""
        names = [stage.name for stage in self.plan.stages]
        paths = {name: run / name / 'metrics.json' for name in names}
        return {n: read_metrics(p) for n, p in paths.items() if p.is_file()}


def prepare(row: Row, wanted: Sequence[str] | None = None) -> Method:
    """A row's config and plan; overrides of `SECTIONS` go into the plan.

    ``wanted`` names its stages; None: all. Raises ValueError for a name that
    is no stage, and for whatever the plan has wrong.
    """
    cfg = read_config(row.config, import_custom_modules=False)
    options = dict(row.cfg_options)
    sections = [key for key in options if key.split('.')[0] in SECTIONS]
    cfg.merge_from_dict({key: options.pop(key) for key in sections})
    plan = plan_of(cfg, options)
    names = [stage.name for stage in plan.stages]
    unknown = [name for name in wanted or () if name not in names]
    if unknown:
        raise ValueError(
            f'{row.config} has no stages {unknown}; it has {names}'
        )
    chosen = [one for one in plan.stages if one.name in (wanted or names)]
    return Method(row, cfg, plan, chosen)


class Training(base.Stage):
    """A stage of a method's plan, with one seed."""

    remedy = (
        'choose another --out, or delete that folder and those of later stages'
    )

    def __init__(
        self,
        method: Method,
        stage: Stage,
        seed: int,
        run: Path,
        processes: int,
    ) -> None:
        name = f'{method.row.folder}, seed {seed}, {stage.name}'
        super().__init__(name, run / stage.name, tests={'.': {}})
        self.method, self.stage = method, stage
        self.seed, self.processes = seed, processes

    @property
    def config_file(self) -> Path:
        """``step_1.py`` beside ``step_1``.

        Not in it: there MMEngine writes what it made of the config, with the
        options of the last tool.
        """
        return self.folder.with_name(f'{self.stage.name}.py')

    @cached_property
    def options(self) -> dict:
        """Values by dotted keys that decide what comes out."""
        cfg = self.config().to_dict()
        own = {k: v for k, v in cfg.items() if k in _KEYS}
        content = flatten(json.loads(json.dumps(own, sort_keys=True)))
        return {k: v for k, v in content.items() if k not in _FREE}

    def config(self) -> Config:
        """Complete, with the checkpoints that it starts and learns from.

        One that is still to come is named by its folder.
        """
        names = self.stage.after, self.stage.teacher
        folders = [name and self.folder.with_name(name) for name in names]
        start, teacher = (f and (last_checkpoint(f) or f) for f in folders)
        cfg = stage_config(
            self.method.cfg, self.method.plan, self.stage, self.seed
        )
        cfg.work_dir, cfg.load_from = str(self.folder), start and str(start)
        cfg.stage.processes = self.processes
        if self.method.plan.start:
            cfg.stage.files = self._digests(cfg)
        if teacher and cfg.model.get('distillation'):
            cfg.model.teacher = str(teacher)
        return cfg

    def check(self) -> None:
        """Also raise ValueError if it starts from what will not be there."""
        super().check()
        done = self.is_trained or self.finished
        given = self.given
        if given and not (done or given.is_file()):
            raise ValueError(f'start: there is no checkpoint {given}')
        later = any(not need.is_trained for need in self.needs)
        if self.stage.after and not (done or later):
            base.checkpoint_of(self.folder.with_name(self.stage.after))

    @property
    def given(self) -> Path | None:
        """The checkpoint that stands for this training, if one does."""
        start = None if self.stage.after else self.method.plan.start
        return Path(start) if start else None

    def _digests(self, cfg: Config) -> list[str | None]:
        """Of what a chain with a ``start`` learns from, so made anew.

        That is the checkpoint, or its copy if it is gone, and in later stages
        the annotations.
        """
        if self.given:
            copy = self.folder / _START
            return [file_sha256(self.given) or file_sha256(copy)]
        sets = step_sets(cfg.train_dataloader)
        return [
            file_sha256(os.path.join(s.get('data_root') or '', s['ann_file']))
            for s in sets
        ]

    def train(self) -> Iterator[base.Step]:
        if not self.given:
            yield from super().train()
            return
        shutil.copy(self.given, self.folder / _START)
        (self.folder / 'last_checkpoint').write_text(_START)

    def build(self) -> None:
        """Build all that the config names, before anything is trained.

        Raises ValueError with the config, the stage and the cause.
        """
        try:
            cfg = self.config()
            check_data(cfg)
            build_parts(cfg)
        except Exception as error:  # whatever a part of a config raises
            raise ValueError(
                f'{self.method.row.config}, {self.stage.name} cannot be '
                f'built: {error}'
            ) from error

    def steps(self) -> Iterator[base.Step]:
        if not self.stage.after and not self.folder.exists():
            self.folder.unlink(missing_ok=True)  # a link to what is gone
            place = Path(*self.folder.parts[-2:])
            twins = sorted(self.folder.parents[2].glob(f'*/{place}'))
            any(self.reuse(twin) for twin in twins)
        yield from super().steps()

    def reuse(self, finished: Path) -> bool:
        """Have a finished folder stand for this one, if its options are equal.

        Methods that differ in the increments only need one base training. A
        disk without symbolic links has one for each.
        """
        if (
            finished.is_symlink()
            or not (finished / 'metrics.json').is_file()
            or last_checkpoint(finished) is None
            or base.recorded(finished / 'trained')
            != base.as_read(self.options)
        ):
            return False
        self._write()
        try:
            run = self.folder.parent
            self.folder.symlink_to(os.path.relpath(finished, run))
        except OSError:
            return False
        return True

    def _write(self) -> None:
        with atomic_write(self.config_file) as file:
            file.write(self.config().pretty_text)

    def command(self, tool: str, *rest: object) -> list[str]:
        """Of train.py or test.py, with the config as it is now."""
        self._write()
        return base.call(
            tool, self.config_file, *rest, processes=self.processes
        )


def plan_trainings(
    table: Table, methods: Sequence[Method], processes: int = 1
) -> list[Training]:
    """The stages of all rows with the first seed, then with the next.

    ``methods`` are those of the table's rows. Each stage needs the one
    before, and a base that is not begun the first of equal options. Rows
    that share a folder share its stages.
    """
    trainings: dict[Path, Training] = {}
    bases: dict[str, Training] = {}
    for seed in table.seeds:
        for method in methods:
            run = table.folder(method.row, seed)
            for stage in method.stages:
                if run / stage.name in trainings:
                    continue
                one = Training(method, stage, seed, run, processes)
                trainings[one.folder] = one
                before = stage.after and trainings.get(run / stage.after)
                if not (stage.after or one.finished):
                    key = json.dumps(one.options, sort_keys=True)
                    twin = bases.setdefault(key, one)
                    before = None if one.folder.exists() else twin
                one.needs = [before] if before not in (None, one) else []
    return list(trainings.values())


def build_parts(cfg: Config) -> None:
    """Build model, optimiser, sets, metrics and hooks; nothing is read."""
    if os.getcwd() not in sys.path:  # train.py looks there too
        sys.path.append(os.getcwd())
    import_modules_from_strings(**cfg.get('custom_imports', {}))
    scope = cfg.get('default_scope', 'mmdet')
    with DefaultScope.overwrite_default_scope(scope):
        model = mmdet.MODELS.build(cfg.model)
        optimizer = dict(cfg.optim_wrapper.optimizer)
        mmdet.OPTIMIZERS.build({**optimizer, 'params': model.parameters()})
        for name in ('train', 'val', 'test'):
            for part in step_sets(cfg[f'{name}_dataloader']):
                mmdet.DATASETS.build(dict(part, lazy_init=True))
        for evaluator in (cfg.val_evaluator, cfg.test_evaluator):
            for metric in metric_configs(evaluator):
                mmdet.METRICS.build(metric)
        for hook in cfg.get('custom_hooks') or []:
            mmdet.HOOKS.build(hook)
