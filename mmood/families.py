"""Which detectors and segmentors can have OOD scores and losses: one table.

An adapter takes the place of a part of MMDetection or MMSegmentation. To
support another family of heads is a row here; docs/en/config.md shows the
table, and so does the error that a model without an adapter gets.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mmood.config import ConfigError


@dataclass(frozen=True)
class Adapter:
    """What stands for the parts ``wraps``, in ``model.<part>``.

    ``part`` is '' where it stands for the model itself; ``models`` says to
    people which models have such a part. An adapter that wraps nothing by
    name takes every part in its place, as its argument ``of``, and refuses
    what it does not know when it is built.
    """

    type: str
    wraps: tuple[str, ...]
    part: str
    models: str


ADAPTERS = (
    Adapter(
        'mmood.OODRoIHead',
        ('StandardRoIHead',),
        'roi_head',
        'Faster R-CNN, Mask R-CNN, with FPN or C4, any backbone',
    ),
    Adapter(
        'mmood.OODCascadeRoIHead',
        ('CascadeRoIHead',),
        'roi_head',
        'Cascade R-CNN, Cascade Mask R-CNN',
    ),
    Adapter(
        'mmood.OODHead',
        (),
        'bbox_head',
        'RetinaNet, FCOS, ATSS, GFL, YOLOX, RTMDet; DETR, Conditional, '
        'Deformable and DAB-DETR, DINO',
    ),
    Adapter(
        'mmood.OODEncoderDecoder',
        ('EncoderDecoder',),
        '',
        'FCN, PSPNet, DeepLabV3+, SegFormer, Segmenter, SETR, CGNet, '
        'Mask2Former, MaskFormer, ...',
    ),
)


def type_name(config: Mapping) -> str:
    """The type that a config names, a word or, in new ones, a class."""
    kind = config.get('type', '')
    if isinstance(kind, str):
        return kind
    return f'{kind.__module__}.{kind.__qualname__}'


def short_name(config: Mapping) -> str:
    """The type without its scope: ``'FPN'`` of ``'mmdet.FPN'``."""
    return type_name(config).rsplit('.', 1)[-1]


def adapter_of(model: Mapping) -> tuple[Adapter, bool]:
    """The adapter of a model's config, and whether it is there already.

    A part of ours (``mmood.X``) in an adapter's place counts as one. Raises
    ConfigError, with the table, if no adapter fits the model.
    """
    for adapter in ADAPTERS:
        part = model.get(adapter.part) if adapter.part else model
        if not isinstance(part, Mapping):
            continue
        if short_name(part) in adapter.wraps:
            return adapter, False
        fits = adapter.part or 'decode_head' in model
        if fits and type_name(part).startswith('mmood.'):
            return adapter, True
        if not adapter.wraps and part.get('type'):
            return adapter, False
    heads = {key: value for key, value in model.items() if 'head' in key}
    named = [
        f'{key} {short_name(part)}'
        for key, value in heads.items()
        for part in (value if isinstance(value, (list, tuple)) else [value])
        if isinstance(part, Mapping) and 'type' in part
    ]
    raise ConfigError(
        f'there is no adapter for a {short_name(model)} with '
        f'{", ".join(named) or "no head"}. These can have scores and '
        f'methods:\n{support_table()}'
    )


def support_table() -> str:
    """The table of what is supported, in Markdown."""
    rows = ['| head or model | adapter | for example |', '|---|---|---|']
    for adapter in ADAPTERS:
        where = f'model.{adapter.part}'.rstrip('.')
        wraps = ', '.join(f'`{name}`' for name in adapter.wraps)
        wraps = wraps or 'one-stage and DETR heads'
        rows.append(
            f'| `{where}`: {wraps} | `{adapter.type}` | {adapter.models} |'
        )
    return '\n'.join(rows)
