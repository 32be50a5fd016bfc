"""Write a trained model to an ONNX file, which runs without PyTorch.

`mmood.deploy.run` runs it, with onnxruntime and numpy alone.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from mmengine.config import DictAction
from torch import nn

from mmood.backbones import FrozenBackbone
from mmood.checkpoint import load_from_local
from mmood.deploy.compare import differences
from mmood.deploy.export import check_packages, write
from mmood.deploy.pictures import prepare
from mmood.deploy.run import OnnxModel
from mmood.hooks.fit_scores import scored
from mmood.launch import for_first_set, ignore_foreign, is_segmentor
from mmood.ops import NotWrittenError
from mmood.recipe import load
from mmood.scores import NotFittedError

_SIZE = (480, 640)  # of a picture to trace with, where none is named


def check_complete(model: nn.Module, weights: Mapping) -> None:
    """Raises ValueError for weights that are not all in the checkpoint."""
    given = {k.removeprefix('module.'): v.shape for k, v in weights.items()}
    # What is fitted besides are buffers. A state has the names of a file.
    own = {
        name: part.shape
        for name, part in model.state_dict(keep_vars=True).items()
        if isinstance(part, nn.Parameter)
    }
    wrong = [name for name, shape in own.items() if given.get(name) != shape]
    if wrong:
        raise ValueError(
            f'{len(wrong)} of {len(own)} weights of the model are not in the '
            f'checkpoint, or of another shape, such as {wrong[0]}: take a '
            'checkpoint that was trained with this config'
        )


def traced_size(about: Mapping, path: str | None) -> tuple[int, int]:
    """That of what the network gets of the picture, or of a usual one."""
    picture = np.zeros((*_SIZE, 3), np.uint8) if path is None else read(path)
    return prepare(picture, about).image.shape[2:]


def read(path: str) -> np.ndarray:
    picture = cv2.imread(path)
    if picture is None:
        raise ValueError(f'--check {path} is no picture that can be read')
    return picture


def predicted(sample: object, names: list[str]) -> dict:
    """What PyTorch found, in the form of `OnnxModel`."""
    if 'pred_instances' not in sample:
        maps = sample.pred_ood
        scores = {name: maps.get(name)[0].numpy() for name in names}
        found = dict(classes=sample.pred_sem_seg.data[0].numpy())
        return dict(found, ood_scores=scores, is_ood=maps.is_ood[0].numpy())
    boxes = sample.pred_instances
    scores = {n: boxes.get(f'ood_scores_{n}').numpy() for n in names}
    return dict(
        boxes=boxes.bboxes.numpy(),
        labels=boxes.labels.numpy(),
        scores=boxes.scores.numpy(),
        is_ood=boxes.is_ood.numpy(),
        ood_scores=scores,
    )


def check(inferencer: object, path: str, images: Sequence[str]) -> str:
    """How far the file and PyTorch are apart, and how fast, in two lines.

    Both on the CPU with as many threads, from the picture to the result.
    Differences are the largest ones, and all unmatched boxes; times are
    medians of the pictures.
    """
    threads = torch.get_num_threads()
    model, worst, times = OnnxModel(path, threads=threads), {}, []
    count, names = 0, model.about['scores']
    # PyTorch's is_ood is by the first of all scores.
    is_same = names[0] == scored(inferencer.model).scores.first
    for part in inferencer.model.modules():
        if isinstance(part, FrozenBackbone):
            part.drop_cache()  # it would be timed, not the network
    for image in images:
        picture = read(image)
        theirs, slow = timed(
            lambda x=picture: inferencer(x, return_datasamples=True)
        )
        if isinstance(theirs, dict):
            theirs = theirs['predictions'][0]
        theirs = predicted(theirs, names)
        ours, fast = timed(lambda x=picture: model(x))
        times.append((fast, slow))
        count += len(ours.get('boxes', ()))
        if not is_same:
            ours.pop('is_ood', None)
        for name, value in differences(ours, theirs).items():
            known = worst.get(name, 0.0)
            is_count = name == 'unmatched'
            worst[name] = known + value if is_count else max(known, value)
    fast, slow = 1000 * np.median(times, axis=0)
    words = ', '.join(f'{name} {value:.2g}' for name, value in worst.items())
    boxes = f' with {count} boxes' if 'boxes' in worst else ''
    return (
        f'{len(images)} pictures{boxes}: {fast:.0f} ms each with {threads} '
        f'threads, PyTorch {slow:.0f} ms\n'
        f'largest difference from PyTorch: {words}'
    )


def timed(call: Callable, repeats: int = 3) -> tuple[object, float]:
    """What it returns, and the shortest time of a call, in seconds."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        found = call()
        times.append(time.perf_counter() - start)
    return found, min(times)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('config')
    parser.add_argument('checkpoint')
    parser.add_argument('-o', '--out', required=True, help='file to write')
    parser.add_argument(
        '--scores',
        nargs='+',
        help='names of scores, the first one decides; default: all that a '
        'graph can have',
    )
    parser.add_argument(
        '--size',
        type=int,
        nargs=2,
        metavar=('HEIGHT', 'WIDTH'),
        help='for what the network gets of this size alone; default: of any '
        "size, if the model can be traced so, else of the first picture's",
    )
    parser.add_argument(
        '--check',
        nargs='+',
        metavar='IMAGE',
        help='compare results and times with PyTorch on pictures; what has '
        'one size has that of the first one',
    )
    parser.add_argument('--cfg-options', nargs='+', action=DictAction)
    args = parser.parse_args()
    if Path(args.out).is_dir():
        parser.error(f'--out {args.out} is a folder: name a file')
    if args.size and min(args.size) < 1:
        parser.error(f'--size must be 1 or more, got {args.size}')
    return args


def export(args: argparse.Namespace) -> None:
    check_packages()
    cfg = load(args.config, args.cfg_options)
    if is_segmentor(cfg):
        from mmood.seg import OODSegInferencer as Inferencer
        from mmood.seg.export import plan
    else:
        from mmood.det import OODDetInferencer as Inferencer
        from mmood.det.export import plan
    inferencer = Inferencer(cfg, weights=args.checkpoint, device='cpu')
    inferencer.show_progress = False
    model = inferencer.model
    checkpoint = load_from_local(args.checkpoint, 'cpu')
    check_complete(model, checkpoint.get('state_dict', checkpoint))
    pipeline = for_first_set(cfg).test_dataloader.dataset.pipeline
    planned = plan(model, pipeline, args.scores)
    for reason in planned.left_out.values():
        print(f'left out: {reason}')
    first_image = args.check[0] if args.check else None
    size = args.size or traced_size(planned.about, first_image)
    print(write(planned, args.out, size, is_fixed=bool(args.size)))
    first = planned.about['scores'][0]
    if first not in planned.about['thresholds']:
        print(
            f'the checkpoint has no threshold of {first}: is_ood is left out, '
            'give the runner one, or calibrate with tools/fit_scores.py'
        )
    if args.check:
        print(check(inferencer, args.out, args.check))


def main() -> None:
    args = parse_args()
    ignore_foreign()
    torch.manual_seed(0)
    try:
        export(args)
    except (
        ImportError,
        NotFittedError,
        NotWrittenError,
        OSError,
        ValueError,
    ) as error:
        sys.exit(f'error: {error}')


if __name__ == '__main__':
    main()
