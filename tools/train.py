"""Train a model from a config, alone or under a launcher."""

from __future__ import annotations

import argparse

from mmengine.runner import find_latest_checkpoint

from mmood.launch import add_common_arguments, build_runner, load_config


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
        'the work folder',
    )
    args = parser.parse_args()
    cfg = load_config(args)
    if args.amp:
        cfg.optim_wrapper.type = 'AmpOptimWrapper'
        cfg.optim_wrapper.setdefault('loss_scale', 'dynamic')
    if args.auto_scale_lr:
        if 'base_batch_size' not in (cfg.get('auto_scale_lr') or {}):
            parser.error(
                f'--auto-scale-lr needs auto_scale_lr.base_batch_size in '
                f'{args.config}'
            )
        cfg.auto_scale_lr.enable = True
    if args.resume == 'auto':
        # Where there is nothing to go on from, load_from is the beginning.
        cfg.resume = find_latest_checkpoint(cfg.work_dir) is not None
        cfg.load_from = None if cfg.resume else cfg.get('load_from')
    elif args.resume:
        cfg.resume, cfg.load_from = True, args.resume
    build_runner(cfg).train()


if __name__ == '__main__':
    main()
