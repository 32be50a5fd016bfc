"""Models that are exported, pictures, and what PyTorch makes of them.

Shapes: K = 3 classes, maps of `dense_heads`.
"""

from __future__ import annotations

from collections.abc import Iterable

import cv2
import numpy as np
import pytest
import torch
from mmdet.structures import DetDataSample
from torch import Tensor, nn

from dense_heads import STRIDES, WIDTH, K, config, ood_head
from helpers import SHARED
from mmood.deploy.compare import differences
from mmood.deploy.export import write
from mmood.deploy.pictures import resize, scaled_size
from mmood.deploy.run import OnnxModel
from mmood.registry import MODELS
from mmood.scores import Samples, ScoreSet

CLASSES = ('circle', 'bar', 'star')
LOAD = dict(type='LoadImageFromFile')
PHOTOS = ('voc', 'raccoon')


class Pyramid(nn.Module):
    """Maps of the levels of `dense_heads`, of one convolution each."""

    def __init__(self) -> None:
        super().__init__()
        self.levels = nn.ModuleList(
            nn.Conv2d(3, WIDTH, stride, stride) for stride in STRIDES
        )

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        # Bounded, so that no confidence is rounded to 1.
        return tuple(0.3 * level(x).tanh() for level in self.levels)


def one_stage(kind: str, scores: Iterable, **more: object) -> nn.Module:
    """A detector with a head of `dense_heads`, whose scores are fitted."""
    preprocessor = dict(
        type='mmdet.DetDataPreprocessor',
        mean=[120.0] * 3,
        std=[64.0] * 3,
        bgr_to_rgb=True,
        pad_size_divisor=32,
    )
    model = MODELS.build(
        dict(
            type='mmdet.SingleStageDetector',
            backbone=dict(type='mmdet.ResNet', depth=18, base_channels=2),
            bbox_head=config(kind),
            data_preprocessor=preprocessor,
        )
    )
    torch.manual_seed(1)
    model.backbone = Pyramid()
    model.bbox_head = ood_head(kind, scores=list(scores), **more)
    model.bbox_head.test_cfg.score_thr = 1e-4
    model.dataset_meta = dict(classes=CLASSES)
    fit_scores(model.bbox_head.scores, WIDTH, K)
    return model.eval()


def fit_scores(
    scores: ScoreSet,
    channels: int,
    classes: int,
    names: Iterable[str] | None = None,
) -> None:
    """All, or some, on random samples, whose features are above 0."""
    generator = torch.Generator().manual_seed(0)
    count = 300
    samples = Samples(
        logits=torch.randn(count, classes, generator=generator),
        features=torch.rand(count, channels, generator=generator),
        kind=scores.kind,
    )
    labels, keys = torch.arange(count) % classes, torch.arange(count)
    for stage in scores.stages() if names is None else [list(names)]:
        scores.start(stage)
        scores.update(scores_of(scores, samples), labels, keys)
        scores.finish()


def scores_of(scores: ScoreSet, samples: Samples) -> Samples:
    return scores.with_values(samples) if scores.compounded else samples


def exported(plan, path, size, **options) -> tuple[OnnxModel, str]:
    said = write(plan, path, size, **options)
    return OnnxModel(path), said


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (height, width, 3), np.uint8)


def photograph(name: str, scale: tuple[int, int] = (160, 160)) -> np.ndarray:
    """One of the shared data, made small."""
    found = sorted((SHARED / name).rglob('*.jpg'))
    if not found:
        pytest.skip(f'there is no photograph in {SHARED / name}')
    picture = cv2.imread(str(found[0]))
    return resize(picture, scaled_size(picture.shape[:2], scale, True))


@torch.no_grad()
def boxes_by_torch(model: nn.Module, picture: np.ndarray) -> dict:
    """What a detector finds in a picture that no step changes."""
    size = picture.shape[:2]
    meta = dict(img_shape=size, ori_shape=size, scale_factor=(1.0, 1.0))
    tensor = torch.from_numpy(picture.transpose(2, 0, 1).copy())
    batch = dict(inputs=[tensor], data_samples=[DetDataSample(metainfo=meta)])
    found = model.test_step(batch)[0].pred_instances
    names = [k for k, _ in found.items() if k.startswith('ood_scores_')]
    return dict(
        boxes=found.bboxes.numpy(),
        labels=found.labels.numpy(),
        scores=found.scores.numpy(),
        ood_scores={k[11:]: found.get(k).numpy() for k in names},
        is_ood=found.is_ood.numpy(),
    )


def assert_same_boxes(found: dict, expected: dict, least: int = 1) -> None:
    """Boxes within 0.5 px, scores within 1e-3."""
    assert len(expected['boxes']) >= least
    for name, value in differences(found, expected).items():
        limit = dict(unmatched=0, is_ood=0, boxes=0.5).get(name, 1e-3)
        assert value <= limit, (name, value)
