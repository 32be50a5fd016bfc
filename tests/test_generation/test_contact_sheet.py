"""Contact sheets: which images, where their boxes lie, safe HTML."""

import base64
import re

import cv2
import numpy as np
import pytest

from mmood.generation.contact_sheet import (
    COLORS,
    Pair,
    draw_sheet,
    html_sheet,
    kind_of,
    load_pairs,
    spread,
    thumbnail,
    write_contact_sheet,
)
from mmood.generation.records import write_png
from mmood.generation.report import summarise

SIDE = 100


def annotation(bbox, ood=0, iscrowd=0, **provenance):
    found = dict(id=3, bbox=bbox, ood=ood, iscrowd=iscrowd)
    if ood:
        found['provenance'] = dict(dict(label='cat', seed=1), **provenance)
    return found


def record(number=5, *annotations, name='a.png'):
    image = dict(id=number, file_name=f'images/{name}', source=name)
    image.update(width=50, height=40)
    return dict(
        id=number, image=image, annotations=list(annotations), skipped={},
        discarded=[], given_up=0, seconds=1,
    )  # fmt: skip


def pair(*annotations, before=10, after=200, **options):
    images = (np.full((40, 50, 3), v, np.uint8) for v in (before, after))
    return Pair(*images, record(5, *annotations, **options))


@pytest.mark.parametrize(
    ('number', 'places'),
    [(1, [0]), (2, [0, 9]), (4, [0, 3, 6, 9]), (99, range(10)), (0, [])],
)
def test_images_are_spread_over_all(number, places):
    assert spread(range(10), number) == list(places)
    assert spread([], number) == []


@pytest.mark.parametrize(
    ('ood', 'iscrowd', 'kind'),
    [(1, 0, 'painted'), (0, 0, 'kept'), (0, 1, 'ignored')],
)
def test_outlines_lie_on_the_edge_of_the_box(ood, iscrowd, kind):
    found = annotation([10, 5, 20, 15], ood, iscrowd)
    assert kind_of(found) == kind
    image = np.full((40, 50, 3), 77, np.uint8)
    picture = thumbnail(image, [found], SIDE)
    expected = np.full((80, 100, 3), 77, np.uint8)
    expected[10:40, 20:60] = COLORS[kind]
    expected[11:39, 21:59] = 77
    np.testing.assert_array_equal(picture, expected)
    assert (image == 77).all()


def test_painted_boxes_are_drawn_over_others():
    boxes = [annotation([0, 0, 50, 40], ood) for ood in (1, 0)]
    picture = thumbnail(np.zeros((40, 50, 3), np.uint8), boxes, SIDE)
    assert tuple(picture[0, 0]) == COLORS['painted']


def test_thumbnails_of_long_images():
    image = np.zeros((1, 500, 3), np.uint8)
    assert thumbnail(image, [], SIDE).shape == (1, 100, 3)


def test_sheet_shows_before_and_after_side_by_side():
    """Each pair is in a card of its own, in the order of reading."""
    pairs = [
        pair(annotation([1, 1, 9, 9], 1), before=9 * i + 60) for i in range(4)
    ]
    sheet = draw_sheet(pairs, columns=3, side=SIDE)
    places = []
    for one in pairs:
        drawn = thumbnail(one.before, one.record['annotations'], SIDE)
        rows, columns = place_of(sheet, drawn)
        after = thumbnail(one.after, one.record['annotations'], SIDE)
        others = [c for r, c in zip(*all_places(sheet, after)) if r == rows]
        assert min(c - columns for c in others if c > columns) < SIDE + 10
        places.append((rows, columns))
    assert places == sorted(places)
    assert [row == places[0][0] for row, _ in places] == [True] * 3 + [False]
    for kind in COLORS.values():  # the legend
        assert (sheet[: places[0][0] - 20] == kind).all(-1).sum() > 50


def all_places(sheet, picture):
    """Upper left corners of a picture on the sheet: rows, columns."""
    found = cv2.matchTemplate(sheet, picture, cv2.TM_SQDIFF)
    return np.nonzero(found < 1e5)  # float32; others have 1e6


def place_of(sheet, picture):
    rows, columns = all_places(sheet, picture)
    assert len(rows) == 1
    return rows[0], columns[0]


def test_no_pair_is_a_sheet_with_a_legend():
    sheet = draw_sheet([], columns=2, side=SIDE)
    assert (sheet == COLORS['painted']).all(-1).any()


def test_pairs_that_cannot_be_read_are_left_out(tmp_path):
    image = np.full((40, 50, 3), 3, np.uint8)
    for name in ('a.png', 'b.png', 'images/a.png', 'images/c.png'):
        write_png(tmp_path / name, image)
    found = [record(i, name=f'{n}.png') for i, n in enumerate('abc')]
    found += [dict(id=9, image=None, error='unreadable')]
    pairs = load_pairs(tmp_path, found, tmp_path, 9)
    assert [p.record['id'] for p in pairs] == [0]
    np.testing.assert_array_equal(pairs[0].after, image)


def test_html_holds_pictures_and_provenance_and_no_markup_of_others():
    made = pair(
        annotation(
            [1, 1, 9, 9], 1, prompt='a <b>cat</b> & "dog"', box=[1, 1, 10, 10]
        ),
        annotation([20, 20, 9, 9]),
        name='<i>.png',
    )
    failed = dict(id=9, image=None, error='<u> does not exist')
    report = summarise([made.record, failed], None)
    text = html_sheet([made], report, side=SIDE)
    assert '<td>a &lt;b&gt;cat&lt;/b&gt; &amp; &quot;dog&quot;</td>' in text
    assert '<th>box</th><td>[1, 1, 10, 10]</td>' in text
    assert 'cat, annotation 3' in text
    assert 'images/&lt;i&gt;.png' in text
    assert '&lt;u&gt; does not exist' in text
    assert not re.search('<b>|<i>|<u>|http', text)
    found = re.findall(r'alt="(\w+)" src="data:image/jpeg;base64,(.*?)"', text)
    assert [name for name, _ in found] == ['before', 'after']
    for (_, code), value in zip(found, (10, 200)):
        content = np.frombuffer(base64.b64decode(code), np.uint8)
        image = cv2.imdecode(content, cv2.IMREAD_COLOR)
        assert image.shape == (80, 100, 3)
        assert abs(np.median(image) - value) <= 2


def test_files_without_any_painted_image(tmp_path):
    report = summarise([], None)
    write_contact_sheet(tmp_path, [], tmp_path, report)
    sheet = cv2.imread(str(tmp_path / 'contact_sheet.png'))[..., ::-1]
    assert (sheet == COLORS['painted']).all(-1).any()
    text = (tmp_path / 'contact_sheet.html').read_text()
    assert 'no object was painted' in text
