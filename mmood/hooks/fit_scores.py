"""Fit what scores need to know of in-distribution training images."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from typing import cast

import torch
from mmengine.dist import (
    all_reduce,
    get_rank,
    get_world_size,
    is_main_process,
)
from mmengine.model import BaseModel, BaseTTAModel
from mmengine.runner import Runner
from torch import nn
from tqdm import tqdm

from mmood.registry import HOOKS
from mmood.scores import ScoreSet

from .after_training import AfterTraining, share, unwrapped
from .check_data import classes_of, sets_of
from .scored import Scored, fittable, scored

# What scores are fitted on beside ID training images: the config's key of the
# loader, and what to say where it is missing.
_OTHERS = dict(
    validation=('val_dataloader', 'ID validation images: set val_dataloader'),
    outliers=(
        'outlier_dataloader',
        'ID validation images with synthetic outliers: set ood.outlier_fit '
        'to transforms that paste some, or outlier_dataloader',
    ),
)


@HOOKS.register_module()
class FitScoresHook(AfterTraining):
    """Fit the model's scores at the start of a training's validations.

    See `AfterTraining` for when these are. A test takes what its checkpoint
    has, and refuses scores that were fitted for other classes, and a model
    of several views that would drop scores. Without a score that wants a fit
    nothing is done. Where a fit fails, the validation goes on without the
    scores that it leaves unfitted.

    Args:
        dataloader: config of a loader of ID training images with labels, in
            the test's pipeline; None: ``fit_dataloader`` of the config.
            Scores that are fitted on ID validation images get the config's
            ``val_dataloader``, on synthetic outliers in such images its
            ``outlier_dataloader``.
        max_images: of a loader and all ranks together; None: all of them.
    """

    def __init__(
        self, dataloader: dict | None = None, max_images: int | None = None
    ) -> None:
        self.dataloader, self.max_images = dataloader, max_images

    def before_train(self, runner: Runner) -> None:
        super().before_train(runner)
        part = fittable(unwrapped(runner))
        if part is None:
            return
        self._loader(runner)  # what is missing shows now
        for name, score in part.scores.fitted.items():
            key, what = _OTHERS.get(score.fitted_on, ('fit_dataloader', ''))
            if what and not runner.cfg.get(key):
                raise ValueError(f'{name} is fitted on {what}')

    def before_val_iter(
        self, runner: Runner, batch_idx: int, data_batch: object = None
    ) -> None:
        """Fit before the first batch.

        Only now have all hooks done what they do before a validation: an
        `EMAHook` has put the average in the weights' place.
        """
        if batch_idx or not self._in_training:
            return
        try:
            self.fit(runner)
        except Exception as error:  # a training is worth more than a score
            runner.logger.warning(
                f'{type(error).__name__}: {error}. The validation goes on '
                'without what is not fitted; fit it with tools/fit_scores.py '
                'before the test'
            )
            part = fittable(unwrapped(runner))
            if part is not None:
                part.scores.skips_unfitted = True
        share(runner)

    def after_val_epoch(
        self, runner: Runner, metrics: dict[str, float] | None = None
    ) -> None:
        super().after_val_epoch(runner, metrics)
        part = fittable(unwrapped(runner))
        if part is not None:
            part.scores.skips_unfitted = False

    def before_test_epoch(self, runner: Runner) -> None:
        check_views(runner.model)
        part = fittable(unwrapped(runner))
        first = next(sets_of(runner.test_dataloader.dataset))
        if part is not None:
            part.scores.check_classes(classes_of(first))

    def fit(self, runner: Runner) -> None:
        """Fit the runner's model; a collective call."""
        model = unwrapped(runner)
        part = fittable(model)
        if part is None:
            return
        loader = self._loader(runner)
        number = image_count(loader, self.max_images)
        if number < sys.maxsize:
            runner.logger.info(f'fitting scores on {number} images')
        wanted = {score.fitted_on for score in part.scores.fitted.values()}
        # Built anew: the runner's may be in the middle of its images.
        others = {
            images: runner.build_dataloader(runner.cfg[key])
            for images, (key, _) in _OTHERS.items()
            if images in wanted and runner.cfg.get(key)
        }
        done = fit_scores(model, loader, self.max_images, **others)
        runner.logger.info(done)

    def _loader(self, runner: Runner) -> Iterable:
        """Where the images come from; ValueError if nothing says it."""
        loader = self.dataloader or runner.cfg.get('fit_dataloader')
        if loader is None:
            raise ValueError(
                'FitScoresHook has no images to fit on: set its dataloader, '
                'or fit_dataloader in the config'
            )
        if isinstance(loader, dict):
            loader = runner.build_dataloader(loader)
        self.dataloader = loader
        return loader


