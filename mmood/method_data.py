"""A method's part in data, metrics and hooks of a config; see `recipe`."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping

from mmengine.config import Config, ConfigDict

from mmood.config import ConfigError
from mmood.families import short_name, type_name
from mmood.fit_data import add_fit, add_outlier_fit, inner_sets

# Keys of the `ood` block.
DATA_KEYS = (
    'train_transforms',
    'packer',
    'painted',
    'painted_share',
    'features',
    'unknown',
    'outlier_fit',
)
_PACKERS = ('PackDetInputs', 'PackOODInputs', 'PackSegInputs')
# At the end of a training idle parts are named even if a validation fails;
# a fit comes before the thresholds.
_HOOKS = (
    'IdlePartsHook',
    'FitScoresHook',
    'CalibrateOODHook',
    'FiniteLossHook',
    'CheckDataHook',
)


def add_data(cfg: Config, method: Mapping, is_detector: bool) -> None:
    """Change what the config trains, fits and measures on.

    What it says itself of ``fit_dataloader``, metrics of ours and hooks
    stays.
    """
    if is_detector:
        _name_sets(cfg)
        _add_unknown(cfg, method.get('unknown'))
    if method.get('outlier_fit') is not None:
        add_outlier_fit(cfg, method['outlier_fit'])
    train = cfg.get('train_dataloader')
    if train:
        add_fit(cfg)
        for pipeline in _pipelines(train['dataset']):
            _change_packing(pipeline, method)
        _tell_epochs(train)
        if method.get('painted'):
            _mix(train, method)
        if method.get('features') is not None:
            _take_features(cfg, method['features'])
    for key in ('val_evaluator', 'test_evaluator'):
        if cfg.get(key):
            cfg[key] = _measured(cfg[key], is_detector)
    hooks = list(_HOOKS)
    if method.get('features') is not None:
        hooks.append('CheckFeaturesHook')
    if short_name(cfg.model.get('backbone') or {}) == 'FrozenBackbone':
        hooks.append('CheckCacheHook')
    _add_hooks(cfg, hooks)
    processor = cfg.get('log_processor') or {}
    if short_name(processor) in ('', 'LogProcessor'):
        cfg.log_processor = dict(processor, type='mmood.OODLogProcessor')


def _name_sets(cfg: Config) -> None:
    """COCO sets become ours, which say that they are ID; labels by name."""
    for key in ('train', 'val', 'test'):
        loader = cfg.get(f'{key}_dataloader')
        for part in inner_sets(loader['dataset']) if loader else ():
            if short_name(part) == 'CocoDataset':
                part['type'] = 'mmood.IDCocoDataset'


def _add_unknown(cfg: Config, sets: Mapping[str, Mapping] | None) -> None:
    """Test on sets of unknown objects too, seen as the test's own set.

    Raises ConfigError if they are no sets by name, or there is no test.
    """
    if sets is None:
        return
    if not isinstance(sets, Mapping) or not all(
        isinstance(one, Mapping) and 'ann_file' in one for one in sets.values()
    ):
        raise ConfigError(
            f'ood.unknown is {sets!r}: give each set of unknown objects by '
            'its name, with its ann_file, as in '
            "unknown=dict(far=dict(data_root='data/far/', ann_file='a.json'))"
        )
    if not cfg.get('test_dataloader'):
        raise ConfigError(
            'ood.unknown has sets to test on, and the config has no '
            'test_dataloader with an ID set: add it'
        )
    known = cfg.test_dataloader['dataset']
    first = next(inner_sets(known))
    made = [
        ConfigDict(
            type='mmood.OODCocoDataset',
            name=name,
            data_prefix=dict(img=''),
            pipeline=copy.deepcopy(first.get('pipeline') or []),
            test_mode=True,
        )
        for name in sets
    ]
    for part, own in zip(made, sets.values()):
        part.update(copy.deepcopy(dict(own)))
    both = ConfigDict(
        type='mmdet.ConcatDataset',
        ignore_keys=['classes', 'palette'],
        datasets=[*(known.get('datasets') or [known]), *made],
    )
    cfg.test_dataloader = ConfigDict(cfg.test_dataloader, dataset=both)


def _pipelines(dataset: ConfigDict) -> Iterator[list]:
    """The pipelines of a set and of the wrappers around it."""
    if isinstance(dataset.get('pipeline'), list):
        yield dataset['pipeline']
    for part in dataset.get('datasets') or [dataset.get('dataset')]:
        if isinstance(part, Mapping):
            yield from _pipelines(part)


def _change_packing(pipeline: list, method: Mapping) -> None:
    """Put the method's transforms into a pipeline, and change what packs."""
    for step in pipeline:
        if short_name(step) in _PACKERS:
            if method.get('packer'):
                step.update(method['packer'])
            more = copy.deepcopy(list(method.get('train_transforms') or ()))
            for one in more:
                if one not in pipeline:
                    pipeline.insert(_place_of(one, pipeline), one)
            return


