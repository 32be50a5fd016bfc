"""What follows from what in a config, made in one place when it is loaded.

`resolve` puts variables in the place of references, a method's ``ood`` block
into whatever model and data the config has, and in numbers that follow from
others. docs/en/config.md says what follows from what, and why it is here.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Mapping, Sequence
from contextvars import ContextVar
from fractions import Fraction
from pathlib import Path

from mmengine.config import Config, ConfigDict

from mmood.changes import Change, apply, changes_of, difference, leads_into
from mmood.config import ConfigError, read_config
from mmood.families import adapter_of, short_name
from mmood.method_data import DATA_KEYS, add_data
from mmood.method_model import (
    HEAD_KEYS,
    MODEL_KEYS,
    PIXEL_KEYS,
    add_to_model,
    filled,
    set_classes,
)
from mmood.references import expand, names

_DETECTORS_ALONE = ('classifier', 'rpn_head', 'painted', 'unknown')
_SEGMENTORS_ALONE: tuple[str, ...] = ('probe', 'features', 'outlier_fit')
_SEGMENTORS_ALONE += ('decode_head',)
_SEGMENTORS_ALONE += PIXEL_KEYS
_SHARE = re.compile(r'\d+/\d+')
# What is made, or changed, by a method's block.
_MADE: tuple[str, ...] = (
    'model',
    'train_dataloader',
    'val_dataloader',
    'test_dataloader',
)
_MADE += ('fit_dataloader', 'outlier_dataloader')
_MADE += ('val_evaluator', 'test_evaluator')
_MADE += ('custom_hooks', 'log_processor')
# Not while `load` reads files, which are resolved when all are merged.
_BAKES = ContextVar('whether `bake` does anything', default=True)


def load(path: str | Path, options: Mapping | None = None) -> Config:
    """The resolved config of a file, with options ``{'a.b': value}``.

    Raises ConfigError as `resolve` and `mmood.config.read_config` do.
    """
    token = _BAKES.set(False)
    try:
        cfg = read_config(path)
    finally:
        _BAKES.reset(token)
    return resolve(cfg, changes_of(options or {}))


def resolve(cfg: Config, changes: Iterable[Change] = ()) -> Config:
    """A config that says everything itself, which stock tools can run.

    A copy, with the changes; what is ``resolved`` stays as it is. Of a config
    that `bake` has resolved before, what has been changed since is changed in
    its recipe, and all that follows from it is made anew. Raises ConfigError
    for a reference to what is not there, a share of a training without a
    length, a key of ``ood`` that means nothing, and a model that no adapter
    fits.
    """
    cfg = copy.deepcopy(cfg)
    if cfg.get('resolved') and 'ood' not in cfg:
        _refuse_variables(cfg.resolved, changes)
        apply(cfg, changes)
        return cfg
    raw, later = _changed(*_unbaked(cfg, changes))
    cfg = _resolved(raw, later)
    cfg.resolved = sorted({'classes', *names(raw._cfg_dict)})
    return cfg


def _refuse_variables(used: Sequence[str], changes: Iterable[Change]) -> None:
    for path, _ in changes:
        if path[0] in used:
            raise ConfigError(
                f'{path[0]} is a variable of which nothing follows any more '
                'in a config that is resolved: change what has its value, '
                'such as train_cfg.max_iters, or the config it was made of'
            )


def bake(variables: dict) -> None:
    """Resolve a config at the end of its own file, for stock tools. ::

        from mmood.recipe import bake

        bake(globals())

    Tools that load the config without `load`, such as MMSegmentation's test,
    then find a whole one. Its ``recipe`` keeps what it was made of, so that
    what another config or an option changes still moves what follows.
    """
    if not _BAKES.get():
        return
    own = {
        key: value
        for key, value in variables.items()
        if not key.startswith('_') and not callable(value)
    }
    base = variables.get('_base_') or {}
    raw, later = _changed(*_unbaked(Config(filled(own, base))))
    gone = dict.fromkeys(base)  # what followed in a base, and does not here
    baked = {**gone, **_resolved(raw, later)}
    for key, value in {**baked, 'ood': raw.get('ood'), 'recipe': raw}.items():
        value = value.to_dict() if hasattr(value, 'to_dict') else value
        if isinstance(value, Mapping) and key in base:
            value = {**value, '_delete_': True}
        variables[key] = value


def _unbaked(
    cfg: Config, changes: Iterable[Change] = ()
) -> tuple[Config, list[Change]]:
    """The recipe of a config, and the changes to it, with those since `bake`.

    Those that a tool or a child made are the differences to what was baked.
    """
    recipe = cfg.pop('recipe', None)
    if recipe is None:
        return cfg, list(changes)
    raw = Config(recipe, filename=cfg.filename)
    before = _resolved(raw)
    before['ood'] = raw.get('ood')
    found = difference(before._cfg_dict, cfg._cfg_dict)
    return raw, [*found, *changes]


def _changed(
    raw: Config, changes: Iterable[Change]
) -> tuple[Config, list[Change]]:
    """The changed recipe, and the changes of parts that follow from it."""
    first = [one for one in changes if one[0][0] not in _MADE]
    rest = [one for one in changes if one[0][0] in _MADE]
    apply(raw, first)
    if not rest:
        return raw, []
    made, plain = _resolved(raw), copy.deepcopy(raw)
    expand(plain)
    # A tool that counts the classes itself need not know of ``classes``.
    later = [
        path[-1] == 'num_classes'
        or leads_into(path, made._cfg_dict, plain._cfg_dict)
        for path, _ in rest
    ]
    apply(raw, [one for one, is_later in zip(rest, later) if not is_later])
    return raw, [one for one, is_later in zip(rest, later) if is_later]


def _resolved(cfg: Config, changes: Iterable[Change] = ()) -> Config:
    """What follows from a recipe; then the changes of that."""
    words = cfg.to_dict()  # of a pure-Python config, names for its classes
    cfg = copy.deepcopy(cfg)
    for key, value in words.items():
        cfg[key] = value
    expand(cfg)
    _set_lengths(cfg)
    method = cfg.pop('ood', None)
    if method is not None:
        _check_keys(cfg, method)
        adapter = add_to_model(cfg.model, method)
        if method.get('optim_wrapper'):
            own = cfg.get('optim_wrapper') or {}
            cfg.optim_wrapper = filled(own, method['optim_wrapper'])
        add_data(cfg, method, is_detector=bool(adapter.part))
    if cfg.get('classes') and cfg.get('model'):
        set_classes(cfg.model, cfg.classes)
    for key in cfg:  # dicts in new lists become ConfigDicts
        cfg[key] = ConfigDict(value=cfg[key])['value']
    apply(cfg, changes)
    expand(cfg)  # what the changes refer to
    return cfg


def _check_keys(cfg: Config, method: object) -> None:
    if not isinstance(method, Mapping):
        raise ConfigError(f'ood must be a dict, got {method!r}')
    known = (*HEAD_KEYS, *MODEL_KEYS, 'optim_wrapper', *DATA_KEYS)
    unknown = [key for key in method if key not in known]
    if unknown:
        raise ConfigError(
            f'ood has the keys {unknown}; those that it may have are '
            f'{", ".join(known)}'
        )
    if not cfg.get('model'):
        raise ConfigError('the config has an ood block but no model')
    is_detector = bool(adapter_of(cfg.model)[0].part)
    for key in _SEGMENTORS_ALONE if is_detector else _DETECTORS_ALONE:
        if method.get(key) is not None:
            raise ConfigError(
                f'ood.{key} is for {"segment" if is_detector else "detect"}'
                f'ors, and the model is a {short_name(cfg.model)}: take '
                f'another method, or set ood.{key}=None'
            )


def _set_lengths(cfg: Config) -> None:
    """Shares of the training, ``'2/3'``, become epochs or iterations."""
    found = cfg.get('param_scheduler') or ()
    schedulers: Iterable[dict] = [found] if isinstance(found, dict) else found
    for scheduler in schedulers:
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
    name = 'max_epochs' if by_epoch else 'max_iters'
    length = train_cfg.get(name)
    if not isinstance(length, int) or length < 1:
        raise ConfigError(
            f'param_scheduler: {value} in {short_name(scheduler)} is a share '
            f'of the training, and train_cfg.{name} is {length!r}: set it to '
            'an integer >= 1; by_epoch=False belongs to a training in '
            'iterations, convert_to_iter_based=True to parts of epochs'
        )
    top, bottom = map(int, value.split('/'))
    if not 0 <= top <= bottom or not bottom:
        raise ConfigError(
            f'param_scheduler: {value} in {short_name(scheduler)} is no share '
            "of the training: set it to one from '0/1' to '1/1'"
        )
    point = Fraction(top, bottom) * length
    if scheduler.get('convert_to_iter_based'):
        return round(float(point), 6)
    return max(1, round(point))
