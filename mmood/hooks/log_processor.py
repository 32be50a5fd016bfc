"""Lines of a log without what was said before."""

from __future__ import annotations

from numbers import Real

from mmengine.runner import LogProcessor, Runner

from mmood.registry import LOG_PROCESSORS


@LOG_PROCESSORS.register_module()
class OODLogProcessor(LogProcessor):
    """MMEngine's, whose lines do not say a number twice.

    The line after a validation or a test leaves out what the tables of the
    metrics have. Measures of a set or of a score have two slashes or more
    in their names, such as ``ood/near/energy/AUROC``; they remain in the
    scalars. The line of a training step has ``base_lr`` only where it is
    not ``lr``.
    """

    def get_log_after_iter(
        self, runner: Runner, batch_idx: int, mode: str
    ) -> tuple[dict, str]:
        tag, line = super().get_log_after_iter(runner, batch_idx, mode)
        if 'lr' in tag:
            rate = f'lr: {tag["lr"]:.{self.num_digits}e}'
            line = line.replace(f'base_{rate} {rate}', rate)
        return tag, line

    def get_log_after_epoch(
        self, runner: Runner, batch_idx: int, mode: str, *args, **kwargs
    ) -> tuple[dict, str]:
        tag, line = super().get_log_after_epoch(
            runner, batch_idx, mode, *args, **kwargs
        )
        said = {
            name
            for name, value in tag.items()
            if name.count('/') > 1 and isinstance(value, Real)
        }
        parts = line.split('  ')
        kept = [part for part in parts if part.partition(': ')[0] not in said]
        return tag, '  '.join(kept)
