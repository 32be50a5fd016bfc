"""Text, legends and enlarging: sizes, and that nothing leaves its place."""

import numpy as np
import pytest
from PIL import Image, ImageDraw

from mmood.ops import drawing


@pytest.mark.parametrize(
    ('size', 'factor'),
    [
        ((96, 96), 4),
        ((300, 400), 2),
        ((350, 500), 1),
        ((349, 500), 2),
        ((1024, 2048), 1),
        ((10, 800), 2),  # as far as the longer side allows
        ((10, 2000), 1),
        ((1, 1), 350),
    ],
)
def test_factor_of_small_pictures(size, factor):
    assert drawing.enlarging(*size) == factor
    assert drawing.enlarging(*size[::-1]) == factor


def test_enlarged_pixel_by_pixel():
    labels = np.array([[1, 2], [3, 4]], np.uint8)
    large = drawing.enlarge(labels, 3, smooth=False)
    np.testing.assert_array_equal(large, np.kron(labels, np.ones((3, 3))))
    assert drawing.enlarge(labels, 1) is labels
    assert drawing.enlarge(np.zeros((2, 3, 3), np.uint8), 4).shape == (
        8,
        12,
        3,
    )


def test_extent_holds_the_ink():
    text = 'Ünbekannt →\n(gj?), 0.8 above'
    width, height = drawing.extent(text, 20)
    picture = Image.new('RGB', (width + 40, height + 40), 'white')
    draw = ImageDraw.Draw(picture)
    drawing.write(draw, (20, 20), text, 20)
    rows, columns = np.nonzero(np.asarray(picture).min(-1) < 200)
    assert rows.min() >= 20 and rows.max() < 20 + height
    assert columns.min() >= 18 and columns.max() < 22 + width


def test_a_line_is_cut_to_a_width():
    assert drawing.shortened('dog', 14, 500) == 'dog'
    cut = drawing.shortened('unknown ' * 9, 14, 100)
    assert cut.endswith('…') and drawing.extent(cut, 14)[0] <= 100
    assert drawing.shortened('dog', 14, 0) == '…'


@pytest.mark.parametrize(
    ('color', 'expected'),
    [((0, 0, 0), 0), ((255,) * 3, 1), ((255, 0, 0), 0.2126)],
)
def test_luminance(color, expected):
    assert drawing.luminance(color) == pytest.approx(expected)


@pytest.mark.parametrize(
    'color', [(31, 119, 255), (0, 190, 60), (255, 200, 0), (225, 40, 40)]
)
def test_labels_can_be_read(color):
    """The contrast that WCAG asks of text."""
    light = sorted(map(drawing.luminance, drawing.label_colors(color)))
    assert (light[1] + 0.05) / (light[0] + 0.05) >= 4.5


def test_a_legend_has_one_height_whatever_it_says():
    entries = [((200, 0, 0), 'a'), ((0, 200, 0), 'b')]
    one = drawing.strip(300, 2, 14, entries)
    assert (one == (200, 0, 0)).all(-1).any()
    assert (one == (0, 200, 0)).all(-1).any()
    for said in ([], entries * 40, [(None, 'word ' * 99)]):
        assert drawing.strip(300, 2, 14, said).shape == one.shape


def test_what_has_no_room_is_counted():
    entries = [((i, 0, 0), 'class') for i in range(100, 140)]
    placed = drawing._fitting(entries, 300, 2, 14)
    assert {row for _, row, _, _ in placed} == {0, 1}
    left_out = len(entries) - (len(placed) - 1)
    assert placed[-1][3] == f'+{left_out} more'
    kept = [color for _, _, color, _ in placed[:-1]]
    assert kept == [color for color, _ in entries[: len(kept)]]
    assert drawing._fitting([], 300, 2, 14) == []


def test_rows_that_a_legend_needs():
    entries = [(None, 'word')] * 3
    word = drawing.extent('word', 14)[0]
    assert drawing.rows_needed(entries, 1000, 14) == 1
    assert drawing.rows_needed(entries, word + 20, 14) == 3
    assert drawing.rows_needed([], 100, 14) == 0
