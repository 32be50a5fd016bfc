"""MMEngine's runner for configs that have to be resolved first."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping

import torch
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.optim import OptimWrapper, OptimWrapperDict
from mmengine.runner import Runner

from mmood.recipe import resolve
from mmood.registry import RUNNERS

# MMEngine's words on its own deprecated parts, four lines for each parameter
# with a learning rate of its own, and one for each that is frozen.
_LEFT_OUT = (
    '"FileClient" will be deprecated',
    '"HardDiskBackend" is the alias',
    'paramwise_options -- ',
    'is skipped since its requires_grad=False',
)


@RUNNERS.register_module()
class OODRunner(Runner):
    """Stock runner of what `mmood.recipe.resolve` makes of a config.

    ``runner_type = 'mmood.OODRunner'`` in a config has the training tools of
    MMDetection and MMSegmentation take it. Its log leaves out what nobody
    can act on, and has one line on differing learning rates.

    ``env_cfg.float32_matmul_precision``, 'highest', 'high' or 'medium', is
    what ``torch.set_float32_matmul_precision`` gets: 'medium' allows other
    products of matrices, in bfloat16 where the CPU can, at up to twice the
    speed.

    A test leaves what it was made with in its folder (`RecordTestHook`).
    """

    @classmethod
    def from_cfg(cls, cfg: Config) -> OODRunner:
        return super().from_cfg(resolve(cfg))

    def setup_env(self, env_cfg: Mapping) -> None:
        super().setup_env(env_cfg)
        precision = env_cfg.get('float32_matmul_precision')
        if precision is not None:
            torch.set_float32_matmul_precision(precision)

    def build_logger(self, *args, **kwargs) -> MMLogger:
        logger = super().build_logger(*args, **kwargs)
        logger.addFilter(_is_said)
        return logger

    def test(self) -> dict:
        hook = dict(type='mmood.RecordTestHook')
        self.register_hook(hook, priority='LOWEST')
        return super().test()

    def build_optim_wrapper(
        self, optim_wrapper: OptimWrapper | dict
    ) -> OptimWrapper | OptimWrapperDict:
        built = super().build_optim_wrapper(optim_wrapper)
        if isinstance(built, OptimWrapper):
            text = parameter_groups(built.optimizer.param_groups)
            if text:
                self.logger.info(text)
        return built

    def build_param_scheduler(self, scheduler: object) -> list | dict:
        length = len(self.train_loop.dataloader)
        parts = scheduler if isinstance(scheduler, list) else [scheduler]
        for part in parts:
            if isinstance(part, dict) and part.get('convert_to_iter_based'):
                _last_an_iteration(part, length)
        return super().build_param_scheduler(scheduler)


def _last_an_iteration(scheduler: dict, epoch_length: int) -> None:
    """Have what takes a part of an epoch take an iteration at least.

    MMEngine rounds the parts down, and refuses what is over at once.
    """
    begin, end = scheduler.get('begin', 0), scheduler.get('end')
    if end is not None and int(end * epoch_length) <= int(
        begin * epoch_length
    ):
        scheduler['end'] = begin + 1.5 / epoch_length


def _is_said(record: logging.LogRecord) -> bool:
    text = record.getMessage()
    return not any(words in text for words in _LEFT_OUT)


def parameter_groups(groups: list[dict]) -> str:
    """How many parameters have which settings; '' if all have the same."""
    counts: Counter = Counter()
    for group in groups:
        settings = group['lr'], group.get('weight_decay', 0)
        counts[settings] += len(group['params'])
    if len(counts) < 2:
        return ''
    parts = [
        f'{number} with lr {lr:g} and weight_decay {decay:g}'
        for (lr, decay), number in counts.most_common()
    ]
    return f'parameters: {", ".join(parts)}'
