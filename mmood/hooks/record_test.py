"""What a test was made with, in a file beside its measures."""

from __future__ import annotations

import os.path as osp
import time
from collections.abc import Mapping, Sequence

from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmood.ops import file_sha256, versions, write_json
from mmood.registry import HOOKS


@HOOKS.register_module()
class RecordTestHook(Hook):
    """Leaves ``run.json`` in the ``out_dir`` of each metric of a test.

    It has the config and its file, the checkpoint with its SHA-256 and the
    seed, epoch, iteration and classes of its training, the seed of the test,
    the number of processes and the versions of what was installed.
    `OODRunner` adds it to every test.
    """

    def __init__(self) -> None:
        self._meta: dict = {}

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        self._meta = checkpoint.get('meta') or {}

    def after_test_epoch(
        self, runner: Runner, metrics: dict[str, float] | None = None
    ) -> None:
        evaluator = runner.test_loop.evaluator
        found = {getattr(m, 'out_dir', None) for m in evaluator.metrics}
        folders = {folder for folder in found if folder is not None}
        for folder in folders if is_main_process() else ():
            path = osp.join(folder, 'run.json')
            write_json(path, run_facts(runner, self._meta), indent=1)


def run_facts(runner: Runner, meta: Mapping) -> dict:
    """Of a runner and the ``meta`` of the checkpoint that it has loaded."""
    path = runner._load_from
    classes = (meta.get('dataset_meta') or {}).get('classes') or ()
    checkpoint = dict(
        path=osp.abspath(path) if path and osp.isfile(path) else path,
        sha256=path and file_sha256(path),
        classes=list(classes) if isinstance(classes, Sequence) else [],
        **{key: meta.get(key) for key in ('seed', 'epoch', 'iter')},
    )
    return dict(
        config_file=runner.cfg.filename,
        config=runner.cfg.pretty_text,
        checkpoint=checkpoint if path else None,
        seed=runner.seed,
        processes=runner.world_size,
        versions=versions(),
        finished=time.strftime('%Y-%m-%d %H:%M'),
    )
