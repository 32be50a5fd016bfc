"""What a result was made with: versions and files."""

from __future__ import annotations

import hashlib
import os
import platform
from importlib import metadata

_PACKAGES = {
    'mmood': ('mmood',),
    'torch': ('torch',),
    'mmengine': ('mmengine', 'onedl-mmengine'),
    'mmcv': ('mmcv', 'onedl-mmcv'),
    'mmdet': ('mmdet', 'onedl-mmdetection'),
    'mmsegmentation': ('mmsegmentation', 'onedl-mmsegmentation'),
    'numpy': ('numpy',),
}


def versions() -> dict[str, str]:
    """Of Python and of the installed packages that results depend on."""
    found = dict(python=platform.python_version())
    for package, distributions in _PACKAGES.items():
        for name in distributions:
            try:
                found[package] = metadata.version(name)
                break
            except metadata.PackageNotFoundError:
                continue
    return found


def file_sha256(path: str | os.PathLike) -> str | None:
    """SHA-256 of a file in hex; None if it is not there."""
    digest = hashlib.sha256()
    try:
        with open(path, 'rb') as file:
            while block := file.read(1 << 20):
                digest.update(block)
    except OSError:
        return None
    return digest.hexdigest()
