"""What training and testing tools share: options, config, CPU ranks."""

from __future__ import annotations

import argparse
import ast
import copy
import os
import os.path as osp
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import torch
import torch.distributed as dist
from mmengine.config import Config, ConfigDict, DictAction

import mmood.registry  # noqa: F401  (safe checkpoints, `mmood::` configs)
from mmood.checkpoint import CheckpointError
from mmood.config import ConfigError
from mmood.families import type_name
from mmood.recipe import load
from mmood.runner import OODRunner


def ignore_foreign() -> None:
    """Ignore warnings of others that nobody can act on.

    MMSegmentation gives two whenever it builds a head, MMEngine one for each
    box that ends where the picture does.
    """
    for message in (
        '``build_loss`` would be deprecated',
        'Default ``avg_non_ignore`` is False',
        r'Warning: The (bbox|polygon) is out of bounds',
    ):
        warnings.filterwarnings('ignore', message)


@contextmanager
def clear_errors(*kinds: type[Exception]) -> Iterator[None]:
    """End a tool with one sentence where what it was given is wrong.

    That is for these kinds of errors and those of files that it reads.
    """
    known = (CheckpointError, ConfigError, FileNotFoundError)
    expected: tuple[type[Exception], ...] = (*known, *kinds)
    try:
        yield
    except expected as error:
        raise SystemExit(f'error: {error}') from error


class OptionsAction(DictAction):
    """MMEngine's ``KEY=VALUE``, with paths that have spaces and with dicts.

    A value with quotes or braces is what it is in Python, if it is that.
    """

    @staticmethod
    def _parse_iterable(val: str) -> Any:
        if set(val) & set('\'"{'):
            with suppress(ValueError, SyntaxError):
                return ast.literal_eval(val)
        word = val.strip('\'"').strip()
        if ' ' in word and not set(word) & set('[](),'):
            return word
        return DictAction._parse_iterable(val)

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Sequence[str] | None,
        option_string: str | None = None,
    ) -> None:
        wrong = [value for value in values or () if '=' not in value]
        if wrong:
            parser.error(f'{option_string}: {wrong[0]!r} is not KEY=VALUE')
        super().__call__(parser, namespace, values, option_string)


def add_common_arguments(parser: argparse.ArgumentParser) -> None:
    """Options with the names and meanings of mmdet's and mmseg's tools."""
    parser.add_argument('config', help='config file')
    parser.add_argument('--work-dir', help='folder for logs and checkpoints')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=OptionsAction,
        help='overrides of the config, such as max_epochs=3',
    )
    parser.add_argument(
        '--launcher',
        choices=['none', 'pytorch', 'slurm', 'mpi'],
        default='none',
    )
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0)


def load_config(args: argparse.Namespace) -> Config:
    """The config with the command line's overrides, resolved; a work_dir.

    Its ``custom_imports`` are also looked for in the current folder, as
    those of ``projects/`` from the repository's root.
    """
    ignore_foreign()
    sys.path.append(os.getcwd())
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    cfg = load(args.config, args.cfg_options)
    cfg.launcher = args.launcher
    if args.work_dir:
        cfg.work_dir = args.work_dir
    elif not cfg.get('work_dir'):
        name = osp.splitext(osp.basename(args.config))[0]
        cfg.work_dir = osp.join('work_dirs', name)
    return cfg


def use_checkpoint(cfg: Config, path: str | None) -> None:
    """Have a test load these weights and nothing else.

    A config that a training left may say ``resume``, which would go on with
    that training and build its set; what its ``load_from`` names was the
    beginning.
    """
    cfg.load_from, cfg.resume = path, False


def is_segmentor(cfg: Config) -> bool:
    """Whether the config is MMSegmentation's rather than MMDetection's.

    Says its ``default_scope`` or, where it has none, the model's type.
    Raises ValueError if neither does.
    """
    kind = type_name(cfg.get('model') or {})
    for name in (cfg.get('default_scope') or '', kind):
        if name.startswith(('mmseg', 'mmood.seg')):
            return True
        if name.startswith(('mmdet', 'mmood.det')):
            return False
    raise ValueError(
        f'the config has default_scope={cfg.get("default_scope")!r} and a '
        f"model of type {kind!r}: set default_scope to 'mmdet' or 'mmseg'"
    )


def first_set(dataset: ConfigDict) -> ConfigDict:
    """Of the config of a set, or of sets in wrappers, that of the first."""
    while 'datasets' in dataset or 'dataset' in dataset:
        dataset = (dataset.get('datasets') or [dataset.get('dataset')])[0]
    return dataset


def for_first_set(cfg: Config | ConfigDict) -> Config | ConfigDict:
    """A copy of the config as if its first set were all to test on.

    Raises ValueError if there is none.
    """
    cfg = copy.deepcopy(cfg)
    loader = cfg.get('test_dataloader') or cfg.get('val_dataloader')
    if not loader:
        raise ValueError(
            'the config has no test_dataloader, whose pipeline says how '
            'pictures are read: set it'
        )
    cfg.test_dataloader = dict(loader, dataset=first_set(loader.dataset))
    return cfg


def metric_configs(evaluator: dict | list | None) -> list[dict]:
    """The configs of metrics in any form that MMEngine takes."""
    if isinstance(evaluator, dict):
        evaluator = evaluator.get('metrics', evaluator)
    parts = [evaluator] if isinstance(evaluator, dict) else evaluator
    return [part for part in parts or () if isinstance(part, dict)]


def is_first_process(launcher: str) -> bool:
    """Whether this is the process that writes, before ranks are set up."""
    variable = dict(
        pytorch='RANK', slurm='SLURM_PROCID', mpi='OMPI_COMM_WORLD_RANK'
    ).get(launcher)
    return not variable or int(os.environ.get(variable, 0)) == 0


def build_runner(cfg: Config) -> OODRunner:
    """A runner for the config, on GPUs or, without any, on CPU ranks.

    MMEngine's launcher wants CUDA. Without it the process group is made
    here, with gloo, and the model is wrapped without device ids.
    Raises ConfigError for a config without a model, such as a table's spec.
    """
    if 'model' not in cfg:
        raise ConfigError(
            f'{cfg.filename} has no model: name the config of a model'
        )
    if cfg.launcher == 'pytorch' and not torch.cuda.is_available():
        dist.init_process_group('gloo')
        cfg.model_wrapper_cfg = dict(
            type='MMDistributedDataParallel',
            device_ids=None,
            broadcast_buffers=False,
            find_unused_parameters=cfg.get('find_unused_parameters', False),
        )
    return OODRunner.from_cfg(cfg)
