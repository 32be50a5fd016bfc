"""Test a checkpoint on all OOD sets of a config in one pass.

With --submission NAME it writes what the server of a benchmark takes instead.
"""

from __future__ import annotations

import argparse
import os.path as osp

from mmengine.config import Config

from mmood.launch import (
    add_common_arguments,
    build_runner,
    clear_errors,
    is_first_process,
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


def submit(cfg: Config, args: argparse.Namespace) -> int:
    """Write a submission in --out-dir, or have a test of the config do so.

    Returns the number of frames to test. Raises ValueError for a detector
    and for arguments that do not fit.
    """
    if not is_segmentor(cfg):
        raise ValueError('--submission is for segmentors: it writes maps')
    if not args.out_dir or args.results:
        raise ValueError(
            '--submission needs --out-dir, the folder to write in, and has '
            'no boxes for --results'
        )
    about = dict(method=args.method, score=args.score)
    place = (cfg, args.checkpoint)
    is_first = is_first_process(args.launcher)
    if args.submission == 'smiyc':
        from mmood.seg.submission.smiyc import prepare

        frames = frames_by_split(args.frames)
        return prepare(*place, frames, args.out_dir, **about, writes=is_first)
    if args.frames:
        raise ValueError('--frames is for --submission smiyc')
    if is_first:
        from mmood.seg.submission.fishyscapes import write_package

        print(write_package(*place, args.out_dir, **about))
    return 0


def frames_by_split(pairs: list[str]) -> dict[str, str]:
    """``SPLIT=FOLDER`` pairs; ValueError for anything else, or one twice."""
    found: dict[str, str] = {}
    for pair in pairs:
        split, sign, folder = pair.partition('=')
        if not (sign and folder) or split in found:
            raise ValueError(
                f'--frames {pair!r} is not SPLIT=FOLDER, or the split is '
                'there twice'
            )
        found[split] = folder
    return found


def add_submission_arguments(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group('submission, of a segmentor')
    group.add_argument(
        '--submission',
        choices=['smiyc', 'fishyscapes'],
        help='write for SegmentMeIfYouCan or Fishyscapes, in --out-dir',
    )
    group.add_argument('--method', help='name of the method, without spaces')
    group.add_argument('--score', help='a predicted score; default: the first')
    group.add_argument(
        '--frames',
        nargs='+',
        default=[],
        metavar='SPLIT=FOLDER',
        help='of smiyc: such as AnomalyTrack-all=data/dataset_AnomalyTrack',
    )


@clear_errors(OSError, NotFittedError, ImportError)
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
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
    add_submission_arguments(parser)
    args = parser.parse_args()
    cfg = load_config(args)
    use_checkpoint(cfg, args.checkpoint)
    try:
        if args.submission:
            if submit(cfg, args) == 0:
                return
        elif args.method or args.score or args.frames:
            raise ValueError(
                '--method, --score and --frames are for --submission'
            )
        elif args.out_dir:
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
