"""A tiny segmentor, its batches, and samples for the pixel measures."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from mmengine.config import ConfigDict
from mmengine.evaluator import BaseMetric
from mmengine.structures import PixelData
from mmseg.models.segmentors import EncoderDecoder
from mmseg.structures import SegDataSample
from torch import nn

from mmood.registry import METRICS, MODELS

COMPOUND = dict(type='compound', of=['energy', 'diffusion'])
# DOoD's scores.
SCORES = (COMPOUND, dict(type='diffusion', timesteps=3), 'energy')


def tiny_segmentor(**options) -> ConfigDict:
    """Config of a DOoD segmentor: patch 8, width 32, two layers, 4 classes."""
    cfg = dict(
        type='mmood.OODEncoderDecoder',
        data_preprocessor=dict(
            type='mmood.OODSegDataPreProcessor',
            mean=[127.5] * 3,
            std=[127.5] * 3,
            bgr_to_rgb=True,
            size_divisor=8,
            pad_val=0,
            seg_pad_val=255,
        ),
        backbone=dict(
            type='mmseg.VisionTransformer',
            img_size=(32, 32),
            patch_size=8,
            embed_dims=32,
            num_layers=2,
            num_heads=2,
            final_norm=True,
        ),
        decode_head=dict(
            type='mmseg.FCNHead',
            in_channels=32,
            channels=32,
            num_convs=0,
            concat_input=False,
            num_classes=4,
            dropout_ratio=0.0,
            norm_cfg=None,
        ),
        scores=list(SCORES),
        losses=[tiny_loss()],
        test_cfg=dict(mode='whole'),
    )
    return ConfigDict({**cfg, **options})


def tiny_loss(unet: bool = False, **options) -> dict:
    """Config of DOoD's loss for width 32."""
    denoiser = dict(
        type='mmood.DenoisingUNet' if unet else 'mmood.DenoisingMLP',
        num_blocks=3,
        num_middle_blocks=1,
    )
    loss = dict(type='mmood.DenoisingLoss', channels=32, denoiser=denoiser)
    return {**loss, **options}


def lively(module: nn.Module, std: float = 0.2) -> nn.Module:
    """The module in eval mode with random weights, none of them zero."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_(std=std)
    return module.eval()


def build_segmentor(fit: bool = True, **options) -> nn.Module:
    """`tiny_segmentor` with random weights, as if from a checkpoint.

    Ready for tests, unless ``fit`` is false: then it has seen no checkpoint.
    """
    model = lively(MODELS.build(tiny_segmentor(**options)))
    if fit:
        model.load_state_dict(model.state_dict())
        for loss in model.losses.values():
            span = torch.tensor([[-3.0], [3.0]]).expand(2, 32)
            loss.feature_range.update(span)
        if 'compound' in model.scores.names:
            set_compound(model, 1.0, 0.5)
    return model


def set_compound(model: nn.Module, mean: float, std: float) -> None:
    """The statistics of a compound's scores, as if it were fitted."""
    compound = model.scores.fitted['compound']
    compound.mean.fill_(mean)
    compound.std.fill_(std)
    compound.fitted_for.fill_(compound.signature)
    compound.is_fitted.fill_(True)


def stock_segmentor(model: nn.Module, cfg: dict) -> nn.Module:
    """mmseg's own segmentor of a config of ours, with the same weights."""
    cfg = ConfigDict(cfg)
    for name in ('type', 'scores', 'losses', 'probe', 'upsample'):
        cfg.pop(name, None)
    cfg.data_preprocessor = None
    stock = EncoderDecoder(**cfg).eval()
    missing, _ = stock.load_state_dict(model.state_dict(), strict=False)
    assert not missing
    return stock


def seg_batch(count: int = 2, size: tuple = (32, 32)) -> tuple:
    """Noise images and samples with labels, named 0.png, 1.png, ..."""
    samples = []
    for i in range(count):
        keys = ('ori_shape', 'img_shape', 'pad_shape')
        meta = dict.fromkeys(keys, size) | dict(img_path=f'folder/{i}.png')
        sample = SegDataSample(metainfo=meta)
        sample.gt_sem_seg = PixelData(data=torch.randint(4, (1, *size)))
        samples.append(sample)
    return torch.randn(count, 3, *size), samples


def pixel_sample(label, origin='far', name='a.png', fold=0, **maps) -> dict:
    """What `OODSegMetric` gets for an image; ``data`` is the first map."""
    label = np.asarray(label)
    sample = dict(
        img_path=name,
        origin=origin,
        fold=fold,
        gt_sem_seg=dict(data=torch.from_numpy(label)[None].long()),
    )
    scores = {
        key: torch.as_tensor(np.array(value))[None].float()
        for key, value in maps.items()
    }
    first = next(iter(scores.values()))
    more = dict(data=first, is_ood=first > 0, score_names=tuple(maps))
    return {**sample, 'pred_ood': {**scores, **more}}


def random_label(shape: tuple = (12, 10)) -> np.ndarray:
    """Labels 0, 1 and 255."""
    return np.random.choice([0, 1, 255], shape, p=(0.6, 0.3, 0.1))


def noisy_sample(origin: str, name: str, shape=(12, 10), **meta) -> dict:
    """`pixel_sample` with scores that know something, ties among them."""
    truth = random_label(shape)
    scores = np.round(np.random.randn(*shape) + (truth == 1), 1)
    maps = dict(compound=scores**3, diffusion=scores)
    maps['energy'] = np.round(2 * np.random.randn(*shape), 1)
    return pixel_sample(truth, origin, name, **maps, **meta)


def assert_best_classes(classes, logits, atol: float = 1e-3) -> None:
    """The logit of each pixel's class is the largest one, but for rounding.

    Classes (H, W) and logits (K, H, W), of two computations.
    """
    classes, logits = torch.as_tensor(classes), torch.as_tensor(logits)
    found = logits.gather(0, classes[None].long())[0]
    torch.testing.assert_close(found, logits.amax(0), rtol=0, atol=atol)


def pixel_metric(**kwargs) -> BaseMetric:
    return METRICS.build(dict(type='mmood.OODSegMetric', **kwargs))


def evaluate_pixels(samples: list, size=None, metric=None, **kwargs) -> dict:
    """Results of an `OODSegMetric` that gets one sample after the other."""
    metric = metric or pixel_metric(**kwargs)
    for one in samples:
        metric.process({}, [one])
    return metric.evaluate(len(samples) if size is None else size)


def write_pair(root, image, label, ids):
    """An image file and a label file, one column for each of the ids."""
    for path in (image, label):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
    row = np.array([list(ids)] * 2, np.uint8)
    cv2.imwrite(str(root / image), np.zeros((*row.shape, 3), np.uint8))
    cv2.imwrite(str(root / label), row)
