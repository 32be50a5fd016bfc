"""Component measures of SegmentMeIfYouCan.

Chan et al., "SegmentMeIfYouCan: A Benchmark for Anomaly Segmentation",
NeurIPS Datasets and Benchmarks 2021, and its public evaluation code.

Shapes: G annotated objects and n predictions (8-connected components) of a
frame of H x W pixels. Labels are 1 for OOD, 255 for ignored, else ID.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import ndimage

from .inputs import as_array

_IGNORE = 255
_PERCENT = range(25, 76, 5)
_OVERLAPS = dict(
    definition=np.array(_PERCENT) / 100,
    smiyc=np.linspace(0.25, 0.75, 11),  # the eighth is 0.6000000000000001
)


def check_component_protocol(protocol: str) -> None:
    """Raise ValueError unless `pool_components` takes this."""
    if protocol not in _OVERLAPS:
        raise ValueError(
            f'protocol of components must be one of {tuple(_OVERLAPS)}, got '
            f'{protocol!r}'
        )


class FrameComponents(NamedTuple):
    """What one frame contributes; in the order of the first pixels."""

    sIoU: np.ndarray  # (G,), in [0, 1]
    PPV: np.ndarray  # (n,), in [0, 1]
    object_sizes: np.ndarray  # (G,), pixels
    prediction_sizes: np.ndarray  # (n,), pixels that are not ignored
    sIoU_pred: np.ndarray  # (n,), in [0, 1]


def frame_components(
    prediction: ArrayLike,
    label: ArrayLike,
    min_prediction_size: int = 500,
    min_object_size: int = 100,
) -> FrameComponents:
    """sIoU of each object; PPV and sIoU of each prediction of a frame.

    ``prediction`` is boolean, ``label`` 0, 1 or 255, both (H, W). Ignored
    pixels are no prediction. Then predictions of fewer than
    ``min_prediction_size`` pixels are dropped, and objects of fewer than
    ``min_object_size`` pixels become ignored, also where predicted, which
    does not split the predictions. With U the union of the predictions that
    meet object k, and A its pixels on other objects,

        sIoU(k) = |k & U| / (|U| + |k| - |k & U| - A),

    0 if there is none; PPV(p) is the share of p on any object. sIoU_pred(p)
    is the same as sIoU with the parts exchanged: U is the union of the
    objects that meet prediction p, A its pixels on other predictions. The
    sizes are 50 and 10 for the obstacle track. Raises ValueError if the
    shapes differ or are not (H, W), the prediction is not boolean or a label
    is nan.
    """
    prediction = as_array(prediction, 'prediction')
    label = as_array(label, 'label')
    _check(prediction, label)
    objects = _components(label == 1, min_object_size)
    predicted = _components(
        prediction & (label != _IGNORE), min_prediction_size
    )
    dropped_object = (label == 1) & (objects == 0)
    return _measure(objects, np.where(dropped_object, 0, predicted))


def pool_components(
    frames: Iterable[FrameComponents], protocol: str = 'definition'
) -> dict[str, float]:
    """Measures of a set from those of its frames, in any order.

    ``sIoU`` is the mean over all objects, ``PPV`` and ``sIoU_pred`` are
    those over all predictions of the set. For t = 25, 30, ..., 75 (%):
    ``TP@t`` and ``FN@t`` count objects with sIoU >= t and below, ``FP@t``
    predictions with PPV < t, and ``F1@t`` is 2 TP / (2 TP + FN + FP). ``F1*``
    is the mean of these eleven. Without any object sIoU is nan, without any
    prediction PPV and sIoU_pred are, without both F1 is; with one of them it
    is 0. ``'smiyc'`` takes t as the public evaluator does, from
    ``np.linspace``: its 60 % is 0.6000000000000001, which an overlap of 3 / 5
    misses. Raises ValueError for another protocol.
    """
    check_component_protocol(protocol)
    frames = list(frames)
    overlaps = np.concatenate([[], *(frame.sIoU for frame in frames)])
    precisions = np.concatenate([[], *(frame.PPV for frame in frames)])
    predicted = np.concatenate([[], *(frame.sIoU_pred for frame in frames)])
    curve: dict[str, float] = {}
    for percent, share in zip(_PERCENT, _OVERLAPS[protocol]):
        tp = int((overlaps >= share).sum())
        fn = overlaps.size - tp
        fp = int((precisions < share).sum())
        total = 2 * tp + fn + fp
        f1 = 2 * tp / total if total else float('nan')
        for name, value in zip(('TP', 'FN', 'FP', 'F1'), (tp, fn, fp, f1)):
            curve[f'{name}@{percent}'] = value
    mean_f1 = _mean([curve[f'F1@{percent}'] for percent in _PERCENT])
    return {
        'sIoU': _mean(overlaps),
        'PPV': _mean(precisions),
        'sIoU_pred': _mean(predicted),
        'F1*': mean_f1,
        **curve,
    }


def component_metrics(
    predictions: Sequence[np.ndarray],
    labels: Sequence[np.ndarray],
    *,
    min_prediction_size: int = 500,
    min_object_size: int = 100,
    protocol: str = 'definition',
) -> dict[str, float]:
    """`pool_components` of the `frame_components` of a set.

    For the figures of SegmentMeIfYouCan's evaluator: ``protocol='smiyc'``,
    and predictions ``score > best_f1_threshold(...)`` by its rule
    (`mmood.metrics.smiyc`). Raises ValueError if the numbers of frames
    differ, else as these do.
    """
    if len(predictions) != len(labels):
        raise ValueError(
            f'{len(predictions)} predictions and {len(labels)} labels; the '
            'numbers must agree'
        )
    return pool_components(
        (
            frame_components(
                frame, label, min_prediction_size, min_object_size
            )
            for frame, label in zip(predictions, labels)
        ),
        protocol,
    )


def _components(mask: np.ndarray, min_size: int) -> np.ndarray:
    """Numbers of the components of enough pixels, from 1 on, else 0."""
    numbers, _ = ndimage.label(mask, structure=np.ones((3, 3)))
    kept = np.bincount(numbers.ravel(), minlength=1) >= min_size
    kept[0] = False
    return (np.cumsum(kept) * kept)[numbers]


def _measure(objects: np.ndarray, predicted: np.ndarray) -> FrameComponents:
    """Measures of numbered components, 0 for none, both (H, W)."""
    object_sizes = np.bincount(objects.ravel(), minlength=1)
    sizes = np.bincount(predicted.ravel(), minlength=1)
    # Pairs of an object and a prediction that meet, and their common pixels.
    meet = (objects > 0) & (predicted > 0)
    pairs = objects[meet] * sizes.size + predicted[meet]
    pairs, common = np.unique(pairs, return_counts=True)
    k, p = np.divmod(pairs, sizes.size)
    on_any = np.bincount(p, common, sizes.size)
    left = sizes > 0  # dropped objects may have taken all of a prediction
    left[0] = False
    return FrameComponents(
        sIoU=_overlaps(k, p, common, object_sizes, sizes)[1:],
        PPV=on_any[left] / sizes[left],
        object_sizes=object_sizes[1:],
        prediction_sizes=sizes[left],
        sIoU_pred=_overlaps(p, k, common, sizes, object_sizes)[left],
    )


def _overlaps(
    own: np.ndarray,
    other: np.ndarray,
    common: np.ndarray,
    sizes: np.ndarray,
    other_sizes: np.ndarray,
) -> np.ndarray:
    """sIoU of the components of one side with those of the other.

    Pairs of their numbers that have ``common`` pixels, and the sizes by
    number; nan for a component without pixels.
    """
    covered = np.bincount(other, common, other_sizes.size)
    shared, union, elsewhere = (
        np.bincount(own, pixels, sizes.size)
        for pixels in (common, other_sizes[other], covered[other] - common)
    )
    total = union + sizes - shared - elsewhere
    share = np.full(sizes.size, np.nan)
    return np.divide(shared, total, out=share, where=total > 0)


def _mean(values: Sequence[float] | np.ndarray) -> float:
    return float(np.mean(values)) if len(values) else float('nan')


def _check(prediction: np.ndarray, label: np.ndarray) -> None:
    if prediction.shape != label.shape or label.ndim != 2:
        raise ValueError(
            f'prediction is {prediction.shape} and label {label.shape}; both '
            'must be (H, W)'
        )
    if prediction.dtype != bool:
        raise ValueError(
            f'prediction must be boolean, got {prediction.dtype}; compare '
            'the scores with a threshold'
        )
    if label.dtype.kind == 'f' and np.isnan(label).any():
        raise ValueError(f'label has {int(np.isnan(label).sum())} nan')
