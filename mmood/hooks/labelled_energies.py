"""Energies of annotated objects, known and unknown: ORE's leak."""

from __future__ import annotations

import copy
from typing import Any

import torch
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import Tensor, nn

from mmood.losses import EnergyWeibulls
from mmood.registry import HOOKS

from .after_training import unwrapped, update_checkpoint


@HOOKS.register_module()
class LabelledEnergiesHook(Hook):
    """Fit the score `ore` on images in which unknown objects are annotated.

    At the end of a training the energies that `EnergyWeibulls` keeps are
    those of the annotated boxes of a set, whose label K is unknown, and the
    last checkpoint has them. Joseph et al., "Towards Open World Object
    Detection", CVPR 2021, do so, with validation images: a leak, because
    nothing else of an open-world detector sees what is unknown.

    Args:
        dataloader: config of a loader of such images, in the test's
            pipeline, as of an ``mmood.ClassStepCocoDataset`` with
            ``unknown='label'``.
        enabled: otherwise the hook does nothing.

    A set with less than two known or two unknown objects, as in the last
    step, leaves the energies as they are, with a warning. Raises ValueError
    before the training if the model keeps none.
    """

    def __init__(self, dataloader: dict, enabled: bool = True) -> None:
        self.dataloader, self.enabled = dataloader, enabled

    def before_train(self, runner: Runner) -> None:
        if self.enabled:
            _kept_by(unwrapped(runner))

    def after_train(self, runner: Runner) -> None:
        if not self.enabled:
            return
        model = unwrapped(runner)
        energies = _kept_by(model)
        before = copy.deepcopy(energies.queues.state_dict())
        energies.queues.seen.zero_()
        for batch in runner.build_dataloader(self.dataloader):
            energies.add(*labelled_logits(model, batch))
        known, unknown = energies.queues.seen.tolist()
        if min(known, unknown) < 2:
            energies.queues.load_state_dict(before)
            runner.logger.warning(
                'LabelledEnergiesHook needs two known and two unknown '
                f'objects, and its set has {known} and {unknown}: the '
                'energies of the training stay'
            )
        elif is_main_process():
            update_checkpoint(runner)


@torch.no_grad()
def labelled_logits(model: Any, batch: dict) -> tuple[Tensor, Tensor]:
    """Logits (N, K) of the annotated boxes of a batch, and which unknown.

    Of a detector whose ``roi_head`` is an ``mmood.OpenSetRoIHead``. Ignored
    objects are left out.
    """
    was_training = model.training
    model.eval()
    data = model.data_preprocessor(batch, False)
    maps, head = model.extract_feat(data['inputs']), model.roi_head
    rois, labels = [], []
    for index, sample in enumerate(data['data_samples']):
        objects = [o for o in sample.instances if not o['ignore_flag']]
        boxes = maps[0].new_tensor([o['bbox'] for o in objects])
        scale = boxes.new_tensor(sample.scale_factor).repeat(2)
        boxes = boxes.reshape(-1, 4) * scale
        rois.append(
            torch.cat([boxes.new_full((len(boxes), 1), index), boxes], 1)
        )
        labels += [o['bbox_label'] for o in objects]
    logits = head.view(head.pool(maps, torch.cat(rois))).logits
    model.train(was_training)
    is_unknown = torch.tensor(labels, device=logits.device) == head.num_classes
    return logits, is_unknown


def _kept_by(model: nn.Module) -> EnergyWeibulls:
    for module in model.modules():
        if isinstance(module, EnergyWeibulls):
            return module
    raise ValueError(
        "LabelledEnergiesHook: add dict(type='mmood.EnergyWeibulls') to the "
        'losses of the model, or set enabled=False'
    )
