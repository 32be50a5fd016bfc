"""Paint outlier objects into images, inside their annotated boxes.

Writes pictures, a COCO json with an ``ood`` flag for each annotation, a
report and a contact sheet to a folder. Started again after a stop, with the
same settings, it goes on. For several processes or GPUs start it with
``torchrun --nproc_per_node=N``; the pictures are the same for every N.
"""

from __future__ import annotations

import argparse
import os
from contextlib import nullcontext
from datetime import timedelta
from pathlib import Path

import torch.distributed as dist

from mmood.config import read_config
from mmood.generation import job as jobs
from mmood.generation.report import format_report
from mmood.generation.settings import Settings
from mmood.launch import OptionsAction
from mmood.ops import FolderInUseError, NotWrittenError, lock_folder


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument('--config', required=True, help='config file')
    parser.add_argument(
        '--out', type=Path, required=True, help='folder for the results'
    )
    parser.add_argument(
        '--num-images', type=int, help='overrides num_images of the config'
    )
    parser.add_argument(
        '--seed', type=int, help='overrides seed of the config'
    )
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=OptionsAction,
        default={},
        help='overrides of the config, such as painter.guidance=15',
    )
    return parser.parse_args(argv)


def load_settings(args: argparse.Namespace) -> Settings:
    """The config's settings with the command line's overrides.

    Raises ValueError for an override of what is no setting, because it
    would have no effect.
    """
    options = dict(args.cfg_options)
    for name in ('num_images', 'seed'):
        if getattr(args, name) is not None:
            options[name] = getattr(args, name)
    unknown = [k for k in options if k.split('.')[0] not in Settings.names()]
    if unknown:
        raise ValueError(
            f'--cfg-options: {unknown[0]} is no setting; there are '
            f'{", ".join(Settings.names())}'
        )
    config = read_config(args.config)
    config.merge_from_dict(options)
    return Settings.from_config(config.to_dict())


def show(report: dict, args: argparse.Namespace) -> None:
    """Print the report; ends the tool if there was no image at all."""
    print(format_report(report))
    print(f'wrote {args.out}')
    images = report['images']
    if images['failed'] == images['selected']:
        raise SystemExit(
            f'error: none of the {images["failed"]} images could be read: '
            'check data.img_root'
        )


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    rank = int(os.environ.get('RANK', 0))
    world_size = int(os.environ.get('WORLD_SIZE', 1))
    try:
        job = jobs.prepare(load_settings(args), args.out)
    except (ValueError, OSError, ImportError) as error:
        raise SystemExit(f'error: {error}') from error
    if world_size > 1:
        # Ranks meet when the slowest is done, which may be days later.
        dist.init_process_group('gloo', timeout=timedelta(days=30))
    try:
        with nullcontext() if rank else lock_folder(args.out):
            jobs.run(job, rank, world_size)
            if rank == 0:
                show(jobs.finish(job), args)
    except FolderInUseError as error:
        raise SystemExit(f'error: {error}') from error
    except NotWrittenError as error:
        raise SystemExit(
            f'error: {error}. What is finished is kept: give the same '
            'command again to go on'
        ) from error
    if world_size > 1:
        dist.destroy_process_group()


if __name__ == '__main__':
    main()
