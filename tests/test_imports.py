"""What looking up a part imports, in processes of their own.

MMDetection's models import scikit-learn and matplotlib, MMSegmentation's
import MMDetection where it is installed. What counts is what we add.
"""

import subprocess
import sys

import pytest

PARTS = dict(
    det=dict(
        MODELS='OODRoIHead',
        DATASETS='IDCocoDataset',
        TRANSFORMS='PackOODInputs',
        METRICS='OODDetMetric',
        VISUALIZERS='OODDetLocalVisualizer',
    ),
    seg=dict(
        MODELS='OODEncoderDecoder',
        DATASETS='CamVidDataset',
        TRANSFORMS='LoadOODAnnotations',
        METRICS='OODSegMetric',
        VISUALIZERS='OODSegLocalVisualizer',
    ),
)
UNWANTED = dict(det={'mmseg', 'mmood.seg'}, seg={'mmood.det'})
LOOK_UP = """
import sys
from importlib import import_module

from mmengine.registry import DefaultScope

package, scope, parts = {package!r}, {scope!r}, {parts!r}
registries = import_module(package + '.registry')
for room in ('models', 'datasets', 'evaluation', 'visualization'):
    import_module(package + '.' + room) if scope else None
had = set(sys.modules)
if scope:
    DefaultScope.get_instance('test', scope_name=scope)
for registry, name in parts.items():
    found = getattr(registries, registry).get('mmood.' + name)
    assert found.__name__ == name
print(*set(sys.modules) - had)
"""


def added(code):
    ran = subprocess.run(
        [sys.executable, '-c', code],
        check=True,
        capture_output=True,
        text=True,
    )
    return set(ran.stdout.split())


@pytest.mark.parametrize('rim', PARTS)
def test_parts_import_their_own_rim_only(rim):
    code = LOOK_UP.format(
        package='mm' + rim, scope='mm' + rim, parts=PARTS[rim]
    )
    modules = added(code)
    assert f'mmood.{rim}.visualizer' in modules
    assert not modules & {'sklearn', 'matplotlib', *UNWANTED[rim]}


@pytest.mark.parametrize('rim', PARTS)
def test_without_a_default_scope_a_model_does(rim):
    parts = dict(MODELS=PARTS[rim]['MODELS'])
    modules = added(LOOK_UP.format(package='mm' + rim, scope='', parts=parts))
    assert f'mmood.{rim}.models' in modules
    assert not modules & UNWANTED[rim]


def test_a_shared_part_imports_no_rim():
    code = (
        'import sys; from mmood.registry import MODELS; '
        "MODELS.get('mmood.DFDDNeck'); print(*sys.modules)"
    )
    assert not added(code) & {'mmood.det', 'mmood.seg', 'mmdet', 'mmseg'}
