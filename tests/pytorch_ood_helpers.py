"""Single modules of pytorch-ood, an independent check of scores.

The whole package imports torchvision, its detectors of features do not.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest


def detector(module: str, name: str) -> type:
    """A class of ``pytorch_ood.detector.MODULE``; skips without it."""
    spec = importlib.util.find_spec('pytorch_ood')
    if spec is None:
        pytest.skip('pytorch-ood is not installed (pip install pytorch-ood)')
    root = Path(spec.origin).parent
    packages = {
        'pytorch_ood': root,
        'pytorch_ood.detector': root / 'detector',
    }
    before = set(sys.modules)
    try:
        for package, path in packages.items():
            if package not in sys.modules:
                sys.modules[package] = ModuleType(package)
                sys.modules[package].__path__ = [str(path)]
        found = importlib.import_module(f'pytorch_ood.detector.{module}')
    except ImportError as error:
        pytest.skip(f'pytorch-ood cannot be imported: {error}')
    finally:
        for loaded in set(sys.modules) - before:
            if loaded.split('.')[0] == 'pytorch_ood':
                del sys.modules[loaded]
    return getattr(found, name)
