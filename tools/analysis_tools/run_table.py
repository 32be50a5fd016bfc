"""Train and test the rows of a table over seeds, print mean and deviation.

Unattended and resumable: each run has its folder ``OUT/CONFIG/seed_N``; a
finished one (its ``ood/metrics.json`` exists) is only read, an interrupted
training goes on from its last checkpoint. All rows run with the first seed,
then with the next; ood_table.py prints what is there so far. Output of the
runs goes to ``run.log`` in their folders.

Rows come from a spec (see experiments/spec.py), or are plain configs. Those
that need a trained segmentor (``configs/dood``) get it from --segmentor, one
per seed. With --tag the trained checkpoints are tested once more, with other
--test-options.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

from experiments.runs import Run, plan
from experiments.shell import (
    add_options,
    parser_of_runs,
    run_and_print,
    table_of,
)
from experiments.spec import Row
from ood_table import add_format_arguments, collect_table, report


def parser_of_arguments() -> argparse.ArgumentParser:
    parser = parser_of_runs(__doc__, 'work_dirs/table')
    add_format_arguments(parser)
    add_options(parser, '--test-options', 'for the tests; configs only')
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


def row_of(config: Path, args: argparse.Namespace) -> Row:
    """A plain config with all its scores."""
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


def plan_table(
    args: argparse.Namespace,
) -> tuple[Path, list[Run], Callable[[], str]]:
    """The folder, the runs, and what prints the table."""
    table, is_spec = table_of(args, row_of)
    own = (args.segmentor, args.cache, args.tag, args.test_options)
    if is_spec and any(own):
        raise ValueError(
            '--segmentor, --cache, --tag and --test-options belong to plain '
            'configs: write them into the rows of the spec, with test_tag '
            'for --tag'
        )
    columns = args.columns or table.columns
    style = (args.format, args.per_set or not is_spec)

    def printed() -> str:
        return report(collect_table(table), columns, *style)

    return table.out, plan(table), printed


def main(argv: Sequence[str] | None = None) -> None:
    parser = parser_of_arguments()
    args = parser.parse_args(argv)
    run_and_print(parser, args, lambda: plan_table(args))


if __name__ == '__main__':
    main()
