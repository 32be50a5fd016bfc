"""Who may import whom, read from the sources.

``ops < diffusion < {backbones, scores, losses} < {outliers, necks, hooks,
deploy, mining} < {det, seg} < demo``: a room imports only lower ones, losses
also scores. Metrics, visualization and generation import no other room than
ops. mmdet and mmcv.ops belong to det alone, mmseg to seg. Modules at the top
of the package are for all and import no room.
"""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TIERS = [
    {'ops'},
    {'diffusion'},
    {'backbones', 'scores', 'losses', 'metrics'}
    | {'visualization', 'generation'},
    {'outliers', 'necks', 'hooks', 'deploy', 'mining'},
    {'det', 'seg'},
    {'demo'},
]
TIER = {room: i for i, rooms in enumerate(TIERS) for room in rooms}
ALONE = {'metrics', 'visualization', 'generation'}
SAME_TIER = {('losses', 'scores')}
OWNERS = {'mmdet': {'det'}, 'mmcv.ops': {'det'}, 'mmseg': {'seg'}}
TOP = {'registry', 'checkpoint', 'config', 'launch', 'version'}
TOP |= {'changes', 'families', 'fit_data', 'method_data'}
TOP |= {'method_model', 'recipe', 'references', 'runner'}
FILES = sorted((ROOT / 'mmood').rglob('*.py'))


def module_name(path):
    parts = path.relative_to(ROOT).with_suffix('').parts
    return '.'.join(parts[:-1] if parts[-1] == '__init__' else parts)


def imported(source, module, is_package=False):
    """Full dotted names that a module's source imports, at any depth."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ''
            if node.level:
                up = node.level - is_package
                home = module.split('.')
                home = home[: len(home) - up]
                base = '.'.join([*home, *filter(None, [base])])
            names.update(f'{base}.{alias.name}' for alias in node.names)
    return names


def room_of(name):
    """The room of a dotted name of ours, or None."""
    parts = name.split('.')
    if parts[0] != 'mmood' or len(parts) < 2:
        return None
    is_private = parts[1].startswith('__')
    return None if parts[1] in TOP or is_private else parts[1]


def allowed(room, other):
    if room == other:
        return True
    if room not in TIER or other not in TIER:
        return False
    if room in ALONE:
        return other == 'ops'
    return TIER[other] < TIER[room] or (room, other) in SAME_TIER


def violations(source, module, is_package=False):
    """What a module imports against the rules."""
    room, wrong = room_of(module), []
    for name in sorted(imported(source, module, is_package)):
        other = room_of(name)
        if other is not None and not allowed(room, other):
            wrong.append(f'{module} imports {name}')
        for package, owners in OWNERS.items():
            owned = f'{name}.'.startswith(f'{package}.')
            if owned and room not in owners:
                wrong.append(f'{module} imports {name}')
    return wrong


@pytest.mark.parametrize('path', FILES, ids=module_name)
def test_imports_go_down_only(path):
    is_package = path.name == '__init__.py'
    source = path.read_text()
    assert violations(source, module_name(path), is_package) == []


def test_every_folder_is_a_known_room_and_every_file_a_known_module():
    home = ROOT / 'mmood'
    folders = {p.parent.name for p in FILES if p.parent.parent == home}
    assert folders == set(TIER)
    files = {p.stem for p in FILES if p.parent == home}
    assert files - {'__init__'} <= TOP


def test_rooms_have_no_cycle():
    edges = {room: set() for room in TIER}
    for path in FILES:
        module = module_name(path)
        names = imported(path.read_text(), module, path.stem == '__init__')
        if room_of(module):
            rooms = {room_of(n) for n in names} - {None, room_of(module)}
            edges[room_of(module)] |= rooms
    while edges:
        free = {r for r, others in edges.items() if not others & set(edges)}
        assert free, f'rooms that import each other: {edges}'
        edges = {r: o for r, o in edges.items() if r not in free}


LATE = {'sklearn', 'matplotlib'}


def imported_at_once(source):
    """Packages that a module's source imports when it is imported."""
    names = set()
    nodes = list(ast.parse(source).body)
    while nodes:
        node = nodes.pop()
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names.add(node.module)
        elif not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            test = getattr(node, 'test', None)
            if not test or 'TYPE_CHECKING' not in ast.unparse(test):
                nodes += ast.iter_child_nodes(node)
    return {name.split('.')[0] for name in names}


