"""timm for tests, also where no torchvision fits this torch.

timm imports torchvision for what it does with data sets and for one class of
norms; its networks need none of it. While timm is imported, and no longer,
modules stand in whose every name is an empty class.
"""

import sys
from enum import Enum
from importlib.util import find_spec
from types import ModuleType

import pytest

_MODULES = ('', '.ops', '.ops.misc', '.transforms', '.transforms.functional')
_MODULES += ('.datasets', '.models', '.models.feature_extraction')
_MODES = 'NEAREST NEAREST_EXACT BILINEAR BICUBIC BOX HAMMING LANCZOS'


def _stand_in(name):
    module = ModuleType(name)
    module.__path__ = []

    def look_up(attribute):
        if attribute.startswith('__'):
            raise AttributeError(attribute)
        if attribute == 'InterpolationMode':
            return Enum(attribute, _MODES)
        inner = sys.modules.get(f'{name}.{attribute}')
        return inner or type(attribute, (), {})

    module.__getattr__ = look_up
    return module


def _import_with_stand_in():
    names = [f'torchvision{name}' for name in _MODULES]
    sys.modules.update({name: _stand_in(name) for name in names})
    try:
        import timm
    finally:
        for name in names:
            del sys.modules[name]
    return timm


@pytest.fixture(scope='session')
def timm():
    if find_spec('timm') is None:
        pytest.skip('needs timm: pip install --no-deps timm')
    if 'timm' in sys.modules or find_spec('torchvision') is not None:
        return pytest.importorskip(
            'timm',
            reason='torchvision is not built for this torch',
            exc_type=(ImportError, RuntimeError),
        )
    return _import_with_stand_in()
