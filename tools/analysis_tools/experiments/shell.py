"""What the commands share that run an experiment: arguments, errors, end."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from mmood.launch import OptionsAction
from mmood.ops import FolderInUseError

from .launch import run_stages
from .spec import ROW_KEYS, SEEDS, Row, Table, is_spec, load_table, read
from .stage import Stage


def parser_of_runs(description: str, out: str) -> argparse.ArgumentParser:
    """Arguments of all experiments; ``out`` is the folder of configs."""
    parser = argparse.ArgumentParser(description=description.split('\n')[0])
    add = parser.add_argument
    add('configs', nargs='+', type=Path, help='one spec, or plain configs')
    add('--seeds', nargs='+', type=int, help='default 0 1 2')
    add('--out', type=Path, help=f"folder, default the spec's or {out}")
    add('--jobs', type=int, help='runs at a time, default 1')
    add('--gpus', nargs='+', default=[], help='one job on each, such as 0 1')
    add_options(parser, '--cfg-options', 'for all the runs')
    parser.set_defaults(plain_out=Path(out))
    return parser


def add_options(parser: argparse.ArgumentParser, name: str, text: str) -> None:
    add = parser.add_argument
    add(name, nargs='+', action=OptionsAction, default={}, help=text)


def table_of(
    args: argparse.Namespace,
    row_of: Callable[[Path, argparse.Namespace], Row],
    row_keys: Sequence[str] = ROW_KEYS,
) -> tuple[Table, bool]:
    """Of a spec, or of a row for each plain config; whether of a spec."""
    specs = [path for path in args.configs if is_spec(read(path))]
    if not specs:
        rows = [row_of(config, args) for config in args.configs]
        out, seeds = args.out or args.plain_out, args.seeds or SEEDS
        return Table(out, seeds, rows), False
    if len(args.configs) > 1:
        raise ValueError(f'{specs[0]} is a spec: give it alone')
    own = (args.out, args.seeds, args.cfg_options, row_keys)
    return load_table(specs[0], *own), True


def run_and_print(
    parser: argparse.ArgumentParser,
    args: argparse.Namespace,
    plan: Callable[[], tuple[Path, list[Stage], Callable[[], str]]],
) -> None:
    """Do what is left and print the report, or end with an error.

    ``plan`` gives the folder, the stages in it, checked, and the report.
    """
    if args.jobs is not None and (args.gpus or args.jobs < 1):
        parser.error('--jobs is 1 or more, and not for --gpus: one job each')
    try:
        out, stages, report = plan()
        report()  # what is there must fit before hours go into the rest
        failed = run_stages(stages, out, args.jobs or 1, args.gpus)
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
