"""Masks of an OOD segmentation set: making, judging and showing them.

Masks are (H, W) uint8: 0 in-distribution (ID), 1 OOD, 255 ignored. Used by
``build_ood_seg_set.py``, which has the source.
"""

from __future__ import annotations

import html
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import quote

import cv2
import numpy as np
from PIL import Image

from mmood.ops.cards import Card, card_sheet

COLOURS = {1: (255, 0, 0), 255: (128, 128, 128)}
LEGEND = [(COLOURS[1], 'OOD'), (COLOURS[255], 'ignored')]
TILE, COLUMNS, ROWS = (200, 150), 2, 6


def disc(radius: int) -> np.ndarray:
    """Pixels at most ``radius`` from the centre, (2r + 1, 2r + 1) uint8."""
    y, x = np.ogrid[-radius : radius + 1, -radius : radius + 1]
    return (x * x + y * y <= radius * radius).astype(np.uint8)


def refine(
    labels: np.ndarray,
    unlabelled_ids: Sequence[int],
    ignore_ids: Sequence[int] = (),
    *,
    opening: int = 0,
    closing: int = 0,
    dilation: int = 0,
) -> np.ndarray:
    """Labels (H, W) -> mask; radii in pixels, of discs.

    Opening removes specks and strips of unlabelled pixels, which become
    ignored; closing fills holes in what stays, which become OOD. ID pixels
    at most ``dilation`` away from an OOD pixel become ignored.
    """
    unlabelled = np.isin(labels, unlabelled_ids)
    ignored = np.isin(labels, ignore_ids)
    ood = unlabelled.astype(np.uint8)
    ood = cv2.morphologyEx(ood, cv2.MORPH_OPEN, disc(opening))
    ood = cv2.morphologyEx(ood, cv2.MORPH_CLOSE, disc(closing))
    ood[ignored] = 0
    band = cv2.dilate(ood, disc(dilation)) > 0
    mask = np.where(unlabelled | ignored | band, 255, 0).astype(np.uint8)
    mask[ood > 0] = 1
    return mask


def describe(labels: np.ndarray, mask: np.ndarray) -> dict:
    """OOD share, pixels of each OOD region (8-connected), number of ID ids."""
    ood = (mask == 1).astype(np.uint8)
    stats = cv2.connectedComponentsWithStats(ood, connectivity=8)[2]
    regions = sorted(stats[1:, cv2.CC_STAT_AREA].tolist(), reverse=True)
    id_classes = len(np.unique(labels[mask == 0]))
    share = float(ood.mean())
    return dict(share=share, regions=regions, id_classes=id_classes)


def rejection(record: dict, min_share: float, min_region: int) -> str | None:
    """Why an image of this description is left out, or None to take it."""
    if 'problem' in record:
        return record['problem']
    if not record['regions']:
        return 'no OOD region'
    if record['share'] < min_share:
        return 'OOD share below --min-share'
    if record['regions'][0] < min_region:
        return 'largest region below --min-region'
    return None if record['id_classes'] else 'no ID pixel'


def statistics(records: Sequence[dict]) -> dict:
    """Numbers of the report from the descriptions of one image or more."""

    def spread(values: list) -> dict[str, float]:
        functions = dict(mean=np.mean, min=np.min, max=np.max)
        return {k: round(float(f(values)), 4) for k, f in functions.items()}

    regions = [size for r in records for size in r['regions']]
    sizes = np.percentile(regions, [0, 25, 50, 75, 100]).round(1)
    names = ('min', '25 %', 'median', '75 %', 'max')
    return {
        'images': len(records),
        'OOD share of an image': spread([r['share'] for r in records]),
        'regions per image': spread([len(r['regions']) for r in records]),
        'pixels of a region': dict(zip(names, sizes.tolist())),
        'ID classes per image': spread([r['id_classes'] for r in records]),
    }


def preview(image: Image.Image, mask: np.ndarray) -> Image.Image:
    """Small picture and overlay side by side: OOD red, ignored grey."""
    scale = min(TILE[0] / image.width, TILE[1] / image.height)
    size = [max(1, round(n * scale)) for n in image.size]
    small = np.asarray(image.resize(size))
    marks = cv2.resize(mask, size, interpolation=cv2.INTER_NEAREST)
    overlay = small.copy()
    for value, colour in COLOURS.items():
        there = marks == value
        overlay[there] = overlay[there] // 2 + np.array(colour) // 2
    return Image.fromarray(np.hstack([small, overlay]))


def contact_sheets(
    names: Sequence[str], paths: Sequence[Path]
) -> Iterator[Image.Image]:
    """Previews, read from their files, with their names, 12 on a sheet."""
    tiles = list(zip(names, paths))
    for start in range(0, len(tiles), COLUMNS * ROWS):
        cards = []
        for name, path in tiles[start:][: COLUMNS * ROWS]:
            with Image.open(path) as tile:
                cards.append(Card([np.asarray(tile.convert('RGB'))], name))
        cell = (2 * TILE[0], TILE[1])
        yield Image.fromarray(card_sheet(cards, COLUMNS, cell, LEGEND))


def review_page(records: Sequence[dict]) -> str:
    """HTML with ``previews/NAME.jpg``, name and numbers of each image."""
    figures = ''.join(
        f'<figure><img src="previews/{quote(r["name"])}.jpg" loading="lazy">'
        f'<figcaption>{html.escape(r["name"])}<br>{r["share"]:.1%} OOD, '
        f'{len(r["regions"])} regions</figcaption></figure>\n'
        for r in records
    )
    return (
        '<!DOCTYPE html><meta charset="utf-8"><title>Review</title>\n'
        '<style>figure {display: inline-block; margin: 8px} figcaption '
        '{font: 12px sans-serif}</style>\n'
        '<p>Red: OOD. Grey: ignored. Write the names of images to leave out '
        f'into a file and run again with --reject.</p>\n{figures}'
    )
