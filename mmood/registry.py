"""Registries of scope ``mmood``, children of MMEngine's.

``mmdet.registry`` and ``mmseg.registry`` import this module by themselves
when a config says ``type='mmood.X'``, so a config needs no custom imports.
The task packages are optional: only what is installed is looked at.
"""

from importlib.util import find_spec

from mmengine.registry import DATA_SAMPLERS as MMENGINE_DATA_SAMPLERS
from mmengine.registry import DATASETS as MMENGINE_DATASETS
from mmengine.registry import HOOKS as MMENGINE_HOOKS
from mmengine.registry import METRICS as MMENGINE_METRICS
from mmengine.registry import MODELS as MMENGINE_MODELS
from mmengine.registry import RUNNERS as MMENGINE_RUNNERS
from mmengine.registry import TRANSFORMS as MMENGINE_TRANSFORMS
from mmengine.registry import VISUALIZERS as MMENGINE_VISUALIZERS
from mmengine.registry import Registry, build_runner_from_cfg

from . import config  # noqa: F401  (YAML is data, `mmood::` configs)
from .checkpoint import allow_checkpoint_types

allow_checkpoint_types()

_RIMS = [
    rim
    for rim, package in (('mmood.det', 'mmdet'), ('mmood.seg', 'mmseg'))
    if find_spec(package) is not None
]


def _locations(*shared: str, room: str) -> list:
    return [*shared, *(f'{rim}.{room}' for rim in _RIMS)]


MODELS = Registry(
    'model',
    parent=MMENGINE_MODELS,
    scope='mmood',
    locations=_locations(
        'mmood.diffusion',
        'mmood.scores',
        'mmood.losses',
        'mmood.outliers',
        'mmood.necks',
        room='models',
    ),
)
DATASETS = Registry(
    'dataset',
    parent=MMENGINE_DATASETS,
    scope='mmood',
    locations=_locations(room='datasets'),
)
DATA_SAMPLERS = Registry(
    'data sampler',
    parent=MMENGINE_DATA_SAMPLERS,
    scope='mmood',
    locations=_locations(room='datasets'),
)
TRANSFORMS = Registry(
    'transform',
    parent=MMENGINE_TRANSFORMS,
    scope='mmood',
    locations=_locations(room='datasets'),
)
METRICS = Registry(
    'metric',
    parent=MMENGINE_METRICS,
    scope='mmood',
    locations=_locations(room='evaluation'),
)
HOOKS = Registry(
    'hook', parent=MMENGINE_HOOKS, scope='mmood', locations=['mmood.hooks']
)
RUNNERS = Registry(
    'runner',
    parent=MMENGINE_RUNNERS,
    scope='mmood',
    build_func=build_runner_from_cfg,
    locations=['mmood.runner'],
)
VISUALIZERS = Registry(
    'visualizer',
    parent=MMENGINE_VISUALIZERS,
    scope='mmood',
    locations=_locations(room='visualizer'),
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
        *(f'{rim}.filters' for rim in _RIMS if rim == 'mmood.det'),
    ],
)
