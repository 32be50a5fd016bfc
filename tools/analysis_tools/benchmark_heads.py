"""A test pass of a one-stage and a DETR head with scores and without.

Random weights and images: time does not depend on them, as long as as many
boxes are kept. Run by ``benchmark.py``.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from benchmark_det import CONFIGS, make_batch, tester
from mmengine.logging import MMLogger
from mmengine.registry import DefaultScope
from timing import compare
from torch import nn

from mmood.recipe import load
from mmood.registry import MODELS
from mmood.scores import Samples, ScoreSet
from mmood.scores.samples import ScoreConfig

RETINANET = CONFIGS / 'posthoc/retinanet_r50_fpn_18k_voc.py'
DINO = CONFIGS / 'posthoc/dino-4scale_r50_36k_voc.py'
# The fourth that is defined for logits of sigmoids.
LOGIT_SCORES = [
    'energy',
    'msp',
    'max_logit',
    dict(type='compound', of=['energy', 'msp']),
]
BANK = 100_000
# Of a class confidence, before NMS: about what passes 0.05 when trained.
CANDIDATES = 2000


def build_twins(
    path: Path, scores: Sequence[ScoreConfig], device: str
) -> tuple[nn.Module, nn.Module]:
    """A detector with scores, and the plain one with the same weights."""
    options = {'model.backbone.init_cfg': None, 'ood.scores': list(scores)}
    cfg = load(path, options).model
    torch.manual_seed(0)
    # Or each weight's initialization is printed.
    MMLogger.get_instance('benchmark', log_level='WARNING')
    bare = without_scores(cfg)  # now, as DINO changes what it is given
    ours, plain = MODELS.build(cfg), MODELS.build(bare)
    ours.init_weights()
    state = plain.state_dict()
    plain.load_state_dict({key: ours.state_dict()[key] for key in state})
    return ours.to(device).eval(), plain.to(device).eval()


def without_scores(model: Mapping) -> dict:
    """The config of the model whose head `mmood.OODHead` wraps."""
    model = copy.deepcopy(model)
    head = model['bbox_head']
    head['type'] = head.pop('of')
    del head['scores']
    return model


def fit(scores: ScoreSet, channels: int, count: int, device: str) -> None:
    """On ``count`` random samples, of which a bank keeps all."""
    samples = Samples(
        torch.randn(count, scores.num_classes, device=device),
        torch.randn(count, channels, device=device),
        kind=scores.kind,
    )
    labels = torch.arange(count, device=device) % scores.num_classes
    for names in scores.stages():
        scores.start(names)
        scores.update(scores.with_values(samples), labels)
        scores.finish()


@torch.no_grad()
def limit_candidates(model: nn.Module, batch: dict, count: int) -> None:
    """Have only so many of an image's class confidences reach the NMS."""
    data = model.data_preprocessor(copy.deepcopy(batch))
    maps = model(data['inputs'])[0]
    logits = torch.cat([m.flatten() for m in maps])
    least = logits.topk(min(count + 1, len(logits))).values[-1]
    model.bbox_head.test_cfg.score_thr = float(least.sigmoid())


@torch.no_grad()
def count_boxes(model: nn.Module, batch: dict) -> int:
    """Those kept of the images. Raises ValueError for none."""
    found = model.test_step(copy.deepcopy(batch))
    count = sum(len(sample.pred_instances) for sample in found)
    if not count:
        raise ValueError(
            f'{type(model).__name__} keeps no box, so no score is measured: '
            'take larger images'
        )
    return count


def steps(
    path: Path,
    scores: Sequence[ScoreConfig],
    device: str,
    size: int,
    bank: int,
) -> tuple[Callable, Callable]:
    """A test pass with scores, fitted on ``bank`` samples, and without."""
    ours, plain = build_twins(path, scores, device)
    head, batch = ours.bbox_head, make_batch(1, size)
    width = getattr(head, 'feat_channels', 0) or head.embed_dims
    fit(head.scores, width, bank, device)
    if 'score_thr' in head.test_cfg:
        limit_candidates(plain, batch, CANDIDATES)
        head.test_cfg.score_thr = plain.bbox_head.test_cfg.score_thr
    boxes = count_boxes(ours, batch)
    print(f'{path.stem}: {boxes} boxes are kept')
    return tester(ours, batch), tester(plain, batch)


def rows(device: str, runs: int, size: int, bank: int = BANK) -> list[list]:
    """Lines of the table: logit scores and kNN beside the rest of a pass."""
    knn = dict(type='knn', k=max(1, bank // 1000), bank_size=bank)
    few = min(bank, 1000)  # what the compound's two units are fitted on
    table = []
    with DefaultScope.overwrite_default_scope('mmdet'):
        for name, path, scores, count in (
            ('RetinaNet, four logit scores', RETINANET, LOGIT_SCORES, few),
            ('RetinaNet, kNN', RETINANET, [knn], bank),
            ('DINO, four logit scores', DINO, LOGIT_SCORES, few),
        ):
            pair = steps(path, scores, device, size, count)
            table.append(compare(name, *pair, runs, device))
    return table
