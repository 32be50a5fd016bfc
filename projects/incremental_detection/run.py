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
from collections.abc import Callable, Sequence
from pathlib import Path

sys.path.append(
    str(Path(__file__).resolve().parents[2] / 'tools/analysis_tools')
)

from experiments.formats import STYLES
from experiments.shell import (
    parser_of_runs,
    run_and_print,
    table_of,
)
from experiments.spec import Row
from results import columns_of, report
from trainings import Training, plan_trainings

_ROW_KEYS = ('name', 'config', 'cfg_options', 'tag')


def parser_of_arguments() -> argparse.ArgumentParser:
    parser = parser_of_runs(__doc__, 'work_dirs/incremental')
    parser.add_argument(
        '--stages', nargs='+', help='names such as step_1; default all'
    )
    parser.add_argument(
        '--launch',
        type=int,
        default=1,
        help='processes of a run, by torchrun; with --gpus 0,1 2,3 two each',
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


def row_of(config: Path, args: argparse.Namespace) -> Row:
    return Row(config.stem, config, cfg_options=args.cfg_options)


def plan_table(
    args: argparse.Namespace,
) -> tuple[Path, list[Training], Callable[[], str]]:
    """The folder, the stages of all runs, and what prints the table."""
    table, _ = table_of(args, row_of, _ROW_KEYS)
    trainings = plan_trainings(table, args.stages, args.launch)
    first: dict[tuple[str, str], Training] = {}  # stages of one seed
    for one in trainings:
        one.check()
        if not one.finished:
            first.setdefault((one.method.row.name, one.stage.name), one)
    for one in first.values():
        one.build()
    return table.out, trainings, lambda: report_on(trainings, args)


def report_on(trainings: Sequence[Training], args: argparse.Namespace) -> str:
    """A line per method, with its wanted stages or the last of them."""
    runs: dict[str, dict[Path, dict]] = {}
    stages: dict[str, dict[str, None]] = {}
    classes: dict[str, None] = {}
    for one in trainings:
        name, run = one.method.row.name, one.folder.parent
        runs.setdefault(name, {})[run] = one.method.read(run)
        stages.setdefault(name, {})[one.stage.name] = None
        classes.update(dict.fromkeys(one.method.plan.classes))
    first = 0 if args.every_stage else -1
    return report(
        {name: list(found.values()) for name, found in runs.items()},
        {name: list(names)[first:] for name, names in stages.items()},
        columns_of(list(classes) if args.per_class else None),
        args.format,
        args.every_stage,
    )


def main(argv: Sequence[str] | None = None) -> None:
    parser = parser_of_arguments()
    args = parser.parse_args(argv)
    if args.launch < 1:
        parser.error('--launch is a number of processes, 1 or more')
    run_and_print(parser, args, lambda: plan_table(args))


if __name__ == '__main__':
    main()
