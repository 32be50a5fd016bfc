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

from experiments.spec import SEED, check_keys, flatten
from mmengine.config import Config, ConfigDict

from mmood.changes import merge_options
from mmood.det.datasets.class_splits import split_steps
from mmood.det.datasets.coco import check_classes
from mmood.ops import read_coco
from mmood.recipe import resolve

SECTIONS = SECTION, METHOD = 'incremental', 'increment'
_SET = 'ClassStepCocoDataset'
_TESTS = 'val_dataloader', 'test_dataloader'


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
        start: checkpoint of a detector that has learned all steps but the
            last. These count as one, which is tested and not trained.
        open_world: arguments of an `mmood.OpenSetDetMetric`, which measures
            then; objects of classes to come stay in the tests, unknown.
        base, increment, finetune: overrides of the config for a kind of
            stage, nested or with dotted keys.

    Raises ValueError for what cannot be run.
    """

    steps: Sequence[Sequence[str]]
    exemplars: int = 0
    start: str | None = None
    open_world: dict | None = None
    base: dict | None = None
    increment: dict | None = None
    finetune: dict | None = None

    def __post_init__(self) -> None:
        steps = split_steps(self.steps)
        if self.start:
            *before, last = steps
            if not before:
                raise ValueError(
                    f'start={self.start!r} has learned all steps but the '
                    'last, and there is one alone: add the new classes'
                )
            known = [name for step in before for name in step]
            object.__setattr__(self, 'steps', [known, last])
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
        seen = self.classes[: self.number_seen(step)]
        last = self.number_seen(step - 1 if step else 0)
        return dict(old=seen[:last], new=seen[last:])


def plan_of(cfg: Config, options: dict | None = None) -> Plan:
    """The checked plan of a config; ValueError says what is wrong.

    Dotted ``options`` are for all stages and go before their own overrides.
    """
    section = cfg.get(SECTION)
    if not isinstance(section, dict) or 'steps' not in section:
        raise ValueError(
            f'{cfg.filename}: a config of incremental learning needs '
            f'{SECTION} = dict(steps=[[names], [names]], ...), got {section!r}'
        )
    own = ConfigDict(section).to_dict()
    method = ConfigDict({METHOD: cfg.get(METHOD)}).to_dict()
    try:
        check_keys(own, list(Plan.__dataclass_fields__))
        for kind in ('base', 'increment', 'finetune'):
            parts = method.get(kind) or {}, own.get(kind) or {}, options or {}
            own[kind] = {k: v for p in parts for k, v in flatten(p).items()}
        return Plan(**own)
    except ValueError as error:
        raise ValueError(f'{cfg.filename}: {SECTION}.{error}') from error


def stage_config(cfg: Config, plan: Plan, stage: Stage, seed: int) -> Config:
    """The config that trains and tests one stage, but for its paths.

    Parts of it refer to the variables ``classes``, of all steps, ``num_seen``
    and ``num_old`` of them, and ``task``, the step counted from 1.
    """
    cfg = copy.deepcopy(cfg)
    for section in SECTIONS:
        cfg.pop(section, None)
    cfg.classes = plan.classes
    cfg.num_seen = plan.number_seen(stage.step)
    cfg.num_old = plan.number_seen(stage.step - 1)
    cfg.task = stage.step + 1
    merge_options(cfg, flatten(getattr(plan, stage.kind) or {}))
    cfg = resolved(cfg)
    _set_data(cfg, plan, stage, seed)
    if plan.open_world is not None:
        metric = dict(plan.open_world, type='mmood.OpenSetDetMetric')
        cfg.val_evaluator = cfg.test_evaluator = metric
    groups = plan.groups(stage.step)
    own = {
        'val_evaluator.groups': groups,
        'test_evaluator.groups': groups,
        SEED: seed,
        'stage': dict(name=stage.name, kind=stage.kind),
    }
    cfg.merge_from_dict(own)
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
    """Which classes, and which images, each set of the config shows.

    ``exemplars`` of a set of its own stay, as None of a file that holds
    nothing but stored images.
    """
    store = True, plan.exemplars or None
    own, known = (False, None), (True, None)
    for hook in cfg.custom_hooks:
        if 'dataloader' in hook:
            train_set = copy.deepcopy(cfg.train_dataloader.dataset)
            hook.dataloader.setdefault('dataset', train_set)
    for name, (seen, exemplars) in {
        'train_dataloader': store if stage.kind == 'finetune' else own,
        **dict.fromkeys(_TESTS, known),
        'custom_hooks': store,
    }.items():
        found = list(step_sets(cfg[name]))
        if not found and name != 'custom_hooks':
            raise ValueError(
                f'{name} of {cfg.filename} has no {_SET}: without it nothing '
                'says which classes a step shows'
            )
        for dataset in found:
            dataset.update(steps=plan.steps, step=stage.step, seen=seen)
            dataset.update(seed=seed, metainfo=dict(classes=plan.classes))
            dataset.setdefault('exemplars', exemplars)
            if plan.open_world is not None and name in _TESTS:
                dataset.unknown = 'label'


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
    loaders = 'train_dataloader', *_TESTS
    for part in step_sets([cfg[name] for name in loaders]):
        path = osp.join(part.get('data_root') or '', part['ann_file'])
        classes = [name for step in part['steps'] for name in step]
        check_classes(read_coco(path), classes, path)
