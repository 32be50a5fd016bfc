"""Test a checkpoint on all OOD sets of a config in one pass."""

from __future__ import annotations

import argparse

from mmengine.config import Config

from mmood.launch import add_common_arguments, build_runner, load_config


def draw_predictions(cfg: Config, show: bool, folder: str | None) -> None:
    """Have each image drawn, into a folder of mmdet's or mmseg's hook."""
    hook = cfg.default_hooks.visualization
    hook.update(draw=True, show=show)
    if cfg.default_scope != 'mmseg':
        hook.test_out_dir = folder
        return
    hook.interval = 1
    for backend in cfg.visualizer.vis_backends:
        if folder and backend.type == 'LocalVisBackend':
            backend.img_save_dir = folder


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    add_common_arguments(parser)
    parser.add_argument('checkpoint', help='checkpoint file')
    parser.add_argument(
        '--out-dir',
        help='folder for metrics.json, scores and curves',
    )
    parser.add_argument(
        '--show-dir', help='folder, inside the work folder, for drawn images'
    )
    parser.add_argument('--show', action='store_true', help='open windows')
    args = parser.parse_args()
    cfg = load_config(args)
    cfg.load_from = args.checkpoint
    if args.out_dir:
        cfg.test_evaluator.out_dir = args.out_dir
    if args.show or args.show_dir:
        draw_predictions(cfg, args.show, args.show_dir)
    build_runner(cfg).test()


if __name__ == '__main__':
    main()
