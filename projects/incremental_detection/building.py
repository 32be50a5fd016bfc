"""Whether a stage's config can be built, before anything is trained."""

from __future__ import annotations

import os
import sys

import mmdet.registry as mmdet
from jobs import Job
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.utils import import_modules_from_strings
from stages import check_data, step_sets

from mmood.launch import metric_configs


def check_stages(job: Job) -> None:
    """Build all that the stages of a job which are not finished name.

    Raises ValueError with the config, the stage and the cause.
    """
    for stage in job.stages:
        if job.metrics(stage).is_file():
            continue
        try:
            cfg = job.config(stage)
            check_data(cfg)
            if stage.teacher and cfg.model.get('distillation'):
                # Its checkpoint may be that of a stage to come.
                cfg.model.teacher = cfg.model.get('teacher') or stage.teacher
            build_parts(cfg)
        except Exception as error:  # whatever a part of a config raises
            raise ValueError(
                f'{job.row.config}, {stage.name} cannot be built: {error}'
            ) from error


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
