"""What follows from what in a config, made in one place when it is loaded.

`resolve` puts variables in the place of references, a method's ``ood`` block
into whatever model and data the config has, and in numbers that follow from
others. docs/en/config.md says what follows from what, and why it is here.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path

from mmengine.config import Config, ConfigDict

from mmood.changes import apply, difference
from mmood.config import ConfigError, read_config
from mmood.families import Adapter, adapter_of, short_name
from mmood.method_data import DATA_KEYS, add_data
from mmood.references import expand, merge_options

# Keys of the `ood` block that become arguments of the adapter, and the rest.
_HEAD_KEYS = ('scores', 'losses', 'outliers', 'probe')
_MODEL_KEYS = ('head', 'neck', 'classifier', 'rpn_head', 'optim_wrapper')
_CLASS_HEADS = ('bbox_head', 'mask_head', 'decode_head', 'auxiliary_head')
_SHARE = re.compile(r'\d+/\d+')


def load(path: str | Path, options: Mapping | None = None) -> Config:
    """The resolved config of a file, with options ``{'a.b': value}``.

    Raises ConfigError as `resolve` and `mmood.config.read_config` do.
    """
    cfg = read_config(path)
    if options:
        merge_options(cfg, options)
    return resolve(cfg)


def resolve(cfg: Config) -> Config:
    """A config that says everything itself, which stock tools can run.

    A copy; what is ``resolved`` stays as it is. Of a config that `bake` has
    resolved before, what has been changed since is changed in its recipe,
    and all that follows from it is made anew; what was changed wins over
    what follows. Raises ConfigError for a reference to what is not there, a
    share of a training without a length, a key of ``ood`` that means
    nothing, and a model that no adapter fits.
    """
    if cfg.get('resolved') and 'ood' not in cfg:
        return copy.deepcopy(cfg)
    cfg = _resolved(*_unbaked(cfg))
    cfg.resolved = True
    return cfg


def bake(variables: dict) -> None:
    """Resolve a config at the end of its own file, for stock tools. ::

        from mmood.recipe import bake

        bake(globals())

    Tools that load the config without `load`, such as MMSegmentation's test,
    then find a whole one. Its ``recipe`` keeps what it was made of, so that
    what another config or an option changes still moves what follows.
    """
    own = {
        key: value
        for key, value in variables.items()
        if not key.startswith('_') and not callable(value)
    }
    base = variables.get('_base_') or {}
    merged = Config(filled(own, base))
    raw, changes = _unbaked(merged)
    baked = _resolved(raw, changes)
    apply(raw, changes)
    for key, value in {**baked, 'ood': raw.get('ood'), 'recipe': raw}.items():
        value = value.to_dict() if hasattr(value, 'to_dict') else value
        if isinstance(value, Mapping) and key in base:
            value = {**value, '_delete_': True}
        variables[key] = value


def _unbaked(cfg: Config) -> tuple[Config, list]:
    """The recipe of a config, and what has been changed since `bake`."""
    cfg = copy.deepcopy(cfg)
    recipe = cfg.pop('recipe', None)
    if recipe is None:
        return cfg, []
    raw = Config(recipe, filename=cfg.filename)
    before = _resolved(raw, [])
    before['ood'] = raw.get('ood')
    return raw, list(difference(before._cfg_dict, cfg._cfg_dict))


def _resolved(cfg: Config, changes: list) -> Config:
    words = cfg.to_dict()  # of a pure-Python config, names for its classes
    cfg = copy.deepcopy(cfg)
    for key, value in words.items():
        cfg[key] = value
    apply(cfg, changes)
    expand(cfg)
    _set_lengths(cfg)
    method = cfg.pop('ood', None)
    if method is not None:
        _check_keys(cfg, method)
        adapter = _add_to_model(cfg.model, method)
        if method.get('optim_wrapper'):
            own = cfg.get('optim_wrapper') or {}
            cfg.optim_wrapper = filled(own, method['optim_wrapper'])
        add_data(cfg, method, is_detector=bool(adapter.part))
    if cfg.get('classes') and cfg.get('model'):
        _set_classes(cfg.model, len(cfg.classes))
    for key in cfg:  # dicts in new lists become ConfigDicts
        cfg[key] = ConfigDict(value=cfg[key])['value']
    apply(cfg, [change for change in changes if change[0][0] != 'ood'])
    return cfg


def filled(explicit: Mapping, defaults: Mapping) -> ConfigDict:
    """Both merged; where both say something, what is explicit."""
    merged = ConfigDict(copy.deepcopy(dict(defaults)))
    merged.merge(copy.deepcopy(dict(explicit)))
    return merged


def _check_keys(cfg: Config, method: object) -> None:
    if not isinstance(method, Mapping):
        raise ConfigError(f'ood must be a dict, got {method!r}')
    known = (*_HEAD_KEYS, *_MODEL_KEYS, *DATA_KEYS)
    unknown = [key for key in method if key not in known]
    if unknown:
        raise ConfigError(
            f'ood has the keys {unknown}; those that it may have are '
            f'{", ".join(known)}'
        )
    if not cfg.get('model'):
        raise ConfigError('the config has an ood block but no model')


def _set_lengths(cfg: Config) -> None:
    """Shares of the training, ``'2/3'``, become epochs or iterations."""
    schedulers = cfg.get('param_scheduler') or ()
    for scheduler in (
        [schedulers] if isinstance(schedulers, Mapping) else schedulers
    ):
        for key in ('begin', 'end', 'T_max', 'milestones'):
            if key in scheduler:
                scheduler[key] = _point(
                    scheduler[key], scheduler, cfg.get('train_cfg') or {}
                )


def _point(value: object, scheduler: Mapping, train_cfg: Mapping) -> object:
    if isinstance(value, (list, tuple)):
        return [_point(one, scheduler, train_cfg) for one in value]
    if not isinstance(value, str) or not _SHARE.fullmatch(value):
        return value
    by_epoch = scheduler.get('by_epoch', True)
    length = train_cfg.get('max_epochs' if by_epoch else 'max_iters')
    if not length:
        raise ConfigError(
            f'param_scheduler: {value} in {short_name(scheduler)} is a share '
            f'of the training, which has no max_'
            f'{"epochs" if by_epoch else "iters"} in train_cfg: by_epoch='
            'False belongs to a training in iterations, convert_to_iter_based'
            '=True to parts of epochs'
        )
    point = Fraction(value) * length
    if scheduler.get('convert_to_iter_based'):
        return round(float(point), 6)
    return max(1, round(point))


def _add_to_model(model: ConfigDict, method: ConfigDict) -> Adapter:
    """The model's parts of a method; the adapter that takes them."""
    adapter, is_ours = adapter_of(model)
    own = {k: method[k] for k in _HEAD_KEYS if method.get(k) is not None}
    part = model[adapter.part] if adapter.part else model
    if not is_ours:
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
    if method.get('neck'):
        _add_neck(model, method['neck'])
    if method.get('rpn_head'):
        _change_rpn(model, method['rpn_head'])
    return adapter


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


def _set_classes(model: ConfigDict, count: int) -> None:
    """Give all heads as many classes; one more for a class of unknowns."""
    roi_head = model.get('roi_head') or {}
    count += bool(roi_head.get('unknown_class'))
    for part in (model, roi_head):
        for key in _CLASS_HEADS:
            for head in _listed(part.get(key)):
                head['num_classes'] = count


def _listed(value: object) -> list:
    """A part, a list of parts or None as a list."""
    if value is None:
        return []
    return list(value) if isinstance(value, (list, tuple)) else [value]
