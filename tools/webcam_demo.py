"""Draw known and unknown boxes, or OOD score maps, on a video or camera."""

from __future__ import annotations

import argparse
import os
import os.path as osp
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, suppress

import cv2
import numpy as np
from mmengine.config import Config
from rich.progress import Progress, TextColumn

from mmood.launch import ignore_foreign, is_segmentor
from mmood.ops import NotWrittenError
from mmood.ops.drawing import strip, text_size
from mmood.ops.video import (
    FrameRate,
    codec_of,
    copies,
    frames,
    open_source,
    stated,
    video_file,
)
from mmood.recipe import load
from mmood.scores import NotFittedError
from mmood.visualization import finite_range

_WINDOW = 'mmood: q or Esc ends'
_RATE = 25.0  # frames per second where the source says nothing


def make_drawer(
    args: argparse.Namespace, cfg: Config
) -> Callable[[np.ndarray], np.ndarray]:
    """A function: frame -> what is drawn of it, both BGR."""
    options = dict(weights=args.checkpoint, device=args.device)
    call = dict(
        ood_threshold=args.ood_threshold, score=args.score, return_vis=True
    )
    is_seg = is_segmentor(cfg)
    if is_seg:
        from mmood.seg import OODSegInferencer

        inferencer = OODSegInferencer(cfg, **options)
        inferencer.visualizer.score_range = args.score_range
    else:
        from mmood.det import OODDetInferencer

        inferencer = OODDetInferencer(cfg, **options)
        call['pred_score_thr'] = args.score_thr
    inferencer.show_progress = False

    def draw(frame: np.ndarray) -> np.ndarray:
        result = inferencer(frame, **call)
        if is_seg and args.score_range is None:
            visualizer = inferencer.visualizer
            visualizer.score_range = widened(
                visualizer.score_range, result['ood_scores']
            )
        drawn = result['visualization']
        drawn = drawn if is_seg else drawn[0]
        return np.ascontiguousarray(drawn[..., ::-1])

    return draw


def widened(
    ends: tuple[float, float] | None, scores: np.ndarray
) -> tuple[float, float]:
    """Ends of the colormap that hold these scores, too, so that it rests."""
    low, high = finite_range(scores)
    return (
        (low, high)
        if ends is None
        else (min(ends[0], low), max(ends[1], high))
    )


def with_rate(frame: np.ndarray, rate: float) -> np.ndarray:
    """The frame below a line that says the frames per second."""
    size = text_size(*frame.shape[:2])
    said = [(None, f'{rate:.1f} frames per second')]
    return np.concatenate([strip(frame.shape[1], 1, size, said), frame])


def has_display() -> bool:
    """Whether a window can be opened; OpenCV ends the process where not."""
    if sys.platform in ('win32', 'darwin'):
        return True
    return any(map(os.environ.get, ('DISPLAY', 'WAYLAND_DISPLAY')))


def is_ended(frame: np.ndarray) -> bool:
    """Show it; whether the user wants no more."""
    cv2.imshow(_WINDOW, frame)
    return cv2.waitKey(1) & 0xFF in (ord('q'), 27)


def watched(
    source: Iterator[np.ndarray], total: int | None, rate: FrameRate
) -> Iterator[np.ndarray]:
    """The frames, with a line that says how far it is and how fast."""
    column = TextColumn('{task.fields[said]}')
    with Progress(*Progress.get_default_columns(), column) as bar:
        task = bar.add_task('Frames', total=total, said='')
        for frame in source:
            yield frame
            said = f'{rate.count} drawn, {rate.now:.1f} frames/s'
            bar.update(task, advance=1, said=said)


def run(args: argparse.Namespace, cfg: Config) -> FrameRate:
    """Draw the frames of the source, write and show them.

    Ctrl-C ends them, as it has to end a camera's; what there is is kept.
    """
    capture = open_source(args.source)
    is_file = not args.source.isdecimal()
    speed = stated(capture, cv2.CAP_PROP_FPS, _RATE)
    total = stated(capture, cv2.CAP_PROP_FRAME_COUNT, 0) if is_file else 0
    total = min(filter(None, (int(total), args.limit)), default=None)
    draw = make_drawer(args, cfg)
    with ExitStack() as stack:
        add = None
        if args.out:
            add = stack.enter_context(video_file(args.out, speed, args.codec))
        rate = FrameRate()
        source = watched(frames(capture, args.limit), total, rate)
        stack.enter_context(closing(source))
        stack.enter_context(suppress(KeyboardInterrupt))
        written = 0
        for frame in source:
            drawn = draw(frame)
            rate.tick()
            drawn = with_rate(drawn, rate.now)
            repeats = 1 if is_file else copies(rate.elapsed, speed, written)
            for _ in range(repeats if add else 0):
                add(drawn)
            written += repeats
            if args.show and is_ended(drawn):
                break
    if not rate.count:
        raise ValueError(
            f'source: {args.source} gave no frame: take another video, or '
            'look whether the camera works'
        )
    return rate


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        'source', help='number of a camera, such as 0, or file of a video'
    )
    parser.add_argument('config')
    parser.add_argument('checkpoint')
    parser.add_argument('--out', help='video to write, such as out.mp4')
    parser.add_argument(
        '--show', action='store_true', help='open a window; q or Esc ends'
    )
    parser.add_argument('--limit', type=int, help='at most so many frames')
    parser.add_argument(
        '--codec', help="four letters, such as MJPG; else the file's usual one"
    )
    parser.add_argument('--device', help='cpu, cuda:0, ...')
    parser.add_argument(
        '--score-thr',
        type=float,
        help="least class confidence; else the checkpoint's",
    )
    parser.add_argument(
        '--score', help='score to judge by; else the first of the config'
    )
    parser.add_argument(
        '--ood-threshold',
        type=float,
        help='OOD score above which a box or pixel is unknown; else the '
        "checkpoint's",
    )
    parser.add_argument(
        '--score-range',
        type=float,
        nargs=2,
        metavar=('LOW', 'HIGH'),
        help='scores at the ends of the colormap; else those of the frames so '
        'far',
    )
    args = parser.parse_args()
    if not (args.out or args.show):
        parser.error('say what to do with the frames: --out FILE or --show')
    if args.limit is not None and args.limit < 1:
        parser.error(f'--limit must be 1 or more, got {args.limit}')
    return args


def check(args: argparse.Namespace) -> None:
    """Raises ValueError for what can be known before a model is built."""
    if args.show and not has_display():
        raise ValueError(
            '--show needs a display, and DISPLAY is not set: write a video '
            'with --out'
        )
    if args.out:
        codec_of(args.out, args.codec)
        if osp.realpath(args.out) == osp.realpath(args.source):
            raise ValueError(
                f'--out {args.out} is the source: name another file'
            )


def main() -> None:
    args = parse_args()
    ignore_foreign()
    try:
        check(args)
        rate = run(args, load(args.config))
    except (NotFittedError, NotWrittenError, OSError, ValueError) as error:
        sys.exit(f'error: {error}')
    done = f'{args.out}: ' if args.out else ''
    print(
        f'{done}{rate.count} frames, {rate.mean:.2f} frames per second on '
        'average'
    )


if __name__ == '__main__':
    main()
