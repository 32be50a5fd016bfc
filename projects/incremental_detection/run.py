"""Train and test all steps of incremental detection, print the forgetting.

One command for the rows of a spec, over seeds. Unattended and resumable: each
stage has its folder ``OUT/CONFIG/seed_N/STAGE``; a finished one (its
``metrics.json`` exists) is only read, an interrupted training goes on from
its last checkpoint. ``STAGE.py`` beside the folder is its complete config:
train.py and test.py take it, to train or test one stage by hand. Output goes
to ``run.log`` in the folder.

Call it from the repository's root.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.append(
    str(Path(__file__).resolve().parents[2] / 'tools/analysis_tools')
)

from experiments.formats import STYLES
from experiments.shell import Plan, parser_of_runs, run_and_print
from experiments.spec import Table
from results import columns_of, report
from trainings import Training, plan_trainings, prepare

_ROW_KEYS = ('name', 'config', 'cfg_options', 'tag')


def parser_of_arguments() -> argparse.ArgumentParser:
    parser = parser_of_runs(__doc__)
    add = parser.add_argument
    add('--format', default='github', choices=list(STYLES))
    add('--stages', nargs='+', help='names such as step_1; default all')
    add('--per-class', action='store_true', help='AP50 of each class instead')
    text = 'processes of a run, by torchrun; with --gpus 0,1 2,3 two each'
    add('--launch', type=int, default=1, help=text)
    text = 'a line for each stage, not for the last alone'
    add('--every-stage', action='store_true', help=text)
    return parser


def plan_table(table: Table, args: argparse.Namespace) -> Plan:
    """The stages of all runs, and what prints the table."""
    if args.launch < 1:
        raise ValueError('--launch is a number of processes, 1 or more')
    methods = [prepare(row, args.stages) for row in table.rows]
    trainings = plan_trainings(table, methods, args.launch)
    check(trainings)
    classes = dict.fromkeys(c for m in methods for c in m.plan.classes)
    first = 0 if args.every_stage else -1
    shown = {m.row.name: [s.name for s in m.stages[first:]] for m in methods}

    def printed() -> str:
        found = {
            m.row.name: [m.read(table.folder(m.row, s)) for s in table.seeds]
            for m in methods
        }
        names = list(classes) if args.per_class else None
        columns = columns_of(names, found)
        return report(found, shown, columns, args.format, args.every_stage)

    return trainings, printed


def check(trainings: Sequence[Training]) -> None:
    """Raise ValueError for what would stop one after hours of others."""
    for one in trainings:
        one.check()
    left = [one for one in reversed(trainings) if not one.finished]
    places = {(one.method.row.name, one.stage.name): one for one in left}
    for one in reversed(places.values()):  # of the first seed
        one.build()


def main(argv: Sequence[str] | None = None) -> None:
    run_and_print(parser_of_arguments(), argv, plan_table, _ROW_KEYS)


if __name__ == '__main__':
    main()
