"""Score maps in the files of SegmentMeIfYouCan's public kit.

``anomaly_p/METHOD/SPLIT/FRAME.hdf5`` below a folder of outputs, each with one
dataset ``value`` (H, W) in float16, higher is more OOD. H x W pixels are those
of the frame.
Source: Chan et al., "SegmentMeIfYouCan: A Benchmark for Anomaly
Segmentation", NeurIPS Datasets and Benchmarks 2021, public evaluation code.
"""

from __future__ import annotations

import io
from pathlib import Path
from types import ModuleType

import numpy as np
from mmengine.logging import MMLogger

from mmood.ops import atomic_write

_CHANNEL, _FIELD = 'anomaly_p', 'value'
_FEW_STEPS = 256  # as many as in eight bits
# What h5py raises for what is no such file, or a part of one.
_BROKEN = (OSError, KeyError, ValueError, TypeError, RuntimeError)


def import_h5py() -> ModuleType:
    """h5py, or an ImportError that says how to come by it."""
    try:
        import h5py
    except ImportError as error:
        raise ImportError(
            'the files of SegmentMeIfYouCan need the package h5py: pip '
            "install 'mmood[submission]', or pip install h5py"
        ) from error
    return h5py


def method_folder(out_dir: str | Path, method: str) -> Path:
    """Where all frames of a method lie."""
    return Path(out_dir, _CHANNEL, method)


def frame_path(
    out_dir: str | Path, method: str, split: str, frame: str
) -> Path:
    """The file of a frame; its name is the image's without the suffix."""
    return method_folder(out_dir, method) / split / f'{frame}.hdf5'


def as_half(score: np.ndarray, name: str) -> np.ndarray:
    """A map (H, W) in float16; ``name`` is what errors call it.

    Logs a warning if the whole map has fewer steps in float16 than a picture
    of eight bits, as where a large constant is part of the score. Raises
    ValueError for nan, infinity and what float16 has no number for.
    """
    with np.errstate(over='ignore'):
        half = np.asarray(score).astype(np.float16)
    wrong = half.size - int(np.isfinite(half).sum())
    if wrong:
        raise ValueError(
            f'{name}: {wrong} of {half.size} values are no number, infinite '
            'or beyond 65504, the largest of float16: submit another score'
        )
    if half.size and score.max() > score.min():
        step = float(np.spacing(np.abs(half).max()))
        steps = float(score.max() - score.min()) / step
        if steps < _FEW_STEPS:
            MMLogger.get_current_instance().warning(
                f'{name}: float16 has about {steps:.0f} steps between its '
                'smallest and its largest value, so that most of the order '
                'is lost: submit a score that lies around 0, such as a '
                'compound'
            )
    return half


def write_frame(path: Path, score: np.ndarray, name: str) -> None:
    """Write a map (H, W); the file is there whole or not at all.

    Raises ValueError as `as_half` does.
    """
    content = io.BytesIO()
    with import_h5py().File(content, 'w') as file:
        half = as_half(score, name)
        file.create_dataset(_FIELD, data=half, compression='gzip')
    with atomic_write(path, 'wb') as target:
        target.write(content.getvalue())


def is_complete(path: Path, size: tuple[int, int]) -> bool:
    """Whether the file has a map of that size, (width, height) in pixels."""
    try:
        with import_h5py().File(path, 'r') as file:
            value = file[_FIELD][()]
    except _BROKEN:
        return False
    return value.dtype == np.float16 and value.shape == size[::-1]
