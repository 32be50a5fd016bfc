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
from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path

from experiments.runs import Run, plan
from experiments.shell import parser_of_runs, run_and_print, table_of
from experiments.spec import Row
from ood_table import add_format_arguments, collect_table, report

from mmood.launch import OptionsAction


def parser_of_arguments() -> argparse.ArgumentParser:
    parser = parser_of_runs(__doc__, 'work_dirs/table')
    add_format_arguments(parser)
    parser.add_argument(
        '--test-options',
        nargs='+',
        action=OptionsAction,
        default={},
        help='for the tests alone; configs only',
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


def plan_table(
    args: argparse.Namespace,
) -> tuple[Path, list[Run], Callable[[], str]]:
    """The folder, the runs, and what prints the table."""

    def row_of(config: Path) -> Row:
        """A config with all its scores."""
        other = args.segmentor if args.segmentor != config else None
        return Row(
            config.stem,
            config,
            cfg_options=args.cfg_options,
            test_options=args.test_options,
            test_tag=args.tag,
            load_from=other,
            cache=args.cache and other is not None,
        )

    keys = [field.name for field in fields(Row)]
    table, is_spec = table_of(args, row_of, keys)
    if is_spec and (
        args.segmentor or args.cache or args.tag or args.test_options
    ):
        raise ValueError(
            '--segmentor, --cache, --tag and --test-options belong to plain '
            'configs: write them into the rows of the spec, with test_tag '
            'for --tag'
        )
    columns, per_set = (
        args.columns or table.columns,
        args.per_set or not is_spec,
    )

    def printed() -> str:
        methods = collect_table(table)
        return report(methods, columns, args.format, per_set)

    return table.out, plan(table), printed


def main(argv: Sequence[str] | None = None) -> None:
    parser = parser_of_arguments()
    args = parser.parse_args(argv)
    run_and_print(parser, args, lambda: plan_table(args))


if __name__ == '__main__':
    main()
