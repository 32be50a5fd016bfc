"""What the scores of a config are fitted on; see `recipe`."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping

from mmengine.config import Config, ConfigDict

from mmood.config import ConfigError
from mmood.families import short_name


def inner_sets(dataset: ConfigDict) -> Iterator[ConfigDict]:
    """The sets within wrappers."""
    inner = dataset.get('datasets') or [dataset.get('dataset')]
    if inner == [None]:
        yield dataset
    for part in inner:
        if isinstance(part, Mapping):
            yield from inner_sets(part)


def add_fit(cfg: Config) -> None:
    """Scores are fitted on the training images, seen as at test.

    With ``max_fit_images`` on so many of them, chosen at random.
    """
    seen = cfg.get('val_dataloader') or cfg.get('test_dataloader')
    own = cfg.get('fit_dataloader') or {}
    if not seen or 'type' in (own.get('dataset') or ()):
        return
    images = copy.deepcopy(next(inner_sets(cfg.train_dataloader['dataset'])))
    shown = next(inner_sets(seen['dataset'])).get('pipeline')
    if not shown or not images.get('pipeline'):
        return
    labels = [step for step in images['pipeline'] if _reads_labels(step)]
    images['pipeline'] = [
        copy.deepcopy(labels[0]) if labels and _reads_labels(step) else step
        for step in copy.deepcopy(shown)
    ]
    images['test_mode'] = True
    images.pop('filter_cfg', None)
    some = cfg.get('max_fit_images')
    sampler = dict(type='DefaultSampler', shuffle=bool(some))
    if some:
        sampler['seed'] = 0
    made = ConfigDict(
        batch_size=seen.get('batch_size', 1),
        num_workers=seen.get('num_workers', 0),
        sampler=sampler,
        dataset=images,
    )
    if 'type' in own.get('sampler', ()):
        del made['sampler']
    made.merge(own)
    cfg.fit_dataloader = made


def add_outlier_fit(cfg: Config, outliers: Mapping) -> None:
    """Synthetic outliers, for the fit, in the ID validation images.

    The ``transforms`` that paste them come right behind the labels, and
    these right behind the image, whose size they share there. What the
    config says itself of ``outlier_dataloader`` stays. Raises ConfigError
    without transforms or without a validation set.
    """
    transforms = outliers.get('transforms')
    if not transforms or not isinstance(transforms, (list, tuple)):
        raise ConfigError(
            f'ood.outlier_fit.transforms is {transforms!r}: list the '
            'transforms that paste outliers into ID images'
        )
    if not cfg.get('val_dataloader'):
        raise ConfigError(
            'ood.outlier_fit pastes outliers into ID validation images, and '
            'the config has no val_dataloader: add it'
        )
    made = copy.deepcopy(cfg.val_dataloader)
    steps = next(inner_sets(made['dataset'])).get('pipeline') or []
    labels = [step for step in steps if _reads_labels(step)]
    rest = [step for step in steps if not _reads_labels(step)]
    own = copy.deepcopy(list(transforms))
    steps[:] = [*rest[:1], *labels, *own, *rest[1:]]
    made.merge(cfg.get('outlier_dataloader') or {})
    cfg.outlier_dataloader = made


def _reads_labels(step: Mapping) -> bool:
    return short_name(step).endswith('Annotations')
