"""The line of a log after a validation or a test."""

from __future__ import annotations

from mmengine.runner import LogProcessor, Runner

from mmood.registry import LOG_PROCESSORS


@LOG_PROCESSORS.register_module()
class OODLogProcessor(LogProcessor):
    """MMEngine's, whose last line does not repeat the metrics' tables.

    Measures of a set or of a score, such as ``ood/near/energy/AUROC`` and
    ``ood/ood_threshold/energy``, have two slashes or more in their names:
    they remain in the scalars, and leave the line to the rest.
    """

    def get_log_after_epoch(
        self, runner: Runner, batch_idx: int, mode: str, *args, **kwargs
    ) -> tuple[dict, str]:
        tag, line = super().get_log_after_epoch(
            runner, batch_idx, mode, *args, **kwargs
        )
        for name, value in tag.items():
            if name.count('/') > 1 and isinstance(value, float):
                item = f'  {name}: {value:.{self.num_digits}f}'
                line = line.replace(item, '')
        return tag, line