def check_views(model: nn.Module) -> None:
    """Raises ValueError if merging an image's views drops its OOD scores."""
    for part in model.modules():
        if not isinstance(part, BaseTTAModel):
            continue
        if scored(part.module) and not getattr(part, 'merges_scores', False):
            raise ValueError(
                f'{type(part).__name__} merges the views of an image without '
                'their OOD scores: set its type (tta_model.type) to '
                "'mmood.OODDetTTAModel', of segmentors "
                "'mmood.OODSegTTAModel', or test without test-time "
                'augmentation'
            )


def image_count(dataloader: Iterable, max_images: int | None) -> int:
    """How many images a fit sees; `sys.maxsize` if nothing says it."""
    total = sys.maxsize if max_images is None else max_images
    if hasattr(dataloader, 'dataset'):
        total = min(total, len(dataloader.dataset))
    return total


@torch.no_grad()
def fit_scores(
    model: nn.Module,
    dataloader: Iterable,
    max_images: int | None = None,
    validation: Iterable | None = None,
    outliers: Iterable | None = None,
) -> str:
    """Fit the model's scores, in one pass over the loaders of all ranks.

    Compounds of fitted scores take a second pass. Scores that are fitted on
    ID ``validation`` images, or such images with ``outliers`` pasted in,
    take one over these. The result lies in buffers of the model; returned is
    what was done. Raises ValueError if the model has no score to fit, or,
    after all others are fitted, for those that cannot be, and for compounds
    of these.
    """
    part = fittable(model)
    if part is None:
        raise ValueError(
            f'{type(model).__name__} has no score to fit: add one, such as '
            "'mahalanobis', to its list of scores"
        )
    metainfo = getattr(getattr(dataloader, 'dataset', None), 'metainfo', {})
    loaders = dict(
        training=dataloader, validation=validation, outliers=outliers
    )
    was_training, done, errors = model.training, [], []
    model.eval()
    part.keeps_samples, part.scores.skips_unfitted = True, False
    for score in part.scores.fitted.values():
        score.forget()
    try:
        for names in part.scores.stages():
            names = _possible(part.scores, names)
            if not names:
                continue
            part.scores.start(names)
            images = part.scores.fitted_on
            loader = loaders[images]
            if loader is None:
                what = _OTHERS[images][1]
                errors.append(f'{", ".join(names)} is fitted on {what}')
                continue
            _together(_update, model, part, loader, max_images)
            try:
                done.append(part.scores.finish(metainfo.get('classes')))
            except ValueError as error:
                errors.append(str(error))
    finally:
        part.keeps_samples = False
        model.train(was_training)
    if errors:
        raise ValueError('; '.join(errors))
    return '; '.join(done)


def _possible(scores: ScoreSet, names: Iterable[str]) -> list[str]:
    """Without compounds of what should be fitted by now, and is not."""
    unfitted = {n for n, score in scores.fitted.items() if not score.is_fitted}
    compounds = {n: getattr(scores.fitted[n], 'of', ()) for n in names}
    return [n for n, of in compounds.items() if unfitted.isdisjoint(of)]


def _update(
    model: nn.Module,
    part: Scored,
    dataloader: Iterable,
    max_images: int | None,
) -> None:
    for prediction in _predictions(model, dataloader, max_images):
        if getattr(prediction, 'origin', 'id') != 'id':
            continue  # a validation set may come with OOD sets
        for samples in part.fit_samples(prediction):
            part.scores.update(*samples)


def _together(work: Callable, *arguments: object) -> None:
    """Work on each rank; if it fails on one, it fails on all.

    So that none waits for ever, in a collective call, for one that failed.
    """
    error = None
    try:
        work(*arguments)
    except Exception as caught:
        error = caught
    failed = torch.tensor(int(error is not None))
    all_reduce(failed)
    if error is not None:
        raise error
    if failed:
        raise RuntimeError(f'the fit failed on {int(failed)} other ranks')


def _predictions(
    model: nn.Module, dataloader: Iterable, max_images: int | None
) -> Iterator[object]:
    """This rank's part of the first images of all ranks.

    A sampler that gives all ranks the same number repeats some at the end.
    """
    total = image_count(dataloader, max_images)
    left = len(range(get_rank(), total, get_world_size()))
    with tqdm(
        total=left if total < sys.maxsize else None,
        desc='fitting ID scores',
        unit='image',
        disable=not is_main_process(),
    ) as bar:
        for batch in dataloader:
            samples = cast(BaseModel, model).test_step(batch)[:left]
            yield from samples
            bar.update(len(samples))
            left -= len(samples)
            if left <= 0:
                return
