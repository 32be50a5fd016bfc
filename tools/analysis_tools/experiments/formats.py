"""Lines of means and deviations as Markdown, LaTeX or CSV."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from tabulate import tabulate

# All other measures are shares, printed in %.
COUNTS = (
    'AOSE',
    *(f'{name}@{t}' for t in (25, 50, 75) for name in ('TP', 'FN', 'FP')),
)
STYLES = ('github', 'latex', 'csv')
# What tabulate leaves as it is in LaTeX.
_TEX = str.maketrans(
    {
        '|': r'\textbar{}',
        '±': r'$\pm$',
        '↑': r'$\uparrow$',
        '↓': r'$\downarrow$',
    }
)


@dataclass(frozen=True)
class Line:
    """A method: labels, and a cell for each column.

    A cell has one or more measures, each as its values in all runs, in % or
    as counts; None is no value. Of the ``wanted`` runs so many are
    ``finished``.
    """

    labels: Sequence[str]
    cells: Sequence[Sequence[Sequence[float] | None]]
    finished: int
    wanted: int


def render(
    labels: Sequence[str],
    columns: Mapping[str, str],
    lines: Sequence[Line],
    style: str = 'github',
    unit: str = 'in %',
    remarks: Sequence[str] = (),
) -> str:
    """The table in a style of `STYLES`, ending with a line break.

    CSV has no ``unit`` and ``remarks``. It has mean and deviation apart, six
    digits, empty where there is none; ``seeds`` are those finished.

    Args:
        labels: headers of the lines' labels.
        columns: headers of the cells, by what they are called in CSV, where
            each holds one measure.
        unit: what the values are, to which the number of seeds is added.
        remarks: what follows, the first in the same line.
    """
    if style == 'csv':
        parts = [f'{c}_{part}' for c in columns for part in ('mean', 'std')]
        file = io.StringIO()
        table = [[*labels, 'seeds', *parts], *map(_numbers, lines)]
        csv.writer(file, lineterminator='\n').writerows(table)
        return file.getvalue()
    most = max((line.finished for line in lines), default=0)
    is_even = len({n for x in lines for n in (x.finished, x.wanted)}) < 2
    headers = [*labels, *columns.values(), *['seeds'] * (not is_even)]
    rows = []
    for line in lines:
        cells = map(cell, line.cells, [c in COUNTS for c in columns])
        rows.append([*line.labels, *cells])
        if not is_even:
            rows[-1].append(f'{line.finished}/{line.wanted}')
    if most > 1:
        unit += ', mean ± sample deviation over '
        unit += f'{most} seeds' if is_even else 'the seeds'
    elif most == 1:
        unit += ', one seed'
    below = (unit + '\n'.join(remarks)).split('\n')
    write = to_latex if style == 'latex' else to_markdown
    return write([headers, *rows], below)


def cell(
    measures: Sequence[Sequence[float] | None], is_count: bool = False
) -> str:
    """``mean ± deviation`` with one digit of each; - where there is none.

    A count of one run is a whole number.
    """
    texts = [_text(values, 0 if is_count else 1) for values in measures]
    return ' / '.join(texts) if any(measures) else '-'


def _text(values: Sequence[float] | None, digits: int) -> str:
    if not values:
        return '-'
    mean, deviation = mean_and_deviation(values)
    if math.isnan(deviation):
        return f'{mean:.{digits}f}'
    return f'{mean:.1f} ± {deviation:.1f}'


def mean_and_deviation(values: Sequence[float]) -> tuple[float, float]:
    """Mean and sample deviation, which is nan of one value."""
    numbers = np.asarray(values, dtype=float)
    deviation = numbers.std(ddof=1) if len(numbers) > 1 else math.nan
    return float(numbers.mean()), float(deviation)


def to_markdown(rows: list[list[str]], below: list[str]) -> str:
    cells = [[text.replace('|', '\\|') for text in row] for row in rows]
    table = tabulate(cells, 'firstrow', 'github', disable_numparse=True)
    return '\n\n'.join([table, *below]) + '\n'


def to_latex(rows: list[list[str]], below: list[str]) -> str:
    """A tabular for the package booktabs, the note as a comment."""
    cells = [['--' if text == '-' else text for text in row] for row in rows]
    text = tabulate(cells, 'firstrow', 'latex_booktabs', disable_numparse=True)
    notes = [f'% {line}' for line in below]
    return '\n'.join([text.translate(_TEX), *notes, ''])


def _numbers(line: Line) -> list[str]:
    """A line of CSV."""
    row = [*line.labels, str(line.finished)]
    for (values,) in line.cells:
        pair = mean_and_deviation(values) if values else ()
        row += [f'{v:.6g}' for v in pair] or ['', '']
    return row