def _tell_epochs(train: ConfigDict) -> None:
    """Where outliers are pasted, by a sampler that says which epoch it is."""
    steps = [step for one in _pipelines(train['dataset']) for step in one]
    sampler = train.get('sampler') or {}
    if any(short_name(step) == 'PasteOutliers' for step in steps):
        name = short_name(sampler) if sampler else ''
        if name in ('DefaultSampler', 'InfiniteSampler'):
            name = name.replace('Default', '').replace('Sampler', 'Epoch')
            sampler['type'] = f'mmood.{name}Sampler'


def _place_of(step: Mapping, pipeline: list) -> int:
    """In front of what packs; outliers in front of what changes colours."""
    names = [short_name(one) for one in pipeline]
    place = next(i for i, name in enumerate(names) if name in _PACKERS)
    if short_name(step) == 'PasteOutliers':
        while place and names[place - 1] == 'PhotoMetricDistortion':
            place -= 1
    return place


def _mix(train: ConfigDict, method: Mapping) -> None:
    """Train on the painted set beside the plain one.

    Painted images have the classes and the pipeline of the plain set.
    """
    plain = train['dataset']
    first = next(inner_sets(plain))
    painted = ConfigDict(copy.deepcopy(dict(method['painted'])))
    for key in ('metainfo', 'pipeline', 'backend_args'):
        if key in first:
            painted.setdefault(key, copy.deepcopy(first[key]))
    train['dataset'] = ConfigDict(
        type='ConcatDataset', datasets=[plain, painted]
    )
    train['sampler'] = ConfigDict(
        type='mmood.MixedSampler', painted_share=method.get('painted_share')
    )


def _take_features(cfg: Config, features: Mapping) -> None:
    """Train on vectors of features, of the images or of a cache.

    As many of each image as make up the losses' ``batch_size``.
    """
    train, model = cfg.train_dataloader, cfg.model
    own = ConfigDict(type='mmood.FeatureDataset', dataset=train['dataset'])
    own.update(features)
    sizes = [loss.get('batch_size') for loss in model.get('losses') or ()]
    if any(sizes):
        share = next(filter(None, sizes)) // train['batch_size']
        own.setdefault('vectors', max(1, share))
    train['dataset'] = own
    processor = model.get('data_preprocessor')
    if processor and short_name(processor) == 'SegDataPreProcessor':
        processor['type'] = 'mmood.OODSegDataPreProcessor'


def _measured(
    evaluator: Mapping | list[Mapping], is_detector: bool
) -> Mapping | list[Mapping]:
    """The metrics with one of ours among them, which has the thresholds.

    For boxes it takes the place of COCO's, whose labels go by the file.
    """
    metrics = evaluator if isinstance(evaluator, list) else [evaluator]
    if any(type_name(metric).startswith('mmood.') for metric in metrics):
        return evaluator
    if not is_detector:
        return [*metrics, dict(type='mmood.OODSegMetric')]
    kept = [metric for metric in metrics if not _is_of_boxes(metric)]
    ours = dict(type='mmood.OODDetMetric')
    return [*kept, ours] if kept else ours


def _is_of_boxes(metric: Mapping) -> bool:
    what = metric.get('metric', 'bbox')
    return short_name(metric) == 'CocoMetric' and what in ('bbox', ['bbox'])


def _add_hooks(cfg: Config, names: list[str]) -> None:
    default = (cfg.get('default_hooks') or {}).values()
    custom = list(cfg.get('custom_hooks') or ())
    there = {short_name(hook) for hook in (*default, *custom) if hook}
    for name in names:
        if name not in there:
            hook = dict(type=f'mmood.{name}')
            if name == 'FitScoresHook' and cfg.get('max_fit_images'):
                hook['max_images'] = cfg.max_fit_images
            custom.append(hook)
    cfg.custom_hooks = custom
