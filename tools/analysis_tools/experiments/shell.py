"""What the commands share that run an experiment: arguments, errors, end."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from mmood.launch import OptionsAction
from mmood.ops import FolderInUseError

from .launch import run_stages
from .spec import ROW_KEYS, SEEDS, Row, Table, load_table, read
from .stage import Stage

# The folder, the stages in it, checked, and what prints the report.
Plan = tuple[Path, Sequence[Stage], Callable[[], str]]


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
    row_keys: Sequence[str] = ROW_KEYS,
    more: Callable[[Path], dict] = lambda config: {},
) -> tuple[Table, bool]:
    """Of a spec, or of a row for each plain config; whether of a spec.

    ``more`` has what such a row is told beside ``--cfg-options``.
    """
    specs = [p for p in args.configs if {'rows', 'seeds'} & set(read(p))]
    if len(args.configs) > 1 and specs:
        raise ValueError(f'{specs[0]} is a spec: give it alone')
    own = (args.out, args.seeds, args.cfg_options, row_keys)
    if specs:
        return load_table(specs[0], *own), True
    rows = [
        Row(config.stem, config, cfg_options=args.cfg_options, **more(config))
        for config in args.configs
    ]
    out, seeds = args.out or args.plain_out, args.seeds or SEEDS
    return Table(out, seeds, rows), False


def run_and_print(
    parser: argparse.ArgumentParser,
    argv: Sequence[str] | None,
    plan: Callable[[argparse.Namespace], Plan],
) -> None:
    """Do what is left of a plan and print the report, or end with an error."""
    args = parser.parse_args(argv)
    if args.jobs is not None and (args.gpus or args.jobs < 1):
        parser.error('--jobs is 1 or more, and not for --gpus: one job each')
    try:
        out, stages, report = plan(args)
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
