"""Contact sheets: some images before and after, as PNG and as HTML.

Shapes: images (H, W, 3) uint8 RGB.
"""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from mmood.ops import NotWrittenError, atomic_write
from mmood.ops.cards import Card, card_sheet

from .crops import clip_box, resize_image
from .records import read_image, write_png
from .report import format_report

COLORS = dict(painted=(225, 40, 40), kept=(30, 150, 60), ignored=(120,) * 3)
LEGEND = [
    (COLORS['painted'], 'painted: an outlier'),
    (COLORS['kept'], 'left alone'),
    (COLORS['ignored'], 'ignored: a crowd, or covered by paint'),
]


@dataclass
class Pair:
    """An image before and after, and its record."""

    before: np.ndarray
    after: np.ndarray
    record: Mapping


def spread(items: Sequence, number: int) -> list:
    """At most ``number`` items, evenly spread, in their order."""
    count = min(number, len(items))
    places = np.linspace(0, len(items) - 1, count).round().astype(int)
    return [items[i] for i in places]


def load_pairs(
    out: Path, found: Sequence[Mapping], img_root: Path, number: int
) -> list[Pair]:
    """Pairs of painted images; those no longer readable are left out."""
    painted = [record for record in found if record['image'] is not None]
    pairs = []
    for record in spread(painted, number):
        image = record['image']
        size = (image['width'], image['height'])
        try:
            before = read_image(img_root / image['source'], *size)
            after = read_image(out / image['file_name'], *size)
        except (FileNotFoundError, ValueError):
            continue
        pairs.append(Pair(before, after, record))
    return pairs


def kind_of(annotation: Mapping) -> str:
    """The key of `COLORS` for an annotation."""
    if annotation['ood']:
        return 'painted'
    return 'ignored' if annotation.get('iscrowd') else 'kept'


def thumbnail(
    image: np.ndarray, annotations: Sequence[Mapping], side: int
) -> np.ndarray:
    """The image with its longer side at ``side``, and outlined boxes."""
    height, width = image.shape[:2]
    scale = side / max(height, width)
    size = [max(1, round(length * scale)) for length in (height, width)]
    picture = np.array(resize_image(image, *size), order='C')
    # Painted ones last: they are what the sheet is for.
    for annotation in sorted(annotations, key=lambda a: a['ood']):
        x1, y1, x2, y2 = clip_box(annotation['bbox'], width, height)
        corners = np.round(np.array([x1, y1, x2, y2]) * scale).astype(int)
        left, top, right, bottom = map(int, corners)
        cv2.rectangle(
            picture,
            (left, top),
            (right - 1, bottom - 1),
            COLORS[kind_of(annotation)],
        )
    return picture


def draw_sheet(
    pairs: Sequence[Pair], columns: int = 3, side: int = 224
) -> np.ndarray:
    """A card for each pair, before on the left, and a legend."""
    cards = [
        Card(
            [
                thumbnail(image, pair.record['annotations'], side)
                for image in (pair.before, pair.after)
            ],
            _caption(pair.record),
            ('before', 'after'),
        )
        for pair in pairs
    ]
    return card_sheet(cards, columns, (side, side), LEGEND)


def _caption(record: Mapping) -> str:
    labels = [
        annotation['provenance']['label']
        for annotation in record['annotations']
        if annotation['ood']
    ]
    return (
        f'image {record["id"]}, outlier in the place of: {", ".join(labels)}'
    )


_STYLE = """body { font: 14px sans-serif; margin: 2em; }
img { margin-right: 6px; vertical-align: top; }
td, th { text-align: left; vertical-align: top; padding: 1px 10px 1px 0; }
section { margin: 1.5em 0; } summary { cursor: pointer; }
pre { white-space: pre-wrap; } .painted { color: rgb(225, 40, 40); }
.kept { color: rgb(30, 150, 60); } .ignored { color: rgb(120, 120, 120); }"""


def html_sheet(pairs: Sequence[Pair], report: Mapping, side: int = 320) -> str:
    """One HTML file with pictures, report and provenance, and no links."""
    legend = (
        '<p>Before and after. <span class="painted">painted: an outlier'
        '</span>, <span class="kept">left alone</span>, <span '
        'class="ignored">ignored: a crowd, or covered by paint</span></p>'
    )
    sections = ''.join(_section(pair, side) for pair in pairs)
    summary = html.escape(format_report(report))
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        f'<title>Contact sheet</title><style>{_STYLE}</style>'
        f'<h1>Contact sheet</h1><pre>{summary}</pre>{legend}{sections}</html>'
    )


def _section(pair: Pair, side: int) -> str:
    annotations = pair.record['annotations']
    pictures = ''.join(
        f'<img alt="{name}" src="{_data_uri(image, annotations, side)}">'
        for name, image in (('before', pair.before), ('after', pair.after))
    )
    objects = ''.join(
        _object(annotation) for annotation in annotations if annotation['ood']
    )
    title = html.escape(pair.record['image']['file_name'])
    return f'<section><h2>{title}</h2>{pictures}{objects}</section>'


def _object(annotation: Mapping) -> str:
    rows = ''.join(
        f'<tr><th>{html.escape(key)}</th>'
        f'<td>{html.escape(_plain(value))}</td></tr>'
        for key, value in annotation['provenance'].items()
    )
    label = html.escape(annotation['provenance']['label'])
    return (
        f'<details><summary>{label}, annotation {annotation["id"]}</summary>'
        f'<table>{rows}</table></details>'
    )


def _plain(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _data_uri(
    image: np.ndarray, annotations: Sequence[Mapping], side: int
) -> str:
    picture = thumbnail(image, annotations, side)[..., ::-1]
    options = [cv2.IMWRITE_JPEG_QUALITY, 90]
    ok, content = cv2.imencode('.jpg', picture, options)
    if not ok:
        raise NotWrittenError('cannot encode a picture of the contact sheet')
    text = base64.b64encode(content.tobytes()).decode()
    return f'data:image/jpeg;base64,{text}'


def write_contact_sheet(
    out: Path,
    found: Sequence[Mapping],
    img_root: Path,
    report: Mapping,
    number: int = 24,
) -> None:
    """Write ``contact_sheet.png`` and ``contact_sheet.html``.

    They show ``number`` painted images at most, spread over all. Without
    any the picture has but a legend. Raises NotWrittenError.
    """
    pairs = load_pairs(out, found, img_root, number)
    write_png(out / 'contact_sheet.png', draw_sheet(pairs))
    content = html_sheet(pairs, report)
    with atomic_write(out / 'contact_sheet.html') as file:
        file.write(content)
