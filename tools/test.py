"""Test a checkpoint on all OOD sets of a config in one pass."""

from __future__ import annotations

import argparse
import os.path as osp

from mmengine.config import Config

from mmood.launch import (
    add_common_arguments,
    build_runner,
    clear_errors,
    is_segmentor,
    load_config,
    metric_configs,
    type_name,
    use_checkpoint,
)
from mmood.scores import NotFittedError

_KEPT = ('score_thr', 'wait_time', 'backend_args')


def draw_predictions(cfg: Config, show: bool, folder: str | None) -> None:
    """Have each image drawn, whatever hooks the config has."""
    hooks = cfg.get('default_hooks') or {}
    own = hooks.get('visualization') or {}
    hook = dict(
        type='mmood.OODVisualizationHook',
        **{key: own[key] for key in _KEPT if key in own},
        draw=True,
        show=show,
        test_out_dir=folder,
    )
    cfg.default_hooks = dict(hooks, visualization=hook)
    kind = 'Seg' if is_segmentor(cfg) else 'Det'
    visualizer = dict(
        type=f'mmood.OOD{kind}LocalVisualizer', name='visualizer'
    )
    cfg.visualizer = {**visualizer, **(cfg.get('visualizer') or {})}


def write_results(cfg: Config, folder: str) -> None:
    """Have our metrics write there, the second one in a folder of its own.

    Raises ValueError if there is none.
    """
    ours = [
        config
        for config in metric_configs(cfg.get('test_evaluator'))
        if type_name(config).startswith('mmood.')
    ]
    if not ours:
        raise ValueError(
            '--out-dir is where metrics of mmood write, and test_evaluator '
            'has none of them'
        )
    for number, config in enumerate(ours):
        name = type_name(config).rsplit('.', 1)[-1]
        own = osp.join(folder, f'{number}_{name}')
        config['out_dir'] = own if number else folder


def write_boxes(cfg: Config, folder: str) -> None:
    """Have the boxes written there too, in the form of COCO's results.

    Raises ValueError for a segmentor.
    """
    if is_segmentor(cfg):
        raise ValueError('--results is for detectors: it writes boxes')
    own = dict(type='mmood.OODResultsFile', out_dir=folder)
    cfg.test_evaluator = [*metric_configs(cfg.get('test_evaluator')), own]


@clear_errors(OSError, NotFittedError)
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    add_common_arguments(parser)
    parser.add_argument('checkpoint', help='checkpoint file')
    parser.add_argument(
        '--out-dir',
        help='folder for metrics.json, scores and curves',
    )
    parser.add_argument(
        '--results',
        metavar='DIR',
        help='folder for SET.bbox.json, COCO results with ood_score, is_ood',
    )
    parser.add_argument(
        '--show-dir', help='folder for drawn images, one in it for each set'
    )
    parser.add_argument('--show', action='store_true', help='open windows')
    args = parser.parse_args()
    cfg = load_config(args)
    use_checkpoint(cfg, args.checkpoint)
    try:
        if args.out_dir:
            write_results(cfg, args.out_dir)
        if args.results:
            write_boxes(cfg, args.results)
    except ValueError as error:
        parser.error(str(error))
    if args.show or args.show_dir:
        draw_predictions(cfg, args.show, args.show_dir)
    build_runner(cfg).test()


if __name__ == '__main__':
    main()
