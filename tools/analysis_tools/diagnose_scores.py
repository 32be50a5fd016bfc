"""Where a detector's scores put boxes: ID right, ID wrong, each OOD set.

Prints the number of boxes that count, the mean length of their features and
the median of each score. Wrong ID boxes (no object of their class below)
count as ID in the OOD measures.
"""

from __future__ import annotations

import argparse
from collections import defaultdict

import torch
from mmengine.runner import Runner
from tabulate import tabulate
from torch import Tensor
from tqdm import tqdm

from mmood.checkpoint import load_weights
from mmood.det.models.roi_tools import correct_boxes
from mmood.launch import (
    add_common_arguments,
    build_runner,
    clear_errors,
    load_config,
)
from mmood.scores import NotFittedError


@torch.no_grad()
def collect(runner: Runner) -> dict[str, list[dict[str, Tensor]]]:
    """Per group the feature lengths and scores (n,) of each image's boxes."""
    model, groups = runner.model.eval(), defaultdict(list)
    head = model.roi_head
    head.keeps_samples = True
    for batch in tqdm(runner.test_dataloader, 'boxes'):
        for sample in model.test_step(batch):
            kept = sample.pred_instances
            counts = kept.max_class_scores >= head.score_threshold
            samples = kept.pop('samples')[counts]
            kept = kept[counts]
            values = dict(length=samples.features.norm(dim=1))
            values.update(head.scores(samples))
            masks = {sample.origin: torch.ones(len(kept), dtype=torch.bool)}
            if sample.origin == 'id':
                right = correct_boxes(kept, sample.instances).cpu()
                masks = {'id, right': right, 'id, wrong': ~right}
            for name, mask in masks.items():
                part = {k: v.cpu()[mask].double() for k, v in values.items()}
                groups[name].append(part)
    return groups


def summarize(groups: dict[str, list[dict[str, Tensor]]]) -> list[list]:
    """Rows: group, boxes, mean length, median of each score."""
    table = []
    for name, parts in groups.items():
        values = {k: torch.cat([p[k] for p in parts]) for k in parts[0]}
        length = values.pop('length')
        medians = [v.quantile(0.5).item() if len(v) else float('nan')
                   for v in values.values()]  # fmt: skip
        table.append([name, len(length), length.mean().item(), *medians])
    return table


@clear_errors(NotFittedError)
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    add_common_arguments(parser)
    parser.add_argument('checkpoint', help='with fitted scores')
    args = parser.parse_args()
    cfg = load_config(args)
    if 'roi_head' not in cfg.get('model', {}):
        raise SystemExit(
            f'error: {args.config} has no model.roi_head: this tool looks at '
            "boxes of detectors; tools/test.py --out-dir has a segmentor's "
            'curves of each score'
        )
    runner = build_runner(cfg)
    load_weights(runner.model, args.checkpoint)
    groups = collect(runner)
    scores = [k for k in next(iter(groups.values()))[0] if k != 'length']
    headers = ('boxes of', 'number', 'feature length', *scores)
    print(tabulate(summarize(groups), headers, 'github', floatfmt='.5g'))
    print('feature length: mean; scores: medians')


if __name__ == '__main__':
    main()
