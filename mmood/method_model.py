"""A method's part in the model of a config; see `recipe`."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence

from mmengine.config import ConfigDict

from mmood.config import ConfigError
from mmood.families import Adapter, adapter_of, short_name, type_name

# Keys of the `ood` block that become arguments of the adapter, and the rest.
PIXEL_KEYS = (
    'pixel_losses',
    'trains',
    'supervised',
    'outlier_label',
)
HEAD_KEYS = ('scores', 'losses', 'outliers', 'probe', *PIXEL_KEYS)
MODEL_KEYS = (
    'frozen',
    'head',
    'neck',
    'classifier',
    'rpn_head',
    'decode_head',
)
_CLASS_HEADS = ('bbox_head', 'mask_head', 'decode_head', 'auxiliary_head')


def filled(explicit: Mapping, defaults: Mapping) -> ConfigDict:
    """Both merged; where both say something, what is explicit."""
    merged = ConfigDict(copy.deepcopy(dict(defaults)))
    merged.merge(copy.deepcopy(dict(explicit)))
    return merged


def add_to_model(model: ConfigDict, method: ConfigDict) -> Adapter:
    """The model's parts of a method; the adapter that takes them."""
    adapter, is_ours = adapter_of(model)
    own = {k: method[k] for k in HEAD_KEYS if method.get(k) is not None}
    part = model[adapter.part] if adapter.part else model
    if not is_ours:
        if not adapter.wraps:
            part['of'] = part['type']
        part['type'] = adapter.type
    # A model's base says all of its head, so `head` goes on top.
    merged = filled(method.get('head') or {}, filled(part, own))
    part.clear()
    part.update(merged)
    if method.get('classifier'):
        for head in _listed(part.get('bbox_head')):
            head['cls_predictor_cfg'] = filled(
                head.get('cls_predictor_cfg') or {}, method['classifier']
            )
    if method.get('decode_head'):
        _wrap(model['decode_head'], method['decode_head'])
    if method.get('frozen') is not None:
        model['backbone'] = ConfigDict(
            type='mmood.FrozenBackbone',
            backbone=model['backbone'],
            **method['frozen'],
        )
    if method.get('neck'):
        _add_neck(model, method['neck'])
    if method.get('rpn_head'):
        _change_rpn(model, method['rpn_head'])
    return adapter


def _wrap(head: ConfigDict, wrapper: Mapping) -> None:
    """A head of ours around the model's, which becomes its ``of``."""
    if type_name(head) != type_name(wrapper):
        head['of'] = head['type']
        head['type'] = wrapper['type']
    head.update(filled(head, wrapper))


def _add_neck(model: ConfigDict, neck: Mapping) -> None:
    """Put a neck behind the others, as wide as the maps are."""
    necks = _listed(model.get('neck'))
    widths = [part['out_channels'] for part in necks if 'out_channels' in part]
    width = widths[-1] if widths else None
    if width is None:  # a C4 model's RPN sees the backbone's map
        width = (model.get('rpn_head') or {}).get('in_channels')
    own = ConfigDict(copy.deepcopy(dict(neck)))
    if 'channels' not in own:
        if width is None:
            raise ConfigError(
                f'how wide the maps in front of {short_name(own)} are is not '
                'in the config: set ood.neck.channels'
            )
        own['channels'] = width
    model['neck'] = [*necks, own] if necks else own


def _change_rpn(model: ConfigDict, rpn: Mapping) -> None:
    head = model.get('rpn_head')
    if not head or short_name(head) not in ('RPNHead', short_name(rpn)):
        raise ConfigError(
            f'{rpn["type"]} takes the place of an RPNHead, and '
            f'model.rpn_head is {short_name(head or {}) or None}: set '
            'ood.rpn_head=None to do without it'
        )
    model['rpn_head'] = filled({**head, 'type': rpn['type']}, rpn)


def set_classes(model: ConfigDict, classes: Sequence[str]) -> None:
    """Give all heads as many classes; one more for a class of unknowns.

    A RoI head with an ``unknown_class`` has it in all its parts, another head
    for itself.
    """
    if isinstance(classes, str):
        raise ConfigError(
            f'classes={classes!r} is a text: one class is {(classes,)!r}'
        )
    roi_head = model.get('roi_head') or {}
    has_unknown = bool(roi_head.get('unknown_class'))
    for part in (model, roi_head):
        for key in _CLASS_HEADS:
            for head in _listed(part.get(key)):
                extra = has_unknown or bool(head.get('unknown_class'))
                head['num_classes'] = len(classes) + extra


def _listed(value: object) -> list:
    """A part, a list of parts or None as a list."""
    if value is None:
        return []
    return list(value) if isinstance(value, (list, tuple)) else [value]
