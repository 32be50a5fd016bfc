"""The trainings of class-incremental detection, from one config.

The config's section ``incremental`` names the classes that each step adds.
The first step is a base training; every later one is an increment and, with
``exemplars``, a fine-tuning on a few stored images of all classes seen so
far. Each of these is a *stage*, with a config of its own. The section
``increment`` has what a method changes in increments, whatever the split.
"""

from __future__ import annotations

import copy
import os.path as osp
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from experiments.spec import SEED, flatten
from mmengine.config import Config, ConfigDict

from mmood.changes import merge_options
from mmood.det.datasets.class_splits import split_steps
from mmood.det.datasets.coco import check_classes
from mmood.ops import read_coco
from mmood.recipe import resolve

SECTIONS = SECTION, METHOD = 'incremental', 'increment'
_SET = 'ClassStepCocoDataset'


@dataclass(frozen=True)
class Stage:
    """A training: its name, kind and step.

    It starts from the stage ``after``, and is taught, if its method distils,
    by ``teacher``, the last stage of the step before.
    """

    name: str
    kind: str
    step: int
    after: str | None = None
    teacher: str | None = None


@dataclass(frozen=True)
class Plan:
    """The section ``incremental`` of a config, checked.

    Args:
        steps: class names that each step adds; their order is that of the
            labels.
        exemplars: stored images a class; 0: no fine-tuning.
        base, increment, finetune: overrides of the config for a kind of
            stage, nested or with dotted keys.

    Raises ValueError for what cannot be run.
    """

    steps: Sequence[Sequence[str]]
    exemplars: int = 0
    base: dict | None = None
    increment: dict | None = None
    finetune: dict | None = None

    def __post_init__(self) -> None:
        split_steps(self.steps)
        number = self.exemplars
        if type(number) is not int or number < 0:
            raise ValueError(
                'exemplars must be a number of images a class, 0 for no '
                f'fine-tuning, got {number!r}'
            )

    @property
    def classes(self) -> list[str]:
        return [name for step in self.steps for name in step]

    @property
    def stages(self) -> list[Stage]:
        """All stages in the order in which they are run."""
        stages = [Stage('step_0', 'base', 0)]
        for step in range(1, len(self.steps)):
            name, old = f'step_{step}', stages[-1].name
            stages.append(Stage(name, 'increment', step, old, old))
            if self.exemplars:
                tuned = f'{name}_finetune'
                stages.append(Stage(tuned, 'finetune', step, name, old))
        return stages

    def number_seen(self, step: int) -> int:
        """How many classes the detector knows after a step."""
        return sum(map(len, self.steps[: step + 1]))

    def groups(self, step: int) -> dict[str, list[str]]:
        """What is evaluated after a step: classes by group.

        ``old`` are those of earlier steps and ``new`` those of this one; of
        the base step all are old.
        """
        last = self.number_seen(step - 1) if step else None
        seen = self.classes[: self.number_seen(step)]
        return dict(old=seen[:last], new=seen[last:] if step else [])


def plan_of(cfg: Config) -> Plan:
    """The checked plan of a config; ValueError says what is wrong."""
    section = cfg.get(SECTION)
    known = list(Plan.__dataclass_fields__)
    if not isinstance(section, dict) or 'steps' not in section:
        raise ValueError(
            f'{cfg.filename}: a config of incremental learning needs '
            f'{SECTION} = dict(steps=[[names], [names]], ...), got {section!r}'
        )
    unknown = sorted(set(section) - set(known))
    if unknown:
        raise ValueError(
            f'{cfg.filename}: {SECTION} has unknown keys {unknown}, known '
            f'are {known}'
        )
    own = ConfigDict(section).to_dict()
    if METHOD in cfg:
        method = flatten(ConfigDict(cfg[METHOD]).to_dict())
        own[METHOD] = {**method, **flatten(own.get(METHOD) or {})}
    try:
        return Plan(**own)
    except ValueError as error:
        raise ValueError(f'{cfg.filename}: {SECTION}.{error}') from error


