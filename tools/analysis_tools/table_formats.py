"""A summary of methods as text: Markdown, LaTeX, tabs or CSV.

Two layouts. That of DFDD's Table 1: one line per method, the values of the
OOD sets in one cell, ``near / far``. Per set: one line per method and set.
"""

from __future__ import annotations

import argparse
import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

MAP = 'mAP (ID)'
MAP_50 = 'mAP50 (ID)'
MAP_K = 'mAP_K (ID)'  # AP50, of open-set tests
_ARROWS = {
    **dict.fromkeys((MAP, MAP_50, 'AUROC', 'AUPR', 'AP', 'Fmax'), '↑'),
    **dict.fromkeys(('recall', 'flagged', 'sIoU', 'PPV', 'F1*'), '↑'),
    **dict.fromkeys((MAP_K, 'mAP_K', 'AP_U', 'P_U', 'R_U'), '↑'),
    **dict.fromkeys(('AP_K', 'P_K', 'R_K'), '↑'),
    **dict.fromkeys(('matched_AUROC', 'matched_AUPR'), '↑'),
    **dict.fromkeys(('FPR95', 'matched_FPR95', 'WI', 'AOSE', 'nOSE'), '↓'),
    'AP_K_cost': '↓',
}
COUNTS = ('AOSE',)  # all other measures are shares, printed in %
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
    """Mean and sample deviation in %, of counts as such.

    nan deviation: of one run.
    """

    mean: float
    deviation: float


def spread(values: Sequence[float], scale: float = 100) -> Spread:
    """Shares to mean and sample deviation in %; one value has none."""
    numbers = scale * np.asarray(values, dtype=float)
    deviation = numbers.std(ddof=1) if len(numbers) > 1 else float('nan')
    return Spread(float(numbers.mean()), float(deviation))


@dataclass(frozen=True)
class Line:
    """A method's score over its runs.

    ``values`` are by (OOD set, column), the ID mAP by ``('', MAP)``, other
    measures of the ID set by ``('', column)``; what no run has is not in it.
    """

    method: str
    score: str
    finished: int
    wanted: int
    values: dict[tuple[str, str], Spread]

    def find(self, origin: str, column: str) -> Spread | None:
        """On an OOD set, or on the ID set if the column is of it."""
        return self.values.get((origin, column), self.values.get(('', column)))


@dataclass(frozen=True)
class Summary:
    """Lines, with the order of OOD sets and columns.

    ``all_scores``: some method has a line per score, so they are named.
    ``id_column``: what the ID mAP is called.
    ``remarks``: sentences that stand under the table.
    """

    lines: list[Line]
    sets: list[str]
    columns: list[str]
    all_scores: bool
    id_column: str = MAP
    remarks: Sequence[str] = ()

    @property
    def is_detection(self) -> bool:
        return any(('', MAP) in line.values for line in self.lines)

    @property
    def is_even(self) -> bool:
        """Whether all lines have all of the same number of runs."""
        return len({n for s in self.lines for n in (s.finished, s.wanted)}) < 2


def render(summary: Summary, style: str, per_set: bool = False) -> str:
    """The table in a style of `STYLES`, ending with a line break."""
    if style == 'csv':
        return to_csv(summary)
    headers, rows = cells(summary, per_set)
    below = [note(summary, per_set), *summary.remarks]
    return STYLES[style](headers, rows, '\n'.join(below))


