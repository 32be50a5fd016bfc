"""Say which parts of a method never contributed to a training."""

from __future__ import annotations

from pathlib import Path

from mmengine.dist import all_reduce, is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmood.ops import IDLE_PARTS, Activity, write_json
from mmood.registry import HOOKS

from .after_training import unwrapped


@HOOKS.register_module()
class IdlePartsHook(Hook):
    """Warn, at the end of a training, of parts that waited all along.

    A detector that was meant to learn from outliers and never got one is a
    plain detector. ``idle_parts.json`` in the work folder says so to tables,
    and every checkpoint: ``meta['idle_parts']`` is a list of such parts,
    empty if all is well, as the main process saw it.
    """

    def before_train(self, runner: Runner) -> None:
        if not runner.iter:  # what another training counted is no matter
            for part in _activities(runner):
                part.count.zero_()

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        checkpoint['meta']['idle_parts'] = [
            part.what for part in _activities(runner) if not part.count
        ]

    def after_train(self, runner: Runner) -> None:
        idle = idle_parts(runner)
        for what in idle:
            runner.logger.warning(
                f'in {runner.iter} iterations nothing ever counted of {what}'
            )
        if is_main_process():
            write_json(Path(runner.work_dir, IDLE_PARTS), idle)


def idle_parts(runner: Runner) -> list[str]:
    """What the parts without any contribution are; a collective call."""
    idle = []
    for part in _activities(runner):
        count = part.count.clone()
        all_reduce(count)
        if not count:
            idle.append(part.what)
    return idle


def _activities(runner: Runner) -> list[Activity]:
    modules = unwrapped(runner).modules()
    return [module for module in modules if isinstance(module, Activity)]
