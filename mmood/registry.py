"""Registries of scope ``mmood``, children of MMEngine's.

``mmdet.registry`` and ``mmseg.registry`` import this module by themselves
when a config says ``type='mmood.X'``, so a config needs no custom imports.
The task packages are optional: only what is installed is looked at.
"""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.util import find_spec

from mmengine.registry import DATA_SAMPLERS as MMENGINE_DATA_SAMPLERS
from mmengine.registry import DATASETS as MMENGINE_DATASETS
from mmengine.registry import HOOKS as MMENGINE_HOOKS
from mmengine.registry import LOG_PROCESSORS as MMENGINE_LOG_PROCESSORS
from mmengine.registry import METRICS as MMENGINE_METRICS
from mmengine.registry import MODELS as MMENGINE_MODELS
from mmengine.registry import RUNNERS as MMENGINE_RUNNERS
from mmengine.registry import TRANSFORMS as MMENGINE_TRANSFORMS
from mmengine.registry import VISBACKENDS as MMENGINE_VISBACKENDS
from mmengine.registry import VISUALIZERS as MMENGINE_VISUALIZERS
from mmengine.registry import DefaultScope, Registry, build_runner_from_cfg

from . import config  # noqa: F401  (YAML is data, `mmood::` configs)
from .checkpoint import allow_checkpoint_types

allow_checkpoint_types()

_RIMS = {
    package: rim
    for package, rim in (('mmdet', 'mmood.det'), ('mmseg', 'mmood.seg'))
    if find_spec(package) is not None
}


class RimRegistry(Registry):
    """A registry that imports a rim only for a name that it must have.

    A name of ours is looked for in ``locations`` (the shared rooms), then in
    ``room`` of the default scope's rim, then of the other. So a detector is
    built without MMSegmentation, and a segmentor without our detection.
    """

    def __init__(self, *args, room: str, **kwargs) -> None:
        super().__init__(*args, scope='mmood', **kwargs)
        self.room = room

    def import_from_location(self) -> None:
        if self._locations:  # else MMEngine would look for `mmood.utils`
            super().import_from_location()

    def get(self, key: str) -> type | None:
        scope, name = self.split_scope_key(key)
        if scope in (None, self.scope):
            self.import_from_location()
            for rim in _rims_in_turn():
                if name in self.module_dict:
                    break
                import_module(f'{rim}.{self.room}')
        return super().get(key)


def _rims_in_turn() -> list[str]:
    """The rim that a name is likely to be of comes first.

    Without a default scope that is segmentation's if MMSegmentation is
    imported: it imports MMDetection, which does not import it.
    """
    current = DefaultScope.get_current_instance()
    first = current.scope_name if current else None
    if first not in _RIMS:
        first = 'mmseg' if 'mmseg.registry' in sys.modules else 'mmdet'
    return [_RIMS[p] for p in sorted(_RIMS, key=lambda p: p != first)]


MODELS = RimRegistry(
    'model',
    parent=MMENGINE_MODELS,
    locations=[
        'mmood.backbones',
        'mmood.diffusion',
        'mmood.scores',
        'mmood.losses',
        'mmood.outliers',
        'mmood.necks',
        'mmood.backbones',
    ],
    room='models',
)
DATASETS = RimRegistry('dataset', parent=MMENGINE_DATASETS, room='datasets')
DATA_SAMPLERS = RimRegistry(
    'data sampler', parent=MMENGINE_DATA_SAMPLERS, room='datasets'
)
TRANSFORMS = RimRegistry(
    'transform', parent=MMENGINE_TRANSFORMS, room='datasets'
)
METRICS = RimRegistry('metric', parent=MMENGINE_METRICS, room='evaluation')
HOOKS = Registry(
    'hook', parent=MMENGINE_HOOKS, scope='mmood', locations=['mmood.hooks']
)
LOG_PROCESSORS = Registry(
    'log processor',
    parent=MMENGINE_LOG_PROCESSORS,
    scope='mmood',
    locations=['mmood.hooks'],
)
RUNNERS = Registry(
    'runner',
    parent=MMENGINE_RUNNERS,
    scope='mmood',
    build_func=build_runner_from_cfg,
    locations=['mmood.runner'],
)
VISUALIZERS = RimRegistry(
    'visualizer', parent=MMENGINE_VISUALIZERS, room='visualizer'
)
VISBACKENDS = Registry(
    'visualizer backend',
    parent=MMENGINE_VISBACKENDS,
    scope='mmood',
    locations=['mmood.visualization.mlflow_backend'],
)
# Functions and modules, by the names that configs and tables have for them.
SCORES = Registry(
    'score', scope='mmood', locations=['mmood.scores', 'mmood.losses']
)
# Painters, prompt sources and filters of Dream-Box.
PAINTERS = Registry(
    'painter',
    scope='mmood',
    locations=[
        'mmood.generation',
        *(['mmood.det.filters'] if 'mmdet' in _RIMS else []),
    ],
)
# Where the objects come from that `mmood.PasteOutliers` pastes.
OBJECTS = Registry(
    'source of objects', scope='mmood', locations=['mmood.generation']
)


def model_class(of: str | type, example: str) -> type:
    """The class of a model's part, from any registry, or ``of`` itself.

    Raises ValueError for a name that is in none; ``example`` has a scope.
    """
    if not isinstance(of, str):
        return of
    with MODELS.switch_scope_and_registry(None) as registry:
        found = registry.get(of)
    if found is None:
        raise ValueError(
            f'of={of!r} is in no registry: write its scope, as in '
            f'of={example!r}'
        )
    return found
