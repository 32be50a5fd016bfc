"""Print the results of finished tests as a table.

Reads every ``metrics.json`` below the given folders. Runs of run_table.py,
``CONFIG/seed_N/ood/metrics.json``, are averaged over seeds; of any other
folder each file counts as a run of one method with the folder's name. With
--table the rows are those of a spec, in its order.
"""

from __future__ import annotations

import argparse
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from table_formats import (
    COUNTS,
    MAP,
    MAP_50,
    MAP_K,
    Line,
    Spread,
    Summary,
    add_format_arguments,
    render,
    spread,
)
from table_remarks import remarks_of
from table_runs import check_options, plan
from table_spec import Table, load_table

from mmood.ops import NotWrittenError, atomic_write, read_json
from mmood.ops.coco_records import shorten

_MAP_KEY = 'bbox_mAP'
_MAP_50_KEY = 'bbox_mAP_50'
_DETECTION = ('FPR95', 'AUROC', 'AUPR', 'recall', 'flagged')
_SEGMENTATION = ('AP', 'AUROC', 'FPR95', 'Fmax')
_TABLE_1 = ('FPR95', 'AUROC')
# Of OpenSetDetMetric, which stores them as they are printed, not as shares.
_OPEN_SET = ('WI', 'AOSE', 'mAP_K', 'AP_U')
_CLOSED_KEY = 'closed_mAP_K'


@dataclass(frozen=True)
class Method:
    """A name, one of its scores or all (None), and its runs.

    Runs are by the path of ``metrics.json``; None for one that is missing.
    """

    name: str
    score: str | None
    runs: dict[Path, dict[str, float] | None]


def read_metrics(path: Path) -> dict[str, float]:
    """A ``metrics.json``; ValueError with its name if it is broken.

    What is null in it is nan.
    """
    try:
        metrics = read_json(path)
    except ValueError as error:
        raise ValueError(f'{error}: delete it and test again') from error
    values = metrics.values() if isinstance(metrics, dict) else [metrics]
    wrong = [value for value in values if not _is_measure(value)]
    if wrong:
        raise ValueError(
            f'{path} must hold a dict of numbers, got {shorten(wrong[0])}: '
            'delete it and test again'
        )
    return {k: math.nan if v is None else v for k, v in metrics.items()}


def _is_measure(value: object) -> bool:
    is_small = type(value) is int and abs(value) < 2**63
    return value is None or isinstance(value, float) or is_small


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
    for one in tables:
        check_options(plan(one))
    methods = []
    for row in table.rows:
        paths = []
        for seed in table.seeds_of(row):
            run = Path(row.folder, f'seed_{seed}', row.test_folder)
            places = [one.out / run / 'metrics.json' for one in tables]
            there = [path for path in places if path.is_file()]
            paths.append((there or places)[0])
        methods.append(Method(row.name, row.score, _load(paths)))
    return methods


def _load(paths: Sequence[Path]) -> dict[Path, dict | None]:
    return {p: read_metrics(p) if p.is_file() else None for p in paths}


def by_score(metrics: dict[str, float]) -> dict[str, dict[str, dict]]:
    """``<set>/<score>/<column>`` keys as nested dicts, score first."""
    scores: dict[str, dict[str, dict]] = {}
    for key, value in metrics.items():
        if key.count('/') == 2:
            origin, score, column = key.split('/')
            parts = scores.setdefault(score, {})
            parts.setdefault(origin, {})[column] = value
    return scores


def check_score(metrics: dict[str, float], score: str, path: Path) -> None:
    """Raise ValueError if a test does not have the score."""
    names = list(by_score(metrics))
    if not names:
        raise ValueError(
            f'{path} has no measures of a score: it is of a test without a '
            'metric of mmood; leave it out'
        )
    if score not in names:
        raise ValueError(f'{path} has no score {score!r}, but {names}')


