"""Lines of means and deviations as Markdown, LaTeX, tabs or CSV."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

# All other measures are shares, printed in %.
COUNTS = (
    'AOSE',
    *(f'{name}@{t}' for t in (25, 50, 75) for name in ('TP', 'FN', 'FP')),
)
_TEX = {
    **{character: f'\\{character}' for character in '&%$#_{}'},
    '\\': r'\textbackslash{}',
    '~': r'\textasciitilde{}',
    '^': r'\textasciicircum{}',
    '<': r'\textless{}',
    '>': r'\textgreater{}',
    '|': r'\textbar{}',
    '±': r'$\pm$',
    '↑': r'$\uparrow$',
    '↓': r'$\downarrow$',
}


class Spread(NamedTuple):
    """Mean and sample deviation in %, of counts as such; nan: of one run."""

    mean: float
    deviation: float


def spread(values: Sequence[float], scale: float = 100) -> Spread:
    """Shares to mean and sample deviation in %; one value has none."""
    numbers = scale * np.asarray(values, dtype=float)
    deviation = numbers.std(ddof=1) if len(numbers) > 1 else float('nan')
    return Spread(float(numbers.mean()), float(deviation))


@dataclass(frozen=True)
class Line:
    """A method: labels, and a cell of one or more spreads for each column.

    Of its ``wanted`` runs so many are ``finished``; None is no value.
    """

    labels: Sequence[str]
    cells: Sequence[Sequence[Spread | None]]
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

    Args:
        labels: headers of the lines' labels.
        columns: headers of the cells, by what they are called in CSV.
        unit: what the values are, to which the number of seeds is added.
        remarks: what follows, the first in the same line.
    """
    if style == 'csv':
        return to_csv(labels, list(columns), lines)
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
    return STYLES[style](headers, rows, unit + '\n'.join(remarks))


def cell(spreads: Sequence[Spread | None], is_count: bool = False) -> str:
    """``mean ± deviation`` with one digit of each; - where there is none.

    A count of one run is a whole number.
    """
    texts = [_number(spread, 0 if is_count else 1) for spread in spreads]
    return ' / '.join(texts) if any(spreads) else '-'


def _number(spread: Spread | None, digits: int) -> str:
    if spread is None:
        return '-'
    if math.isnan(spread.mean) or math.isnan(spread.deviation):
        return f'{spread.mean:.{digits}f}'
    return f'{spread.mean:.1f} ± {spread.deviation:.1f}'


def to_markdown(headers: list[str], rows: list[list[str]], below: str) -> str:
    lines = [[c.replace('|', '\\|') for c in row] for row in (headers, *rows)]
    widths = [max(map(len, column)) for column in zip(*lines)]
    text = [
        '| ' + ' | '.join(c.ljust(w) for c, w in zip(row, widths)) + ' |'
        for row in lines
    ]
    text.insert(1, '|' + '|'.join('-' * (w + 2) for w in widths) + '|')
    return '\n'.join([*text, '', below.replace('\n', '\n\n'), ''])


def to_tsv(headers: list[str], rows: list[list[str]], below: str) -> str:
    lines = ['\t'.join(row) for row in (headers, *rows)]
    return '\n'.join([*lines, below, ''])


def to_latex(headers: list[str], rows: list[list[str]], below: str) -> str:
    """A tabular for the package booktabs, the note as a comment."""
    head, *body = [
        ' & '.join(escape_tex(text) for text in row) + r' \\'
        for row in (headers, *rows)
    ]
    left = sum(h in ('method', 'stage', 'score', 'OOD set') for h in headers)
    align = 'l' * left + 'c' * (len(headers) - left)
    lines = [f'\\begin{{tabular}}{{{align}}}', r'\toprule', head, r'\midrule']
    notes = [f'% {line}'.rstrip() for line in below.split('\n')]
    lines += [*body, r'\bottomrule', r'\end{tabular}', *notes, '']
    return '\n'.join(lines)


def escape_tex(text: str) -> str:
    """Text with LaTeX's special characters escaped; - alone is a dash."""
    return '--' if text == '-' else text.translate(str.maketrans(_TEX))


def to_csv(
    labels: Sequence[str], columns: Sequence[str], lines: Sequence[Line]
) -> str:
    """Mean and deviation apart, six digits; empty where there is none.

    Cells must hold one spread each. ``seeds`` are those finished.
    """
    file = io.StringIO()
    writer = csv.writer(file, lineterminator='\n')
    parts = [f'{c}_{part}' for c in columns for part in ('mean', 'std')]
    writer.writerow([*labels, 'seeds', *parts])
    for line in lines:
        row = [*line.labels, line.finished]
        for (found,) in line.cells:
            row += [f'{v:.6g}' for v in found] if found else ['', '']
        writer.writerow(row)
    return file.getvalue()


STYLES = {
    'github': to_markdown,
    'latex': to_latex,
    'tsv': to_tsv,
    'csv': to_csv,
}
