"""Where the labels of boxes stand."""

import numpy as np
import pytest

from mmood.ops.drawing import extent, label_colors
from mmood.visualization.boxes import DrawnBox, draw_boxes, label_place

SIDES = (400, 300)
BLUE = (31, 119, 255)


def place(box, text='dog 0.99', boxes=None, taken=()):
    boxes = [box] if boxes is None else boxes
    return label_place(text, np.array(box), SIDES, 14, boxes, taken)


def shared(a, b):
    return max(min(a[2], b[2]) - max(a[0], b[0]), 0) * max(
        min(a[3], b[3]) - max(a[1], b[1]), 0
    )


@pytest.mark.parametrize(
    'box',
    [
        (100, 100, 200, 200),
        (0, 0, 100, 100),
        (300, 200, 399, 299),
        (0, 100, 399, 299),
        (120, 0, 399, 299),
        (0, 0, 399, 250),
        (395, 0, 399, 4),
    ],
)
def test_outside_of_the_box_and_inside_of_the_picture(box):
    _, found = place(box)
    assert shared(found, box) == 0
    assert found[0] >= 0 and found[1] >= 0
    assert found[2] <= SIDES[0] and found[3] <= SIDES[1]


def test_above_the_box_where_there_is_room():
    text, found = place((100, 100, 200, 200))
    width, height = extent(text, 14)
    assert found.tolist() == [100, 100 - height, 100 + width + 7, 100]


def test_a_box_of_the_whole_picture_has_it_in_a_corner():
    _, found = place((0, 0, 399, 299))
    assert found[0] == 0 and found[1] == 0


def test_two_lines_where_that_hides_less():
    text = 'unknown (dog?)\n0.8 above the limit'
    box = (100, 100, 200, 200)
    assert place(box, text)[0] == text.replace('\n', ', ')
    wall = (0, 0, 399, 99), (0, 201, 399, 299), (0, 100, 90, 200)
    wide = extent(text, 14)[0] + 7
    assert wide < 399 - 201
    found, where = place(box, text, [box, *wall])
    assert found == text
    assert sum(shared(where, other) for other in (box, *wall)) == 0


def test_labels_do_not_cover_each_other():
    box = (100, 100, 200, 200)
    taken = []
    for _ in range(6):
        taken.append(place(box, taken=taken)[1])
    for i, one in enumerate(taken):
        assert not any(shared(one, other) for other in taken[:i])


def test_drawn_edges_and_labels():
    image = np.full((300, 400, 3), 128, np.uint8)
    drawn = draw_boxes(
        image, [DrawnBox(np.array([100, 100, 200, 200.4]), 'dog', BLUE)], 2
    )
    assert (image == 128).all()
    for edge in (
        drawn[100, 100:201],
        drawn[200, 100:201],
        drawn[100:201, 100],
    ):
        assert (edge == BLUE).all()
    inside = drawn[103:198, 103:198]
    assert (inside == 128).all()
    background, ink = label_colors(BLUE)
    label = drawn[80:98, 100:130]
    assert (label == background).all(-1).any() and (label == ink).any()


@pytest.mark.parametrize(
    'box', [(-50, -9, 900, 900), (500, 500, 600, 600), (7, 7, 7, 7)]
)
def test_boxes_that_leave_the_picture(box):
    image = np.zeros((60, 80, 3), np.uint8)
    drawn = draw_boxes(image, [DrawnBox(np.array(box), 'x', BLUE)])
    assert drawn.shape == image.shape and drawn.any()


def test_no_box_and_no_text():
    image = np.full((60, 80, 3), 9, np.uint8)
    np.testing.assert_array_equal(draw_boxes(image, []), image)
    drawn = draw_boxes(image, [DrawnBox(np.array([9, 9, 50, 50]), '', BLUE)])
    assert not (drawn == label_colors(BLUE)[0]).all(-1).any()