def aggregate(
    methods: Sequence[Method],
    columns: Sequence[str] | None = None,
    every: bool = False,
) -> Summary:
    """Mean and sample deviation over the runs of each method.

    ``columns`` are by default those of DFDD's Table 1, with ``every`` all of
    a detection test, all of a segmentation test and those of DFDD's Table 3
    of an open-set test; ``mAP50`` among them takes the ID mAP's place. A nan
    of one run makes the mean nan. Raises
    ValueError if a run lacks a score or column that was asked for, or an OOD
    set that other runs of its method have.
    """
    columns = list(columns or _default_columns(methods, every))
    of_50 = 'mAP50' in columns
    columns = [column for column in columns if column != 'mAP50']
    id_key = _MAP_50_KEY if of_50 else _MAP_KEY
    sets: dict[str, None] = {}
    lines, said = [], []
    for method in methods:
        runs = {p: run for p, run in method.runs.items() if run is not None}
        names = {name: None for run in runs.values() for name in by_score(run)}
        for score in [method.score] if method.score else names or ['-']:
            values = _spreads(runs, score, columns, id_key) if runs else {}
            sets.update({origin: None for origin, _ in values if origin})
            numbers = (len(runs), len(method.runs))
            lines.append(Line(method.name, score, *numbers, values))
        parts = {path: by_score(run) for path, run in runs.items()}
        is_detection = any(_MAP_KEY in run for run in runs.values())
        things = 'boxes' if is_detection else 'pixels'
        said += remarks_of(method.name, method.score, parts, things)
    all_scores = any(method.score is None for method in methods)
    id_column = MAP_50 if of_50 else MAP
    runs = [run for m in methods for run in m.runs.values() if run is not None]
    if runs and all(_CLOSED_KEY in run for run in runs):
        id_column = MAP_K
    return Summary(lines, list(sets), columns, all_scores, id_column, said)


def _default_columns(methods: Sequence[Method], every: bool) -> Sequence[str]:
    runs = [run for m in methods for run in m.runs.values() if run is not None]
    if runs and all(_CLOSED_KEY in run for run in runs):
        return _OPEN_SET
    detection = {_MAP_KEY in run for run in runs}
    if detection == {False}:
        return _SEGMENTATION
    return _DETECTION if every and len(detection) < 2 else _TABLE_1


def _spreads(
    runs: dict[Path, dict], score: str, columns: Sequence[str], id_key: str
) -> dict[tuple[str, str], Spread]:
    for path, run in runs.items():
        check_score(run, score, path)
    parts = {path: by_score(run)[score] for path, run in runs.items()}
    origins = {o: None for part in parts.values() for o in part if o != 'id'}
    values: dict[tuple[str, str], list[float]] = {}
    for path, part in parts.items():
        for column in columns:
            for origin in _places(part, origins, column):
                if column not in part.get(origin, {}):
                    raise ValueError(
                        f'{path} has no {origin}/{score}/{column}, but '
                        f'{ {o: list(c) for o, c in part.items()} }'
                    )
                place = '' if origin == 'id' else origin
                value = part[origin][column]
                values.setdefault((place, column), []).append(value)
    for key in (id_key, _CLOSED_KEY):
        if all(key in run for run in runs.values()):
            values['', MAP] = [run[key] for run in runs.values()]
    as_is = all(_CLOSED_KEY in run for run in runs.values())
    return {
        (place, column): spread(
            numbers, 1 if as_is or column in COUNTS else 100
        )
        for (place, column), numbers in values.items()
    }


def _places(
    part: Mapping[str, dict], origins: Iterable[str], column: str
) -> Iterable[str]:
    """The sets that a column is of: the ID set if it alone has it."""
    having = [origin for origin, row in part.items() if column in row]
    return having if having == ['id'] else origins


def parse_args(
    argv: Sequence[str] | None,
) -> tuple[argparse.Namespace, argparse.ArgumentParser]:
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
    return parser.parse_args(argv), parser


def main(argv: Sequence[str] | None = None) -> None:
    args, parser = parse_args(argv)
    if not args.folders and not args.table:
        parser.error('nothing to read: give a WORK_DIR or --table')
    try:
        if args.table:
            table = load_table(args.table)
            methods = collect_table(table, args.folders)
            args.columns = args.columns or table.columns
        else:
            methods = collect(args.folders)
        if not any(run for m in methods for run in m.runs.values()):
            raise ValueError('no run of the table is finished')
        summary = aggregate(methods, args.columns, args.per_set)
    except ValueError as error:
        parser.error(str(error))
    text = render(summary, args.format, args.per_set)
    if args.out:
        try:
            with atomic_write(args.out) as file:
                file.write(text)
        except NotWrittenError as error:
            parser.error(str(error))
    else:
        print(text, end='')


if __name__ == '__main__':
    main()