def cells(
    summary: Summary, per_set: bool = False
) -> tuple[list[str], list[list[str]]]:
    """Headers, and the rows' text."""
    names = ['method'] + ['score'] * summary.all_scores
    headers = [*names, *['OOD set'] * per_set, *summary.columns]
    headers += [summary.id_column] * summary.is_detection
    headers += ['seeds'] * (not summary.is_even)
    sets = summary.sets or ['-']
    rows = []
    for line in summary.lines:
        for part in [[name] for name in sets] if per_set else [sets]:
            row = [line.method, line.score][: len(names)] + part * per_set
            for column in summary.columns:
                places = [''] if ('', column) in line.values else part
                found = [line.find(name, column) for name in places]
                texts = [cell(spread, column in COUNTS) for spread in found]
                row.append(' / '.join(texts) if any(found) else '-')
            if summary.is_detection:
                row.append(cell(line.values.get(('', MAP))))
            if not summary.is_even:
                row.append(f'{line.finished}/{line.wanted}')
            rows.append(row)
    return [f'{h} {_ARROWS.get(h, "")}'.rstrip() for h in headers], rows


def cell(spread: Spread | None, is_count: bool = False) -> str:
    """``mean ± deviation`` with one digit, nan if a run's is, - for none.

    A count of one run is a whole number.
    """
    if spread is None:
        return '-'
    if math.isnan(spread.mean):
        return 'nan'
    if math.isnan(spread.deviation):
        return f'{spread.mean:.{0 if is_count else 1}f}'
    return f'{spread.mean:.1f} ± {spread.deviation:.1f}'


def note(summary: Summary, per_set: bool = False) -> str:
    """What the values are, over how many seeds, and of which OOD sets."""
    most = max((line.finished for line in summary.lines), default=0)
    text = 'in %, AOSE a count' if 'AOSE' in summary.columns else 'in %'
    if most > 1:
        text += ', mean ± sample deviation over '
        text += f'{most} seeds' if summary.is_even else 'the seeds'
    elif most == 1:
        text += ', one seed'
    if summary.sets and not per_set:
        text += f'; OOD: {" / ".join(summary.sets)}'
    return text


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
    left = sum(h in ('method', 'score', 'OOD set') for h in headers)
    align = 'l' * left + 'c' * (len(headers) - left)
    lines = [f'\\begin{{tabular}}{{{align}}}', r'\toprule', head, r'\midrule']
    notes = [f'% {line}'.rstrip() for line in below.split('\n')]
    lines += [*body, r'\bottomrule', r'\end{tabular}', *notes, '']
    return '\n'.join(lines)


def escape_tex(text: str) -> str:
    """Text with LaTeX's special characters escaped; - alone is a dash."""
    return '--' if text == '-' else text.translate(str.maketrans(_TEX))


def to_csv(summary: Summary) -> str:
    """A row per method, score and OOD set; mean and deviation apart.

    Values in %, six digits, nan where a run's is; empty where there is none;
    AOSE is a count. What is of the ID set is repeated for each set.
    ``seeds`` are those finished.
    """
    columns = [MAP] * summary.is_detection + summary.columns
    id_stem = 'mAP50' if summary.id_column == MAP_50 else 'mAP'
    stems = [id_stem if column == MAP else column for column in columns]
    headers = ['method', 'score', 'ood_set', 'seeds']
    headers += [f'{s}_{part}' for s in stems for part in ('mean', 'std')]
    file = io.StringIO()
    writer = csv.writer(file, lineterminator='\n')
    writer.writerow(headers)
    for line in summary.lines:
        for name in summary.sets or ['']:
            row = [line.method, line.score, name, line.finished]
            for column in columns:
                found = line.find(name, column)
                row += [f'{v:.6g}' for v in found] if found else ['', '']
            writer.writerow(row)
    return file.getvalue()


STYLES = {
    'github': to_markdown,
    'latex': to_latex,
    'tsv': to_tsv,
    'csv': to_csv,
}


def add_format_arguments(parser: argparse.ArgumentParser) -> None:
    """What all tools that print a table have."""
    parser.add_argument('--format', default='github', choices=list(STYLES))
    parser.add_argument(
        '--columns',
        nargs='+',
        help='such as FPR95 AUROC AUPR recall flagged; where the test has '
        'them, AP_U nOSE AOSE WI AP_K AP_K_cost matched_AUROC',
    )
    parser.add_argument(
        '--per-set', action='store_true', help='a line for each OOD set'
    )
