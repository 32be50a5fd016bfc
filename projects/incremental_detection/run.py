"""Train and test all steps of incremental detection, print the forgetting.

One command for one or several configs, over seeds. Unattended and resumable:
each stage has its folder ``OUT/CONFIG/seed_N/STAGE``; a finished one (its
``metrics.json`` exists) is only read, an interrupted training goes on from
its last checkpoint. ``STAGE.py`` beside the folder is its complete config:
train.py and test.py take it, to train or test one stage by hand. Output goes
to ``run.log`` in ``seed_N``.

Call it from the repository's root.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from building import check_stages
from jobs import Job, carry_out, check, jobs_of
from results import Line, columns_of, render
from table_parts import (
    SEEDS,
    STYLES,
    Row,
    Table,
    is_spec,
    load_table,
    read,
    run_all,
)

from mmood.launch import OptionsAction
from mmood.ops import FolderInUseError

_PLAIN_OUT = Path('work_dirs/incremental')
_ROW_KEYS = ('name', 'config', 'cfg_options', 'tag')


def parser_of_arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument(
        'configs', nargs='+', type=Path, help='one spec, or plain configs'
    )
    parser.add_argument('--seeds', nargs='+', type=int, help='default 0 1 2')
    parser.add_argument(
        '--out', type=Path, help=f"folder, default the spec's or {_PLAIN_OUT}"
    )
    parser.add_argument(
        '--stages', nargs='+', help='names such as step_1; default all'
    )
    parser.add_argument('--jobs', type=int, help='runs at a time, default 1')
    parser.add_argument(
        '--gpus',
        nargs='+',
        default=[],
        help='one job on each, such as 0 1; with --launch 2: 0,1 2,3',
    )
    parser.add_argument(
        '--launch', type=int, default=1, help='processes of a run, by torchrun'
    )
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=OptionsAction,
        default={},
        help='for all stages of all runs',
    )
    parser.add_argument('--format', default='github', choices=list(STYLES))
    parser.add_argument(
        '--per-class', action='store_true', help='AP50 of each class instead'
    )
    parser.add_argument(
        '--every-stage',
        action='store_true',
        help='a line for each stage, not for the last alone',
    )
    return parser


def table_of(args: argparse.Namespace) -> Table:
    """Rows, seeds and folder, from a spec or from plain configs."""
    specs = [path for path in args.configs if is_spec(read(path))]
    if not specs:
        rows = [
            Row(path.stem, path, cfg_options=args.cfg_options)
            for path in args.configs
        ]
        return Table(args.out or _PLAIN_OUT, args.seeds or SEEDS, rows)
    if len(args.configs) > 1:
        raise ValueError(f'{specs[0]} is a spec: give it alone')
    rows = read(specs[0]).get('rows')
    for row in rows if isinstance(rows, list) else []:
        is_row = isinstance(row, dict)  # what else there is, load_table says
        other = [key for key in row if key not in _ROW_KEYS] if is_row else []
        if other:
            raise ValueError(
                f'spec {specs[0]}: rows have {list(_ROW_KEYS)} here, not '
                f'{other}'
            )
    return load_table(specs[0], args.out, args.seeds, args.cfg_options)


def lines_of(jobs: Sequence[Job], every_stage: bool) -> list[Line]:
    """A line per method, with its wanted stages or the last of them."""
    by_row: dict[str, list[Job]] = {}
    for job in jobs:
        by_row.setdefault(job.row.name, []).append(job)
    lines = []
    for name, same in by_row.items():
        runs = [job.read() for job in same]
        stages = same[0].stages if every_stage else same[0].stages[-1:]
        lines += [Line(name, stage.name, runs) for stage in stages]
    return lines


def classes_of(jobs: Sequence[Job]) -> list[str]:
    """The classes of all splits, each once."""
    return list(dict.fromkeys(c for job in jobs for c in job.plan.classes))


def main(argv: Sequence[str] | None = None) -> None:
    parser = parser_of_arguments()
    args = parser.parse_args(argv)
    if args.jobs is not None and (args.gpus or args.jobs < 1):
        parser.error('--jobs is 1 or more, and not for --gpus: one job each')
    if args.launch < 1:
        parser.error('--launch is a number of processes, 1 or more')
    try:
        table = table_of(args)
        jobs = jobs_of(table, args.stages, args.launch)
        # What is there must fit before hours go into the rest.
        for job in jobs:
            check(job)
        unfinished = [job for job in jobs if not job.finished]
        for job in {job.row.folder: job for job in unfinished}.values():
            check_stages(job)
        number = args.jobs or 1
        failed = run_all(jobs, carry_out, table.out, number, args.gpus)
        columns = columns_of(classes_of(jobs) if args.per_class else None)
        lines = lines_of(jobs, args.every_stage)
    except (ValueError, OSError, FolderInUseError) as error:
        parser.error(str(error))
    except KeyboardInterrupt:
        print('stopped; called again it goes on from here', file=sys.stderr)
        sys.exit(130)
    text = render(lines, columns, args.format, args.every_stage)
    print(text, end='', flush=True)
    if failed:
        names = '; '.join(job.name for job in failed)
        sys.exit(f'failed: {names}. Called again, finished runs are kept')


if __name__ == '__main__':
    main()
