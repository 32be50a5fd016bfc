"""Stop a training whose loss is not finite."""

from __future__ import annotations

import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmood.registry import HOOKS


@HOOKS.register_module()
class FiniteLossHook(Hook):
    """Raise FloatingPointError with the names of the non-finite losses.

    Looks at every iteration, before a checkpoint could be written.
    """

    priority = 'VERY_HIGH'

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: object = None,
        outputs: dict | None = None,
    ) -> None:
        losses = {k: v for k, v in (outputs or {}).items() if 'loss' in k}
        names = list(losses)
        if not names:
            return
        values = torch.stack(
            [torch.as_tensor(losses[n]).detach().float() for n in names]
        )
        finite = torch.isfinite(values).tolist()
        guilty = [n for n, ok in zip(names, finite) if not ok]
        parts = [n for n in guilty if n != 'loss'] or guilty
        if parts:
            raise FloatingPointError(
                f'iteration {runner.iter + 1}: {", ".join(parts)} not '
                'finite. Lower the learning rate, lengthen the warm-up or '
                'set optim_wrapper.clip_grad, then resume from the last '
                f'checkpoint in {runner.work_dir}'
            )
