"""DOoD's scoring, metrics and training against the direct way of each.

Random weights, features and images: time does not depend on them. Run by
``benchmark.py``. Also prints how far the results are apart and the growth of
the process' peak memory.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable

import benchmark_paste
import numpy as np
import torch
from benchmark_masks import rows as mask_rows
from mmengine.hub import get_config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import DefaultScope
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve
from timing import compare, measure

from mmood.diffusion import DenoisingMLP, GaussianDiffusion
from mmood.metrics import ScoreHistogram
from mmood.registry import DATASETS, MODELS
from mmood.scores import diffusion_score, directional_error
from mmood.seg.datasets.feature_cache import open_folder, write_shard

CHANNELS, STEPS, SETS = 768, 25, 60
LOGIT_SCORES = ['energy', 'msp', 'max_logit', 'entropy']


def scorers(
    device: str, tokens: int, dtype: str = 'float32'
) -> tuple[Callable, Callable]:
    """25 timesteps of a map; direct: a row per (token, t), all in a batch.

    ``dtype``: of our denoiser; the direct way is float32.
    """
    torch.manual_seed(0)
    denoiser = DenoisingMLP(CHANNELS, time_embedding='periodic')
    denoiser = denoiser.to(device).eval().requires_grad_(False)
    for weight in denoiser.parameters():
        if not weight.any():  # last layers, which begin at zero
            torch.nn.init.normal_(weight, std=0.02)
    diffusion = GaussianDiffusion()
    x0 = torch.rand(tokens, CHANNELS, device=device) * 2 - 1

    def ours() -> torch.Tensor:
        generator = torch.Generator(device).manual_seed(0)
        return diffusion_score(
            denoiser,
            diffusion,
            x0,
            weighted=False,
            dtype=dtype,
            generator=generator,
        )

    def direct() -> torch.Tensor:
        generator = torch.Generator(device).manual_seed(0)
        noise = torch.cat(
            [
                torch.randn(x0.shape, generator=generator, device=device)
                for _ in range(STEPS)
            ]
        )
        t = torch.arange(STEPS, device=device).repeat_interleave(tokens)
        noisy = diffusion.q_sample(x0.repeat(STEPS, 1), t, noise)
        error = directional_error(denoiser(noisy, t), noise)
        return error.view(STEPS, tokens).sum(0)

    return ours, direct


def meters() -> tuple[Callable, Callable]:
    """AUROC, AP and FPR95 of 60 maps of 1280 x 720, 2 % of them OOD."""
    rng = np.random.default_rng(0)
    labels = rng.random((SETS, 720, 1280), dtype=np.float32) < 0.02
    scores = rng.standard_normal(labels.shape, dtype=np.float32)
    scores += 1.5 * labels

    def ours() -> np.ndarray:
        histogram = ScoreHistogram()
        for score, label in zip(scores, labels):
            histogram.add(score, label)
        return np.array(
            [
                histogram.auroc(),
                histogram.average_precision(),
                histogram.fpr_at_tpr(),
            ]
        )

    def direct() -> np.ndarray:
        flat, positive = scores.ravel(), labels.ravel()
        fprs, tprs, _ = roc_curve(positive, flat)
        return np.array(
            [
                roc_auc_score(positive, flat),
                average_precision_score(positive, flat),
                fprs[np.argmin(np.abs(tprs - 0.95))],
            ]
        )

    return ours, direct


def trainers(
    device: str, size: int, batch_size: int, folder: str
) -> tuple[Callable, Callable]:
    """A step from the cache; direct: a step that runs ViT-B first."""
    torch.manual_seed(0)
    model = build_model(size).to(device)
    model.train()
    optimizer = dict(type='AdamW', lr=1e-6)
    wrapper = build_optim_wrapper(
        model, dict(type='OptimWrapper', optimizer=optimizer)
    )
    write_cache(folder)
    image_set = dict(type='mmseg.BaseSegDataset', lazy_init=True)
    cached = DATASETS.build(
        dict(
            type='mmood.FeatureDataset',
            dataset=image_set,
            cache=folder,
            vectors=4096 // batch_size,
        )
    )
    batch = labelled_images(batch_size, size)

    def ours() -> None:
        items = [cached[i % len(cached)] for i in range(batch_size)]
        cached_batch = {k: [item[k] for item in items] for k in items[0]}
        model.train_step(cached_batch, wrapper)

    def direct() -> None:
        model.train_step(dict(batch), wrapper)

    return ours, direct


def head_trainers(
    device: str, size: int, batch_size: int, folder: str
) -> tuple[Callable, Callable]:
    """A step of a linear head on outputs that are kept; direct: on ViT-B."""
    batch = labelled_images(batch_size, size)
    steps = []
    for cache in (folder, None):
        torch.manual_seed(0)
        backbone = dict(type='mmseg.VisionTransformer', img_size=size)
        frozen = dict(
            type='mmood.FrozenBackbone', backbone=backbone, cache=cache
        )
        model = build_model(size, backbone=frozen, losses=[], scores=['msp'])
        model = model.to(device).train()
        optimizer = dict(type='AdamW', lr=1e-3)
        wrapper = build_optim_wrapper(
            model, dict(type='OptimWrapper', optimizer=optimizer)
        )

        def step(model: torch.nn.Module = model, wrapper=wrapper) -> None:
            model.train_step(dict(batch), wrapper)

        steps.append(step)
    return steps[0], steps[1]


def labelled_images(number: int, size: int) -> dict:
    """A batch as a loader gives it."""
    images = torch.randint(256, (number, 3, size, size)).byte()
    label = torch.zeros(1, size, size, dtype=torch.int64)
    samples = [
        SegDataSample(gt_sem_seg=PixelData(data=label.clone())) for _ in images
    ]
    return dict(inputs=list(images), data_samples=samples)


def build_model(size: int, **changes: object) -> torch.nn.Module:
    model = MODELS.build(
        dict(
            type='mmood.OODEncoderDecoder',
            data_preprocessor=dict(
                type='mmood.OODSegDataPreProcessor', size=(size, size)
            ),
            backbone=dict(type='mmseg.VisionTransformer', img_size=size),
            decode_head=dict(
                type='mmseg.FCNHead',
                in_channels=CHANNELS,
                channels=CHANNELS,
                num_convs=0,
                concat_input=False,
                num_classes=19,
                norm_cfg=None,
            ),
            scores=['diffusion'],
            losses=[dict(type='mmood.DenoisingLoss', channels=CHANNELS)],
        )
        | changes
    )
    model.load_state_dict(model.state_dict())  # "trained"
    return model


def plain_testers(device: str) -> tuple[Callable, Callable]:
    """A test step of a frame with four logit scores, and without any.

    CGNet, one of the fastest segmentors: others hide more of the scores.
    """
    size = (1024, 2048)
    config = get_config(
        'mmseg::cgnet/cgnet_fcn_4xb4-60k_cityscapes-680x680.py'
    ).model
    config.data_preprocessor.update(type='mmseg.SegDataPreProcessor')
    config.test_cfg = dict(mode='whole')
    steps = []
    frame = torch.randint(256, (3, *size)).byte()
    meta = dict(img_shape=size, ori_shape=size, pad_shape=size)
    for kind in (
        dict(type='mmood.OODEncoderDecoder', scores=LOGIT_SCORES),
        {},
    ):
        torch.manual_seed(0)
        model = MODELS.build({**config, **kind}).to(device).eval()

        def step(model: torch.nn.Module = model) -> torch.Tensor:
            sample = SegDataSample(metainfo=dict(meta))
            batch = dict(inputs=[frame], data_samples=[sample])
            with torch.no_grad():
                found = model.test_step(batch)[0]
            return found.pred_sem_seg.data.float()[0, ::64, ::64]

        steps.append(step)
    return steps[0], steps[1]


def write_cache(folder: str, maps: int = 32, side: int = 48) -> None:
    rng = np.random.default_rng(0)
    open_folder(folder, dict(num_shards=1))
    shape = (maps, CHANNELS, side, side)
    features = rng.standard_normal(shape, dtype=np.float32)
    labels = np.zeros((maps, side, side), np.uint8)
    write_shard(folder, 0, list(features.astype(np.float16)), list(labels))


def rows(
    parts: list[str],
    device: str,
    runs: int,
    size: int,
    batch_size: int,
    tokens: int,
) -> list[list]:
    """Lines of the table, of these `benchmark.PARTS`."""
    table = []
    if 'metrics' in parts:
        table.append(measure('pixel metrics', *meters(), runs, device))
    if 'scoring' in parts:
        pair = scorers(device, tokens)
        table.append(measure('scoring', *pair, runs, device))
    if 'bfloat16' in parts:
        pair = scorers(device, tokens, 'bfloat16')
        table.append(measure('scoring in bfloat16', *pair, runs, device))
    if 'plain' in parts:
        with DefaultScope.overwrite_default_scope('mmseg'):
            pair = plain_testers(device)
            table.append(measure('4 scores of CGNet', *pair, runs, device))
    if 'masks' in parts:
        with DefaultScope.overwrite_default_scope('mmseg'):
            table += mask_rows(device, runs, size)
    if 'paste' in parts:
        with tempfile.TemporaryDirectory() as folder:
            table += benchmark_paste.rows(folder, runs)
    for part, make, name in (
        ('training', trainers, 'training step'),
        ('cached', head_trainers, 'training step of a head'),
    ):
        if part not in parts:
            continue
        with (
            DefaultScope.overwrite_default_scope('mmseg'),
            tempfile.TemporaryDirectory() as folder,
        ):
            pair = make(device, size, batch_size, folder)
            pair[0]()  # makes the optimizer's state, and fills a cache
            table.append(compare(name, *pair, runs, device, 0))
    return table
