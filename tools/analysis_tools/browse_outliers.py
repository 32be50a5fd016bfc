"""Look at the outliers that a config's training pipeline pastes.

Writes a sheet of training images as they are behind ``mmood.PasteOutliers``,
each beside its labels, with the outline of what was pasted.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from pathlib import Path

import cv2
import numpy as np

from mmood.launch import OptionsAction
from mmood.ops.cards import Card, card_sheet
from mmood.ops.pictures import write_picture
from mmood.recipe import load
from mmood.registry import DATASETS

OUTLINE = (255, 0, 255)
LEGEND = [(OUTLINE, 'pasted: an outlier')]


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument('config', help='config file of a training')
    parser.add_argument(
        '--out', type=Path, required=True, help='PNG file for the sheet'
    )
    parser.add_argument(
        '--number', type=int, default=12, help='of images on the sheet'
    )
    parser.add_argument(
        '--all',
        action='store_true',
        help='paste into each image, whatever prob of the transform says',
    )
    parser.add_argument(
        '--epoch', type=int, default=0, help='whose objects are shown'
    )
    parser.add_argument('--columns', type=int, default=3, help='of cards')
    parser.add_argument(
        '--side', type=int, default=320, help='of a picture, in pixels'
    )
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=OptionsAction,
        default={},
        help='overrides of the config',
    )
    return parser.parse_args(argv)


def image_sets(dataset: object) -> Iterator[object]:
    """The sets with a pipeline that are in a wrapper, or in one of many."""
    inner = getattr(dataset, 'datasets', [getattr(dataset, 'dataset', None)])
    if inner == [None]:
        yield dataset
    for part in inner if inner != [None] else ():
        yield from image_sets(part)


def pasted_samples(
    dataset: object, number: int, epoch: int, always: bool
) -> Iterator[Mapping]:
    """What its images are behind the last PasteOutliers, spread evenly.

    Raises ValueError if there is none in the pipeline.
    """
    from mmood.seg.datasets import PasteOutliers, Visit

    steps = dataset.pipeline.transforms
    places = [i for i, t in enumerate(steps) if isinstance(t, PasteOutliers)]
    if not places:
        raise ValueError(
            'the training pipeline has no mmood.PasteOutliers: add it in '
            'front of what packs'
        )
    for place in places:
        steps[place].prob = 1.0 if always else steps[place].prob
    count = min(number, len(dataset))
    for i in np.linspace(0, len(dataset) - 1, count).round().astype(int):
        results = dataset.get_data_info(Visit(int(i), epoch))
        for step in steps[: places[-1] + 1]:
            results = step(results)
        yield results


def card_of(results: Mapping, palette: np.ndarray, label: int) -> Card:
    """The image and its labels, in colours, with outlines, RGB."""
    image = np.ascontiguousarray(results['img'][..., ::-1])
    labels = results['gt_seg_map']
    is_outlier = (labels == label).astype(np.uint8)
    colours = np.zeros((256, 3), np.uint8)
    colours[: len(palette)] = palette
    colours[label], colours[255] = OUTLINE, (255, 255, 255)
    contours, _ = cv2.findContours(
        is_outlier, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE
    )
    outlined = image.copy()
    cv2.drawContours(outlined, contours, -1, OUTLINE, 1)
    names = ', '.join(name for name, *_ in results['pasted']) or 'nothing'
    caption = f'{Path(results["img_path"]).name}: {names}'
    pictures = [image, outlined, colours[labels]]
    return Card(pictures, caption, ('image', 'outlined', 'labels'))


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    try:
        cfg = load(args.config, args.cfg_options)
        dataset = DATASETS.build(cfg.train_dataloader.dataset)
        parts = list(image_sets(dataset))
        cards = []
        for part in parts:
            palette = np.array(part.metainfo.get('palette') or [[0] * 3])
            share = -(-args.number // len(parts))
            for found in pasted_samples(part, share, args.epoch, args.all):
                cards.append(card_of(found, palette, _label(part)))
    except (OSError, ValueError) as error:
        raise SystemExit(f'error: {error}') from error
    height, width = cards[0].pictures[0].shape[:2]
    scale = args.side / max(height, width)
    cell = round(width * scale), round(height * scale)
    write_picture(args.out, card_sheet(cards, args.columns, cell, LEGEND))
    print(f'wrote {args.out}')


def _label(dataset: object) -> int:
    steps = dataset.pipeline.transforms
    return next(
        step.outlier_label for step in steps if hasattr(step, 'outlier_label')
    )


if __name__ == '__main__':
    main()
