"""Train a model from a config, alone or under a launcher."""

from __future__ import annotations

import argparse
import sys
from contextlib import nullcontext
from pathlib import Path

from mmengine.config import Config
from mmengine.device import get_device

from mmood.checkpoint import find_resumable, resume_problem
from mmood.launch import (
    add_common_arguments,
    build_runner,
    clear_errors,
    is_first_process,
    load_config,
)
from mmood.ops import FolderInUseError, NotWrittenError, lock_folder


def set_start(cfg: Config, resume: str | None) -> None:
    """Have the config name the checkpoint to go on from, if there is one.

    ``resume`` is a path, 'auto' for the newest in the work folder, or None
    for what the config says. Ends the tool if a path cannot be read.
    """
    if resume is None and cfg.get('resume') and not cfg.get('load_from'):
        resume = 'auto'
    if resume == 'auto':
        found, passed = find_resumable(Path(cfg.work_dir))
        if passed and is_first_process(cfg.launcher):
            start = f'goes on from {found}' if found else 'starts anew'
            print(f'{"; ".join(passed)}: training {start}', file=sys.stderr)
        # Where there is nothing to go on from, load_from is the beginning.
        cfg.resume = found is not None
        cfg.load_from = str(found) if found else cfg.get('load_from')
    elif resume:
        problem = Path(resume).is_file() and resume_problem(Path(resume))
        if problem:
            raise SystemExit(f'error: --resume: {resume} {problem}')
        cfg.resume, cfg.load_from = True, resume


def check_amp() -> None:
    """End the tool where MMEngine's mixed precision would not run."""
    if get_device() == 'cpu':
        raise SystemExit(
            'error: --amp is for GPUs, and there is none. On a CPU, '
            '--cfg-options env_cfg.float32_matmul_precision=medium has '
            'matrices multiplied in bfloat16'
        )


@clear_errors(FolderInUseError, NotWrittenError)
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    add_common_arguments(parser)
    parser.add_argument(
        '--amp', action='store_true', help='automatic mixed precision'
    )
    parser.add_argument(
        '--auto-scale-lr',
        action='store_true',
        help="scale the learning rate to the config's auto_scale_lr",
    )
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        help='checkpoint to go on from; without a value the last one in '
        'the work folder that can be read',
    )
    args = parser.parse_args()
    cfg = load_config(args)
    if args.amp:
        check_amp()
        cfg.optim_wrapper.type = 'AmpOptimWrapper'
        cfg.optim_wrapper.setdefault('loss_scale', 'dynamic')
    if args.auto_scale_lr:
        if 'base_batch_size' not in (cfg.get('auto_scale_lr') or {}):
            parser.error(
                f'--auto-scale-lr needs auto_scale_lr.base_batch_size in '
                f'{args.config}'
            )
        cfg.auto_scale_lr.enable = True
    is_first = is_first_process(cfg.launcher)
    with lock_folder(cfg.work_dir) if is_first else nullcontext():
        set_start(cfg, args.resume)
        build_runner(cfg).train()


if __name__ == '__main__':
    main()
