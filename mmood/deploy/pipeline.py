"""What has to be done to a picture, from a config and its model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from torch import Tensor, nn

from mmood.families import type_name

_SUPPORTED = 'Resize with a scale, ResizeToMultiple, and Pad'


def describe(pipeline: Iterable[Mapping], preprocessor: nn.Module) -> dict:
    """What `mmood.deploy.pictures.prepare` goes by, of JSON's types.

    ``pipeline``: the configs of a test pipeline; ``preprocessor``: the data
    preprocessor of MMDetection's or MMSegmentation's model. Raises ValueError
    for what the runner cannot do.
    """
    steps = [found for step in pipeline for found in _step(step)]
    swaps = (
        getattr(preprocessor, name, False)
        for name in ('_channel_conversion', 'channel_conversion')
    )
    padding = dict(preprocessor_padding(preprocessor))
    is_normalizing = getattr(preprocessor, '_enable_normalize', False)
    mean, std = (
        _numbers(getattr(preprocessor, name)) if is_normalizing else None
        for name in ('mean', 'std')
    )
    order = 'rgb' if any(swaps) else 'bgr'
    return dict(steps=steps, order=order, mean=mean, std=std, **padding)


def preprocessor_padding(preprocessor: nn.Module) -> dict:
    """``divisor``, ``pad_size`` (height, width) or None, ``pad_value``."""
    divisor = getattr(preprocessor, 'pad_size_divisor', None)
    if divisor is not None:
        value = getattr(preprocessor, 'pad_value', 0)
        return dict(divisor=divisor, pad_size=None, pad_value=float(value))
    padding = getattr(preprocessor, 'test_cfg', None) or {}
    return dict(
        divisor=padding.get('size_divisor') or 1,
        pad_size=padding.get('size'),
        pad_value=float(getattr(preprocessor, 'pad_val', 0)),
    )


def multiples(about: Mapping) -> int:
    """What the sides of all that the network gets are multiples of."""
    found = 1
    for step in about['steps']:
        found = step.get('divisor') or 1
    padded = about['divisor']
    keeps = found % padded == 0 and not about['pad_size']
    return found if keeps else padded


def _step(step: Mapping) -> list[dict]:
    """A step of the runner, or none, for one of a pipeline."""
    name = type_name(step).rsplit('.', 1)[-1]
    if name.startswith(('Load', 'Pack')):
        return []
    if name == 'TestTimeAug':
        raise ValueError(
            'the test pipeline has TestTimeAug, which looks at a picture '
            'several times, and the ONNX graph looks once: take the config '
            'without it'
        )
    interpolation = step.get('interpolation') or 'bilinear'
    is_plain = interpolation == 'bilinear'
    is_plain &= step.get('backend', 'cv2') == 'cv2'
    if name == 'Resize' and step.get('scale') and is_plain:
        scale = step['scale']
        scale = [scale] * 2 if isinstance(scale, int) else list(scale)
        ratio = bool(step.get('keep_ratio'))
        return [dict(step='resize', scale=scale, keep_ratio=ratio)]
    if name == 'ResizeToMultiple' and is_plain:
        return [dict(step='multiple', divisor=step.get('size_divisor', 32))]
    if name == 'Pad' and step.get('padding_mode', 'constant') == 'constant':
        value = step.get('pad_val', 0)
        value = value.get('img', 0) if isinstance(value, Mapping) else value
        size, divisor = step.get('size'), step.get('size_divisor')
        return [
            dict(
                step='pad',
                size=list(size) if size else None,
                divisor=divisor,
                square=bool(step.get('pad_to_square')),
                value=value if isinstance(value, (int, float)) else [*value],
            )
        ]
    raise ValueError(
        f'the test pipeline has the step {dict(step)}, which the runner of '
        f'ONNX files has not: it has {_SUPPORTED}, all bilinear'
    )


def _numbers(values: Tensor) -> list[float]:
    return [float(value) for value in values.flatten()]