def stage_config(
    cfg: Config,
    plan: Plan,
    stage: Stage,
    folder: Path,
    *,
    seed: int = 0,
    start: Path | None = None,
    teacher: Path | None = None,
    options: dict | None = None,
    processes: int = 1,
) -> Config:
    """The config that trains and tests one stage, complete.

    Args:
        folder: work folder of the stage.
        start: checkpoint of the stage before.
        teacher: that of the last stage of the step before.
        options: dotted overrides that go before those of the stage.
        processes: noted in the config's key ``stage``, no more.
    """
    cfg = copy.deepcopy(cfg)
    for section in SECTIONS:
        cfg.pop(section, None)
    cfg.classes = plan.classes
    merge_options(
        cfg, {**flatten(getattr(plan, stage.kind) or {}), **(options or {})}
    )
    cfg = resolved(cfg)
    _set_data(cfg, plan, stage, seed)
    _set_model(cfg.model, plan, stage, teacher)
    for name in ('val_evaluator', 'test_evaluator'):
        cfg[name] = dict(cfg[name], groups=plan.groups(stage.step))
    cfg.work_dir = str(folder)
    cfg.load_from = None if start is None else str(start)
    cfg.merge_from_dict({SEED: seed})
    cfg.stage = dict(name=stage.name, kind=stage.kind, processes=processes)
    return cfg


def resolved(cfg: Config) -> Config:
    """As `mmood.recipe.resolve`, with the config's own hooks alone.

    No stage is measured by its scores, so nothing is fitted or calibrated.
    """
    own = len(cfg.get('custom_hooks', []))
    cfg = resolve(cfg)
    cfg.custom_hooks = cfg.get('custom_hooks', [])[:own]
    cfg.pop('fit_dataloader', None)
    return cfg


def _set_data(cfg: Config, plan: Plan, stage: Stage, seed: int) -> None:
    """Which classes, and which images, each set of the config shows."""
    split = dict(steps=plan.steps, step=stage.step, seed=seed)
    seen = dict(split, seen=True, exemplars=None)
    store = dict(seen, exemplars=plan.exemplars or None)
    train = dict(split, seen=False, exemplars=None)
    places = {
        'train_dataloader': store if stage.kind == 'finetune' else train,
        'val_dataloader': seen,
        'test_dataloader': seen,
    }
    for name, values in places.items():
        found = list(step_sets(cfg[name]))
        if not found:
            raise ValueError(
                f'{name} of {cfg.filename} has no {_SET}: without it nothing '
                'says which classes a step shows'
            )
        for dataset in found:
            dataset.update(values, metainfo=dict(classes=plan.classes))
    # Hooks with a loader look at stored images.
    train_set = cfg.train_dataloader.dataset
    for hook in cfg.get('custom_hooks', []):
        if 'dataloader' in hook:
            hook.dataloader.setdefault('dataset', copy.deepcopy(train_set))
    for dataset in step_sets(cfg.get('custom_hooks', [])):
        dataset.update(store, metainfo=dict(classes=plan.classes))


def _set_model(
    model: ConfigDict, plan: Plan, stage: Stage, teacher: Path | None
) -> None:
    """How many classes there are, are seen, and were seen before."""
    head = model.roi_head.bbox_head
    head.num_classes = len(plan.classes)
    head.cls_predictor_cfg.num_seen = plan.number_seen(stage.step)
    model.num_old = plan.number_seen(stage.step - 1) if stage.step else 0
    if stage.step and model.get('distillation') and teacher is not None:
        model.teacher = str(teacher)


def step_sets(node: object) -> Iterator[dict]:
    """The `ClassStepCocoDataset` configs in a part of a config."""
    if isinstance(node, dict):
        if str(node.get('type')).split('.')[-1] == _SET:
            yield node
        node = list(node.values())
    if isinstance(node, (list, tuple)):
        for child in node:
            yield from step_sets(child)


def check_data(cfg: Config) -> None:
    """Raise an error if a set of a stage's config lacks a file or a class.

    ValueError for a class of the steps that the file does not have.
    """
    files = {
        osp.join(part.get('data_root') or '', part['ann_file']): part['steps']
        for name in ('train_dataloader', 'val_dataloader', 'test_dataloader')
        for part in step_sets(cfg[name])
    }
    for path, steps in files.items():
        classes = [name for step in steps for name in step]
        check_classes(read_coco(path), classes, path)
