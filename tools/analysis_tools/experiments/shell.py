"""What the commands share that run an experiment: arguments, errors, end."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from mmood.launch import OptionsAction
from mmood.ops import FolderInUseError

from .launch import run_stages
from .spec import ROW_KEYS, Table, load_table
from .stage import Stage

# The stages of a table, checked, and what prints its report.
Plan = tuple[Sequence[Stage], Callable[[], str]]


def parser_of_runs(description: str) -> argparse.ArgumentParser:
    """The spec of a table, and what goes before it or says how it is run."""
    parser = argparse.ArgumentParser(description=description.split('\n')[0])
    add = parser.add_argument
    add('spec', type=Path, help='the rows, see experiments/spec.py')
    add('--seeds', nargs='+', type=int, help="default the spec's or 0 1 2")
    add('--out', type=Path, help="folder, default the spec's")
    add('--jobs', type=int, help='runs at a time, default 1')
    add('--gpus', nargs='+', default=[], help='one job on each, such as 0 1')
    text = 'for all the runs'
    add('--cfg-options', nargs='+', action=OptionsAction, help=text)
    return parser


def run_and_print(
    parser: argparse.ArgumentParser,
    argv: Sequence[str] | None,
    plan: Callable[[Table, argparse.Namespace], Plan],
    row_keys: Sequence[str] = ROW_KEYS,
) -> None:
    """Do what is left of a table, print it, or end with an error."""
    args = parser.parse_args(argv)
    if args.jobs is not None and (args.gpus or args.jobs < 1):
        parser.error('--jobs is 1 or more, and not for --gpus: one job each')
    own = args.out, args.seeds, args.cfg_options
    try:
        table = load_table(args.spec, *own, row_keys)
        stages, report = plan(table, args)
        report()  # what is there must fit before hours go into the rest
        failed = run_stages(stages, table.out, args.jobs or 1, args.gpus)
        text = report()
    except (ValueError, OSError, FolderInUseError) as error:
        parser.error(str(error))
    except KeyboardInterrupt:
        print('stopped; called again it goes on from here', file=sys.stderr)
        sys.exit(130)
    print(text, end='', flush=True)
    if failed:
        names = '; '.join(stage.name for stage in failed)
        sys.exit(f'failed: {names}. Called again, finished runs are kept')
