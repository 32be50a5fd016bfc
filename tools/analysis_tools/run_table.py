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
from collections.abc import Sequence
from pathlib import Path

from experiments.runs import plan
from experiments.shell import (
    Plan,
    add_options,
    parser_of_runs,
    run_and_print,
    table_of,
)
from ood_table import add_format_arguments, collect_table, report


def parser_of_arguments() -> argparse.ArgumentParser:
    parser = parser_of_runs(__doc__, 'work_dirs/table')
    add_format_arguments(parser)
    add_options(parser, '--test-options', 'for the tests; configs only')
    add = parser.add_argument
    text = 'to train first, per seed; configs only'
    add('--segmentor', type=Path, help=text)
    text = "train on the segmentor's features, extracted once per seed"
    add('--cache', action='store_true', help=text)
    add('--tag', help='name of a test with --test-options')
    return parser


def plan_table(args: argparse.Namespace) -> Plan:
    def more(config: Path) -> dict:
        other = args.segmentor if args.segmentor != config else None
        return dict(
            test_options=args.test_options,
            test_tag=args.tag,
            load_from=other,
            cache=args.cache and other is not None,
        )

    table, is_spec = table_of(args, more=more)
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
    run_and_print(parser_of_arguments(), argv, plan_table)


if __name__ == '__main__':
    main()