@pytest.mark.parametrize('path', FILES, ids=module_name)
def test_what_draws_is_imported_by_what_draws(path):
    """Importing any module of ours imports neither of these packages."""
    assert not imported_at_once(path.read_text()) & LATE


def test_what_a_function_imports_is_late():
    source = (
        'import a.b\nfrom c.d import e\nif TYPE_CHECKING:\n    import f\n'
        'class G:\n    import h\n    def i(self):\n        import j\n'
        'try:\n    import k\nexcept ImportError:\n    pass\n'
    )
    assert imported_at_once(source) == {'a', 'c', 'h', 'k'}


def test_the_walk_sees_the_imports_that_are_there():
    path = ROOT / 'mmood' / 'losses' / 'uncertainty.py'
    names = imported(path.read_text(), 'mmood.losses.uncertainty')
    assert 'mmood.scores.energy' in names
    assert 'mmood.registry.MODELS' in names


@pytest.mark.parametrize(
    ('module', 'source'),
    [
        ('mmood.ops.a', 'from mmood.diffusion import x'),
        ('mmood.ops.a', 'import mmood.scores.logits as s'),
        ('mmood.ops.a', 'from mmood import det'),
        ('mmood.ops.a', 'from ..necks import x'),
        ('mmood.ops.a', 'from .. import losses'),
        ('mmood.ops.a', 'def f():\n    from mmood.hooks import x'),
        ('mmood.ops.a', 'if TYPE_CHECKING:\n    import mmood.seg'),
        ('mmood.scores.a', 'from mmood.losses import x'),
        ('mmood.scores.a', 'from mmood.metrics import x'),
        ('mmood.necks.a', 'from mmood.hooks import x'),
        ('mmood.metrics.a', 'from mmood.scores import x'),
        ('mmood.visualization.a', 'from mmood.metrics import x'),
        ('mmood.generation.a', 'from ..diffusion import x'),
        ('mmood.det.models.a', 'from mmood.seg import x'),
        ('mmood.det.models.a', 'from ...seg.models import x'),
        ('mmood.det.models.a', 'import mmseg'),
        ('mmood.seg.a', 'from mmdet.models import x'),
        ('mmood.seg.a', 'from mmcv.ops import nms'),
        ('mmood.necks.a', 'from mmcv import ops'),
        ('mmood.necks.a', 'import mmdet.structures'),
        ('mmood.registry', 'from mmood.necks import x'),
        ('mmood.registry', 'from .ops import x'),
        ('mmood.launch', 'import mmdet'),
        ('mmood.ops.a', 'import mmood.unheard_of'),
    ],
)
def test_the_checker_finds_a_violation(module, source):
    assert len(violations(source, module)) == 1


@pytest.mark.parametrize(
    ('module', 'source'),
    [
        ('mmood.losses.a', 'from mmood.scores import x'),
        ('mmood.losses.a', 'from mmood.registry import MODELS'),
        ('mmood.scores.a', 'from .. import version, __version__'),
        ('mmood.diffusion.a', 'from mmood.ops import x'),
        ('mmood.metrics.a', 'from mmood.ops import x'),
        ('mmood.generation.a', 'from ..ops import x'),
        ('mmood.necks.a', 'from .b import x\nfrom mmood.diffusion import y'),
        ('mmood.necks.a', 'from mmcv.cnn import ConvModule\nimport mmcv'),
        ('mmood.necks.a', 'import mmdetection_like, mmcv.opsy'),
        ('mmood.hooks.a', 'from mmood.metrics import x'),
        ('mmood.det.a', 'import mmdet, mmcv.ops\nfrom mmood.necks import x'),
        ('mmood.seg.a', 'from mmseg.models import x'),
        ('mmood.launch', 'from .registry import MODELS'),
    ],
)
def test_the_checker_lets_the_rest_pass(module, source):
    assert violations(source, module) == []


def test_relative_imports_of_a_package_start_at_itself():
    source = 'from . import a\nfrom .b import c\nfrom ..ops import d'
    expected = {'mmood.necks.a', 'mmood.necks.b.c', 'mmood.ops.d'}
    assert imported(source, 'mmood.necks', is_package=True) == expected
    assert imported(source, 'mmood.necks.x') == expected
