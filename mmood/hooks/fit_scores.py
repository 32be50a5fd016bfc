"""Fit the statistics of the ID scores that the compound score needs."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator

import torch
from mmengine.dist import (
    all_reduce,
    get_rank,
    get_world_size,
    is_main_process,
)
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from torch import Tensor, nn
from tqdm import tqdm

from mmood.registry import HOOKS
from mmood.scores import energy


@HOOKS.register_module()
class FitScoresHook(Hook):
    """Fit means and deviations of the scores before each validation.

    In training only, so that every checkpoint after a validation has them;
    with `CalibrateOODHook` that is the last one at least. A test takes what
    its checkpoint has.

    Args:
        dataloader: config of a loader of ID training images with labels, in
            the test's pipeline.
        max_images: of all ranks together; None: all of them.
    """

    def __init__(
        self, dataloader: dict, max_images: int | None = None
    ) -> None:
        self.dataloader, self.max_images = dataloader, max_images
        self._in_training = False

    def before_train(self, runner: Runner) -> None:
        self._in_training = True

    def before_val_epoch(self, runner: Runner) -> None:
        if self._in_training:
            self.fit(runner)

    def fit(self, runner: Runner) -> None:
        """Fit the runner's model; a collective call."""
        if isinstance(self.dataloader, dict):
            self.dataloader = runner.build_dataloader(self.dataloader)
        model = runner.model
        model = model.module if is_model_wrapper(model) else model
        mean, std = fit_scores(model, self.dataloader, self.max_images)
        runner.logger.info(
            'ID scores: segmentation uncertainty '
            f'{mean[0]:.4f} ± {std[0]:.4f}, diffusion {mean[1]:.4f} ± '
            f'{std[1]:.4f}'
        )


@torch.no_grad()
def fit_scores(
    model: nn.Module, dataloader: Iterable, max_images: int | None = None
) -> tuple[Tensor, Tensor]:
    """Mean and deviation (2,) of uncertainty and diffusion score; stored.

    Over all valid pixels of the images that the loaders of all ranks give,
    in one pass; they go to ``model.ood_head``'s buffers. DOoD (ECCV 2024),
    Sec. 5.3. Raises ValueError if no pixel is valid.
    """
    was_training, compound = model.training, model.compound
    model.eval()
    model.compound = False
    device = model.ood_head.score_mean.device
    sums = torch.zeros(3, 2, dtype=torch.float64, device=device)
    try:
        for sample in _predictions(model, dataloader, max_images):
            sums += _sums(sample).to(sums)
    finally:
        model.compound = compound
        model.train(was_training)
    all_reduce(sums)
    count, total, squares = sums
    if not count.all():
        raise ValueError(
            'no valid pixel to fit the scores on: check the labels and '
            'ignored ids of the ID training images'
        )
    mean = total / count
    variance = (squares / count - mean**2) * count / (count - 1).clamp(min=1)
    std = variance.clamp(min=0).sqrt()
    model.ood_head.set_statistics(mean, std)
    return mean, std


def _predictions(
    model: nn.Module, dataloader: Iterable, max_images: int | None
) -> Iterator[object]:
    """This rank's part of the first images of all ranks.

    A sampler that gives all ranks the same number repeats some at the end.
    """
    total = sys.maxsize if max_images is None else max_images
    if hasattr(dataloader, 'dataset'):
        total = min(total, len(dataloader.dataset))
    left = len(range(get_rank(), total, get_world_size()))
    for batch in tqdm(
        dataloader, 'fitting ID scores', disable=not is_main_process()
    ):
        samples = model.test_step(batch)
        yield from samples[:left]
        left -= len(samples)
        if left <= 0:
            return


def _sums(sample: object) -> Tensor:
    """Number, sum and sum of squares (3, 2) over the valid pixels."""
    label = sample.gt_sem_seg.data
    scores = torch.stack(
        [
            energy(sample.seg_logits.data, dim=0)[None],
            sample.pred_ood.diffusion,
        ]
    )
    if label.shape != scores.shape[1:]:
        scores = torch.nn.functional.interpolate(
            scores, tuple(label.shape[-2:]), mode='nearest-exact'
        )
    values = scores[:, label.to(scores.device) != 255].double()
    return torch.stack(
        [torch.ones_like(values).sum(1), values.sum(1), values.square().sum(1)]
    )
