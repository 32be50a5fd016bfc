"""Train and test the rows of a table over seeds, print mean and deviation.

Unattended and resumable: each run has its folder ``OUT/CONFIG/seed_N``; a
finished one (its ``ood/metrics.json`` exists) is only read, an interrupted
training goes on from its last checkpoint. All rows run with the first seed,
then with the next; ood_table.py prints what is there so far. Output of the
runs goes to ``run.log`` in their folders.

Rows come from a spec (see table_spec.py), or are plain configs. Those that
need a trained segmentor (``configs/dood``) get it from --segmentor, one per
seed. With --tag the trained checkpoints are tested once more, with other
--test-options.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from ood_table import (
    aggregate,
    check_score,
    collect_table,
    read_metrics,
)
from table_formats import add_format_arguments, render
from table_jobs import run_all
from table_runs import Execute, Run, carry_out, plan
from table_spec import SEEDS, Row, Table, is_spec, load_table, read

from mmood.launch import OptionsAction
from mmood.ops import FolderInUseError, NotWrittenError

_PLAIN_OUT = Path('work_dirs/table')


def parser_of_arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument(
        'configs', nargs='+', type=Path, help='one spec, or plain configs'
    )
    parser.add_argument('--seeds', nargs='+', type=int, help='default 0 1 2')
    parser.add_argument(
        '--out', type=Path, help=f"folder, default the spec's or {_PLAIN_OUT}"
    )
    parser.add_argument('--jobs', type=int, help='runs at a time, default 1')
    parser.add_argument(
        '--gpus', nargs='+', default=[], help='one job on each, such as 0 1'
    )
    add_format_arguments(parser)
    for name, text in (
        ('--cfg-options', 'for all the runs'),
        ('--test-options', 'for the tests alone; configs only'),
    ):
        parser.add_argument(
            name, nargs='+', action=OptionsAction, default={}, help=text
        )
    parser.add_argument(
        '--segmentor', type=Path, help='to train first, per seed; configs only'
    )
    parser.add_argument(
        '--cache',
        action='store_true',
        help="train on the segmentor's features, extracted once per seed",
    )
    parser.add_argument('--tag', help='name of a test with --test-options')
    return parser


def table_of(args: argparse.Namespace) -> tuple[Table, bool]:
    """The table, and whether it is one of plain configs."""
    specs = [path for path in args.configs if is_spec(read(path))]
    if not specs:
        return plain_table(args), True
    if len(args.configs) > 1:
        raise ValueError(f'{specs[0]} is a spec: give it alone')
    if args.segmentor or args.cache or args.tag or args.test_options:
        raise ValueError(
            '--segmentor, --cache, --tag and --test-options belong to plain '
            'configs: write them into the rows of the spec, with test_tag '
            'for --tag'
        )
    own = (args.out, args.seeds, args.cfg_options)
    return load_table(specs[0], *own), False


def plain_table(args: argparse.Namespace) -> Table:
    """Configs as rows, with all their scores."""
    rows = []
    for config in args.configs:
        other = args.segmentor if args.segmentor != config else None
        rows.append(
            Row(
                config.stem,
                config,
                cfg_options=args.cfg_options,
                test_options=args.test_options,
                test_tag=args.tag,
                load_from=other,
                cache=args.cache and other is not None,
            )
        )
    return Table(args.out or _PLAIN_OUT, args.seeds or SEEDS, rows)


def run_table(table: Table, jobs: int, gpus: Sequence[str]) -> list[Run]:
    """Run what is not finished; the runs that failed.

    Raises FolderInUseError if another process does so already.
    """

    def work(run: Run, execute: Execute) -> None:
        carry_out(run, execute)
        for row in table.rows:
            tested = run.tests.get(row.test_folder)
            if row.score and tested and row.folder == run.row.folder:
                path = run.metrics(row.test_folder)
                check_score(read_metrics(path), row.score, path)

    return run_all(plan(table), work, table.out, jobs, gpus)


def main(argv: Sequence[str] | None = None) -> None:
    parser = parser_of_arguments()
    args = parser.parse_args(argv)
    if args.jobs is not None and (args.gpus or args.jobs < 1):
        parser.error('--jobs is 1 or more, and not for --gpus: one job each')
    try:
        table, plain = table_of(args)
        per_set = args.per_set or plain
        columns = args.columns or table.columns
        # What is there must fit before hours go into the rest.
        aggregate(collect_table(table), columns, per_set)
        failed = run_table(table, args.jobs or 1, args.gpus)
        summary = aggregate(collect_table(table), columns, per_set)
    except (ValueError, FolderInUseError, NotWrittenError) as error:
        parser.error(str(error))
    except KeyboardInterrupt:
        print('stopped; called again it goes on from here', file=sys.stderr)
        sys.exit(130)
    print(render(summary, args.format, per_set), end='', flush=True)
    if failed:
        names = '; '.join(run.name for run in failed)
        sys.exit(f'failed: {names}. Called again, finished runs are kept')


if __name__ == '__main__':
    main()
