"""Sheets of cards: every caption in the frame of its own picture."""

import numpy as np

from mmood.ops.cards import FRAME, Card, card_sheet


def picture(value, size=(20, 30)):
    return np.full((*size, 3), (value, 0, value), np.uint8)


def frames(sheet):
    """(top, bottom, left, right) of the frames, row by row."""
    edge = (sheet == FRAME).all(-1)
    rows = np.nonzero(edge.sum(1) > 40)[0]
    columns = np.nonzero(edge.sum(0) > 40)[0]
    tops, bottoms = rows[::2], rows[1::2]
    lefts, rights = columns[::2], columns[1::2]
    return [
        (top, bottom, left, right)
        for top, bottom in zip(tops, bottoms)
        for left, right in zip(lefts, rights)
    ]


def test_pictures_and_captions_lie_in_their_own_frame():
    cards = [
        Card([picture(100 + i), picture(60 + i)], 'caption ' * 30)
        for i in range(4)
    ]
    sheet = card_sheet(cards, 2, (60, 40))
    found = frames(sheet)
    assert len(found) == 4
    outside = np.ones(sheet.shape[:2], bool)
    for i, (top, bottom, left, right) in enumerate(found):
        inside = sheet[top : bottom + 1, left : right + 1]
        outside[top : bottom + 1, left : right + 1] = False
        for value in (100 + i, 60 + i):
            assert (inside == (value, 0, value)).all(-1).sum() == 20 * 30
        last = np.nonzero((inside == (60 + i, 0, 60 + i)).all(-1))[0].max()
        assert (inside[last + 1 : -1] < 80).all(-1).any()  # the caption below
    assert (sheet[outside] == 255).all()


def test_headings_stand_above_their_pictures():
    card = Card([picture(100), picture(60)], 'c', ('before', 'after'))
    sheet = card_sheet([card], 1, (60, 40))
    for value in (100, 60):
        rows, columns = np.nonzero((sheet == (value, 0, value)).all(-1))
        above = sheet[: rows.min(), columns.min() : columns.max() + 1]
        assert (above < 80).all(-1).any()
    without = card_sheet([Card([picture(100)] * 2, 'c')], 1, (60, 40))
    assert len(without) < len(sheet)


def test_large_pictures_are_shrunk_and_small_ones_kept():
    sheet = card_sheet([Card([picture(100, (400, 200))], '')], 1, (60, 40))
    rows, columns = np.nonzero((sheet == (100, 0, 100)).all(-1))
    assert np.ptp(rows) + 1 == 40 and np.ptp(columns) + 1 == 20


def test_the_legend_stands_above_all():
    legend = [((200, 0, 0), 'painted')]
    sheet = card_sheet([Card([picture(100)], 'c')], 1, (60, 40), legend)
    ((top, *_),) = frames(sheet)
    assert np.nonzero((sheet == (200, 0, 0)).all(-1))[0].max() < top
    alone = card_sheet([], 3, (60, 40), legend)
    assert (alone == (200, 0, 0)).all(-1).any()
    assert card_sheet([], 3, (60, 40)).shape[2] == 3
