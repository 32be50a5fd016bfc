"""Extract a segmentor's features once, for much faster training on them.

Then train with --cfg-options ood.features.cache=FOLDER. Shards
that are there already are kept, so an interrupted run goes on; with torchrun
(--launcher pytorch) each process writes its own shards.
"""

from __future__ import annotations

import argparse
import logging
import zlib
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import torch
from mmengine.config import Config, ConfigDict
from mmengine.dataset import pseudo_collate
from mmengine.dist import barrier, get_rank, get_world_size, is_main_process
from mmengine.logging import MMLogger
from mmengine.runner import Runner
from torch.utils.data import DataLoader, Subset
from tqdm import tqdm

from mmood.checkpoint import load_weights
from mmood.hooks.after_training import unwrapped
from mmood.hooks.check_features import source_of
from mmood.launch import (
    add_common_arguments,
    build_runner,
    clear_errors,
    load_config,
    type_name,
)
from mmood.losses.denoising import downsample
from mmood.ops import FolderInUseError, NotWrittenError, lock_folder
from mmood.registry import DATASETS
from mmood.seg.datasets.feature_cache import (
    FeatureCache,
    is_complete,
    open_folder,
    write_shard,
)


def feature_set(cfg: Config) -> ConfigDict:
    """The config of the training's feature set, out of its wrappers.

    Raises ValueError if there is none.
    """
    dataset = (cfg.get('train_dataloader') or {}).get('dataset') or {}
    while dataset and not type_name(dataset).endswith('FeatureDataset'):
        dataset = dataset.get('dataset')
    if not dataset:
        raise ValueError(
            'train_dataloader.dataset of the config must be an '
            'mmood.FeatureDataset around the set to extract features of'
        )
    return dataset


def describe(runner: Runner, args: argparse.Namespace, images: int) -> dict:
    """What makes one extraction another one, for ``cache.json``.

    ``weights`` is a checksum of the checkpoint, which the model has loaded.
    """
    with open(args.checkpoint, 'rb') as file:
        weights = zlib.crc32(file.read())
    model = unwrapped(runner)
    return dict(
        channels=next(iter(model.losses.values())).channels,
        dtype=args.dtype,
        images=images,
        passes=args.passes,
        images_per_shard=args.images_per_shard,
        num_shards=-(-images * args.passes // args.images_per_shard),
        weights=weights,
        **source_of(runner.cfg, model),
    )


@torch.no_grad()
def extract(model: torch.nn.Module, loader: DataLoader, dtype: str) -> tuple:
    """Maps (C, h, w) and labels (h, w) of all images of a loader."""
    maps, labels = [], []
    for batch in loader:
        batch = model.data_preprocessor(batch, True)
        features = model.extract_features(batch['inputs'])
        label = torch.cat([s.gt_sem_seg.data for s in batch['data_samples']])
        label = downsample(label, features.shape[-2:])
        maps += [m.cpu().numpy().astype(dtype) for m in features]
        labels += [part.cpu().numpy() for part in label]
    return maps, labels


def write_missing(
    runner: Runner, args: argparse.Namespace, about: dict, dataset: object
) -> None:
    """Write this rank's shards, but for those that are there."""
    model = unwrapped(runner).eval()
    order = np.tile(np.arange(len(dataset)), args.passes)
    shards = [
        number
        for number in range(about['num_shards'])
        if number % get_world_size() == get_rank()
        and not is_complete(args.out, number)
    ]
    for number in tqdm(shards, 'shards', disable=not is_main_process()):
        first = number * args.images_per_shard
        chosen = order[first : first + args.images_per_shard]
        loader = DataLoader(
            Subset(dataset, chosen.tolist()),
            args.batch_size,
            num_workers=args.num_workers,
            collate_fn=pseudo_collate,
        )
        write_shard(args.out, number, *extract(model, loader, args.dtype))


def write_cache(
    runner: Runner, args: argparse.Namespace, about: dict, dataset: object
) -> None:
    """Write what is missing in the folder, then say what is there."""
    if is_main_process():
        open_folder(args.out, about)
    barrier()
    write_missing(runner, args, about, dataset)
    barrier()
    if is_main_process():
        cache = FeatureCache(args.out)
        print(
            f'{len(cache)} maps, {len(cache.labels)} features: {args.out}\n'
            'train with --cfg-options '
            f'ood.features.cache={args.out}'
        )


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    add_common_arguments(parser)
    parser.add_argument('checkpoint', help='trained segmentor')
    parser.add_argument('--out', type=Path, required=True, help='folder')
    parser.add_argument('--images-per-shard', type=int, default=64)
    parser.add_argument('--batch-size', type=int, default=1)
    parser.add_argument('--num-workers', type=int, default=2)
    parser.add_argument(
        '--passes',
        type=int,
        default=1,
        help='over the set, for pipelines that augment at random',
    )
    parser.add_argument(
        '--dtype', default='float16', choices=['float16', 'float32']
    )
    return parser.parse_args()


@clear_errors(FolderInUseError, NotWrittenError)
def main() -> None:
    args = parse_args()
    cfg = load_config(args)
    cfg.train_dataloader.dataset = dict(feature_set(cfg), cache=None)
    runner = build_runner(cfg)
    MMLogger.get_current_instance().setLevel(logging.WARNING)
    dataset = DATASETS.build(cfg.train_dataloader.dataset)
    dataset.full_init()
    load_weights(unwrapped(runner), args.checkpoint)
    about = describe(runner, args, len(dataset))
    with lock_folder(args.out) if is_main_process() else nullcontext():
        write_cache(runner, args, about, dataset)


if __name__ == '__main__':
    main()
