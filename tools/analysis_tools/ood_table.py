"""Print the results of finished tests as a table.

Reads every ``metrics.json`` below the given folders. Runs of run_table.py,
``CONFIG/seed_N/ood/metrics.json``, are averaged over seeds; of any other
folder each file counts as a run of one method with the folder's name. With
--table the rows are those of a spec, in its order.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import compress
from pathlib import Path

from experiments.formats import COUNTS, STYLES, Line, render
from experiments.results import by_score, of_score, read_metrics, remarks_of
from experiments.runs import plan
from experiments.spec import Table, load_table

from mmood.ops import NotWrittenError, atomic_write

_MAP_KEYS = {'mAP': 'bbox_mAP', 'mAP50': 'bbox_mAP_50'}
_DETECTION = ('FPR95', 'AUROC', 'AUPR', 'recall', 'flagged')
_SEGMENTATION = ('AP', 'AUROC', 'FPR95', 'Fmax')
_TABLE_1 = ('FPR95', 'AUROC')
# Of OpenSetDetMetric, which stores them as they are printed, not as shares.
_OPEN_SET = ('WI', 'AOSE', 'mAP_K', 'AP_U')
_CLOSED_KEY = 'closed_mAP_K'
_UP = (*_DETECTION, *_SEGMENTATION, 'sIoU', 'PPV', 'F1*', 'mAP_K', 'AP_K')
_UP += ('sIoU_pred', 'F1@25', 'F1@50', 'F1@75', 'TP@25', 'TP@50', 'TP@75')
_UP += ('AP_U', 'P_K', 'P_U', 'R_K', 'R_U', 'matched_AUROC', 'matched_AUPR')
_DOWN = ('FPR95', 'matched_FPR95', 'WI', 'AOSE', 'nOSE', 'AP_K_cost')
_DOWN += tuple(f'{name}@{t}' for name in ('FN', 'FP') for t in (25, 50, 75))
_ARROWS = {**dict.fromkeys(_UP, ' ↑'), **dict.fromkeys(_DOWN, ' ↓')}


@dataclass(frozen=True)
class Method:
    """A name, one of its scores or all (None), and its runs.

    Runs are by the path of ``metrics.json``; None for one that is missing.
    """

    name: str
    score: str | None
    runs: dict[Path, dict[str, float] | None]

    @property
    def finished(self) -> dict[Path, dict[str, float]]:
        return {p: run for p, run in self.runs.items() if run is not None}

    @property
    def scores(self) -> list[str]:
        found = dict.fromkeys(
            s for r in self.finished.values() for s in by_score(r)
        )
        return [self.score] if self.score else list(found) or ['-']


def collect(folders: Sequence[Path]) -> list[Method]:
    """All methods below the folders, each with all of its scores.

    Seeds without a test count as missing. Raises ValueError if a folder has
    no ``metrics.json`` or lies within another.
    """
    places = [folder.resolve() for folder in folders]
    found = []
    for folder in places:
        if sum(folder == p or p in folder.parents for p in places) > 1:
            raise ValueError(f'{folder} lies within another given folder')
        parts = _runs_below(folder)
        if not any(path.is_file() for _, paths in parts for path in paths):
            raise ValueError(
                f'no metrics.json below {folder}: name the --out-dir of a '
                'test, or a folder above'
            )
        found += [(folder, name, paths) for name, paths in parts]
    count = Counter(name for _, name, _ in found)
    return [
        Method(name if count[name] == 1 else f'{f}/{name}', None, _load(paths))
        for f, name, paths in found
    ]


def _runs_below(folder: Path) -> list[tuple[str, list[Path]]]:
    """Names with their ``metrics.json``, those of missing runs too."""
    seeds: dict[Path, list[Path]] = {}
    for path in (folder, *sorted(folder.rglob('seed_*'))):
        if path.is_dir() and path.name[5:].isdigit():
            seeds.setdefault(path.parent, []).append(path)
    found, seen = [], set()
    for config, runs in seeds.items():
        files = [f for run in runs for f in run.glob('ood*/metrics.json')]
        for test in sorted({f.parent.name for f in files}) or ['ood']:
            tag = f' ({test[4:]})' if test[4:] else ''
            paths = [run / test / 'metrics.json' for run in runs]
            found.append((config.name + tag, paths))
            seen.update(paths)
    others = sorted(set(folder.rglob('metrics.json')) - seen)
    return found + ([(folder.name, others)] if others else [])


def collect_table(table: Table, folders: Sequence[Path] = ()) -> list[Method]:
    """The rows of a table, from its own folder or from the given ones.

    With several folders each run is read from the first that has it. Raises
    ValueError if a run was made with other options than the table's.
    """
    tables = [replace(table, out=f) for f in folders] or [table]
    for run in [run for one in tables for run in plan(one)]:
        run.check()
    methods = []
    for row in table.rows:
        paths = []
        for seed in table.seeds_of(row):
            runs = [one.folder(row, seed) for one in tables]
            places = [r / row.test_folder / 'metrics.json' for r in runs]
            there = [path for path in places if path.is_file()]
            paths.append((there or places)[0])
        methods.append(Method(row.name, row.score, _load(paths)))
    return methods


def _load(paths: Sequence[Path]) -> dict[Path, dict | None]:
    return {p: read_metrics(p) if p.is_file() else None for p in paths}


def report(
    methods: Sequence[Method],
    columns: Sequence[str] | None = None,
    style: str = 'github',
    per_set: bool = False,
) -> str:
    """The table: mean and sample deviation over the runs of each method.

    In the layout of DFDD's Table 1 the values of the OOD sets stand in one
    cell, ``near / far``; with ``per_set`` and in CSV each has a line.
    ``columns`` are by default those of that table, with ``per_set`` all of a
    detection test, all of a segmentation test and those of DFDD's Table 3 of
    an open-set test; ``mAP50`` among them takes the ID mAP's place. A nan of
    one run makes the mean nan. Raises ValueError if a run lacks a score or
    column that was asked for, or an OOD set that other runs of its method
    have.
    """
    runs = [run for m in methods for run in m.finished.values()]
    is_open = bool(runs) and all(_CLOSED_KEY in run for run in runs)
    columns = list(columns or _default_columns(runs, per_set))
    id_name = 'mAP50' if 'mAP50' in columns else 'mAP'
    columns = [column for column in columns if column != 'mAP50']
    results = [
        (method, score, _values(method.finished, score, columns, id_name))
        for method in methods
        for score in method.scores
    ]
    sets = list(dict.fromkeys(o for *_, v in results for o, _ in v if o))
    heads = {c: c + _ARROWS.get(c, '') for c in columns}
    is_csv = style == 'csv'
    if any(('', id_name) in values for *_, values in results):
        head = {id_name: f'{"mAP_K" if is_open else id_name} (ID) ↑'}
        heads = {**head, **heads} if is_csv else {**heads, **head}
    one_each = is_csv or any(method.score is None for method in methods)
    shown = [True, one_each, per_set or is_csv]
    parts = [[origin] for origin in sets or ['']] if shown[2] else [sets]
    lines = []
    for method, score, values in results:
        for part in parts:
            labels = compress([method.name, score, *(part or [''])[:1]], shown)
            cells = [
                [
                    values.get((o, c))
                    for o in ([''] if ('', c) in values else part)
                ]
                for c in heads
            ]
            counts = len(method.finished), len(method.runs)
            lines.append(Line(list(labels), cells, *counts))
    names = ['method', 'score', 'ood_set' if is_csv else 'OOD set']
    counted = [column for column in columns if column in COUNTS]
    are = 'a count' if len(counted) == 1 else 'counts'
    unit = f'in %, {", ".join(counted)} {are}' if counted else 'in %'
    after = f'; OOD: {" / ".join(sets)}' if sets and not shown[2] else ''
    remarks = [after, *(text for m in methods for text in _remarks(m))]
    return render(
        list(compress(names, shown)), heads, lines, style, unit, remarks
    )


def _remarks(method: Method) -> list[str]:
    if not method.runs:
        return [f'{method.name}: not run, its seeds leave these out']
    is_detection = any(_MAP_KEYS['mAP'] in r for r in method.finished.values())
    things = 'boxes' if is_detection else 'pixels'
    return remarks_of(method.name, method.score, method.finished, things)


def _default_columns(runs: Sequence[dict], every: bool) -> Sequence[str]:
    if runs and all(_CLOSED_KEY in run for run in runs):
        return _OPEN_SET
    detection = {_MAP_KEYS['mAP'] in run for run in runs}
    if detection == {False}:
        return _SEGMENTATION
    return _DETECTION if every and len(detection) < 2 else _TABLE_1


def _values(
    runs: dict[Path, dict], score: str, columns: Sequence[str], id_name: str
) -> dict[tuple[str, str], list[float]]:
    """By OOD set and column; '' is the ID set, if it alone has the column."""
    parts = {path: of_score(path, run, score) for path, run in runs.items()}
    origins = {o: None for part in parts.values() for o in part if o != 'id'}
    values: dict[tuple[str, str], list[float]] = {}
    for path, part in parts.items():
        for column in columns:
            having = [origin for origin, row in part.items() if column in row]
            for origin in having if having == ['id'] else origins:
                if origin not in having:
                    raise ValueError(
                        f'{path} has no {origin}/{score}/{column}, but '
                        f'{ {o: list(c) for o, c in part.items()} }'
                    )
                place = '' if origin == 'id' else origin
                value = part[origin][column]
                values.setdefault((place, column), []).append(value)
    as_is = bool(runs) and all(_CLOSED_KEY in run for run in runs.values())
    for key in (_MAP_KEYS[id_name], _CLOSED_KEY):
        if runs and all(key in run for run in runs.values()):
            values['', id_name] = [run[key] for run in runs.values()]
    for (_, column), numbers in values.items():
        if not as_is and column not in COUNTS:
            numbers[:] = [100 * number for number in numbers]
    return values


def add_format_arguments(parser: argparse.ArgumentParser) -> None:
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


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument(
        'folders',
        nargs='*',
        type=Path,
        metavar='WORK_DIR',
        help='folders with tests; optional with --table',
    )
    parser.add_argument(
        '--table', type=Path, metavar='SPEC', help='rows, as for run_table.py'
    )
    add_format_arguments(parser)
    parser.add_argument('--out', type=Path, help='file to write instead')
    args = parser.parse_args(argv)
    if not args.folders and not args.table:
        parser.error('nothing to read: give a WORK_DIR or --table')
    try:
        if args.table:
            table = load_table(args.table)
            methods = collect_table(table, args.folders)
            args.columns = args.columns or table.columns
        else:
            methods = collect(args.folders)
        if not any(method.finished for method in methods):
            raise ValueError('no run of the table is finished')
        text = report(methods, args.columns, args.format, args.per_set)
        if not args.out:
            print(text, end='')
            return
        with atomic_write(args.out) as file:
            file.write(text)
    except (ValueError, NotWrittenError) as error:
        parser.error(str(error))


if __name__ == '__main__':
    main()
