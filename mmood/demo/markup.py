"""The words of the page as HTML; whatever comes from outside is escaped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from .verdicts import BoxVerdict, ClassShare, counted, percent


def table(
    heads: Sequence[str], rows: Iterable[tuple[Sequence[str], bool]]
) -> str:
    """Rows of cells, each with whether it is of something unknown.

    All cells but the first one and the last are numbers.
    """
    body = ''.join(
        f'<tr class="{"unknown" if is_unknown else "known"}">'
        f'{_cells("td", cells)}</tr>'
        for cells, is_unknown in rows
    )
    head = f'<thead><tr>{_cells("th", heads)}</tr></thead>'
    return f'<table class="verdicts">{head}<tbody>{body}</tbody></table>'


def _cells(kind: str, words: Sequence[str]) -> str:
    last = len(words) - 1
    return ''.join(
        f'<{kind}{" class=number" * (0 < i < last)}>{escape(word)}</{kind}>'
        for i, word in enumerate(words)
    )


def box_table(boxes: Sequence[BoxVerdict], score: str) -> str:
    """'' without a box."""
    if not boxes:
        return ''
    rows = [
        (
            (
                box.name,
                f'{box.confidence:.2f}',
                f'{box.score:.3g}',
                box.words,
            ),
            box.is_unknown,
        )
        for box in boxes
    ]
    heads = (
        'closest class',
        'confidence',
        score,
        'verdict',
    )
    return table(heads, rows)


def class_table(shares: Sequence[ClassShare]) -> str:
    rows = [
        (
            (
                one.name,
                percent(one.share),
                percent(one.unknown) if one.unknown else 'none',
            ),
            one.unknown > 0.5,
        )
        for one in shares
    ]
    return table(('class', 'pixels', 'of them unknown'), rows)


def box_counts(boxes: Sequence[BoxVerdict], notes: Iterable[str] = ()) -> str:
    unknown = sum(box.is_unknown for box in boxes)
    if not boxes:
        big = '<b>no object found</b>'
        notes = ('Lower the least confidence to see weaker boxes.', *notes)
    else:
        big = _numbers(str(len(boxes) - unknown), str(unknown))
    said = counted(len(boxes), 'box', 'boxes')
    return _summary(big, said if boxes else '', notes)


def pixel_counts(share: float, notes: Iterable[str] = ()) -> str:
    big = _numbers(percent(1 - share), percent(share))
    return _summary(big, 'of the pixels', notes)


def _numbers(known: str, unknown: str) -> str:
    return (
        f'<span class="known"><b>{known}</b> known</span>'
        f'<span class="unknown"><b>{unknown}</b> unknown</span>'
    )


def _summary(big: str, of: str, notes: Iterable[str]) -> str:
    small = ''.join(f'<p>{escape(note)}</p>' for note in notes if note)
    of = f'<small>{escape(of)}</small>' if of else ''
    return f'<div class="counts" role="status">{big}{of}{small}</div>'


def refusal(words: str) -> str:
    return f'<div class="refusal" role="alert">{escape(words)}</div>'
