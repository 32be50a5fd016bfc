"""Train and test the rows of a table over seeds, print mean and deviation.

Unattended and resumable: each run has its folder ``OUT/CONFIG/seed_N``; a
finished one (its ``ood/metrics.json`` exists) is only read, an interrupted
training goes on from its last checkpoint. All rows run with the first seed,
then with the next; ood_table.py prints what is there so far. Output of the
runs goes to ``run.log`` in their folders.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from experiments.runs import plan
from experiments.shell import Plan, parser_of_runs, run_and_print
from experiments.spec import Table
from ood_table import add_format_arguments, collect_table, report


def plan_table(table: Table, args: argparse.Namespace) -> Plan:
    columns = args.columns or table.columns

    def printed() -> str:
        methods = collect_table(table)
        return report(methods, columns, args.format, args.per_set)

    return plan(table), printed


def main(argv: Sequence[str] | None = None) -> None:
    parser = parser_of_runs(__doc__)
    add_format_arguments(parser)
    run_and_print(parser, argv, plan_table)


if __name__ == '__main__':
    main()
