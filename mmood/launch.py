"""What training and testing tools share: options, config, CPU ranks."""

from __future__ import annotations

import argparse
import os
import os.path as osp
import sys

import torch
import torch.distributed as dist
from mmengine.config import Config, DictAction
from mmengine.runner import Runner

import mmood.registry  # noqa: F401  (safe checkpoints, `mmood::` configs)
from mmood.config import ConfigError, read_config


def add_common_arguments(parser: argparse.ArgumentParser) -> None:
    """Options with the names and meanings of mmdet's and mmseg's tools."""
    parser.add_argument('config', help='config file')
    parser.add_argument('--work-dir', help='folder for logs and checkpoints')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        help='overrides of the config, such as model.neck.1.enhance=False',
    )
    parser.add_argument(
        '--launcher',
        choices=['none', 'pytorch', 'slurm', 'mpi'],
        default='none',
    )
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0)


def load_config(args: argparse.Namespace) -> Config:
    """The config with the command line's overrides and a work_dir.

    Its ``custom_imports`` are also looked for in the current folder, as
    those of ``projects/`` from the repository's root.
    """
    sys.path.append(os.getcwd())
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    try:
        cfg = read_config(args.config)
    except ConfigError as error:
        raise SystemExit(f'error: {error}') from error
    cfg.launcher = args.launcher
    if args.cfg_options:
        cfg.merge_from_dict(args.cfg_options)
    if args.work_dir:
        cfg.work_dir = args.work_dir
    elif not cfg.get('work_dir'):
        name = osp.splitext(osp.basename(args.config))[0]
        cfg.work_dir = osp.join('work_dirs', name)
    return cfg


def is_first_process(launcher: str) -> bool:
    """Whether this is the process that writes, before ranks are set up."""
    variable = dict(
        pytorch='RANK', slurm='SLURM_PROCID', mpi='OMPI_COMM_WORLD_RANK'
    ).get(launcher)
    return not variable or int(os.environ.get(variable, 0)) == 0


def build_runner(cfg: Config) -> Runner:
    """A runner for the config, on GPUs or, without any, on CPU ranks.

    MMEngine's launcher wants CUDA. Without it the process group is made
    here, with gloo, and the model is wrapped without device ids.
    """
    if cfg.launcher == 'pytorch' and not torch.cuda.is_available():
        dist.init_process_group('gloo')
        cfg.model_wrapper_cfg = dict(
            type='MMDistributedDataParallel',
            device_ids=None,
            broadcast_buffers=False,
            find_unused_parameters=cfg.get('find_unused_parameters', False),
        )
    return Runner.from_cfg(cfg)
