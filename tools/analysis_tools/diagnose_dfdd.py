"""What a trained DFDD detector makes of blurred objects, on ID data alone.

Looks at the annotated boxes of the validation set on four kinds of maps: E,
as at test; those of the outliers of the uncertainty loss; F_0 and F_T as
they leave the FPN. A detector that tells blurred objects from real ones
gives E and F_0 one energy and the other two another. Also says how much of
the blur the reverse process undoes: ``|F_0 - F^_0| / |F_0 - F_T|``, 1 for a
network that does nothing.
"""

from __future__ import annotations

import argparse
from collections import defaultdict

import numpy as np
import torch
from mmdet.structures.bbox import bbox2roi
from mmengine.runner import Runner
from tabulate import tabulate
from torch import nn
from tqdm import tqdm

from mmood.launch import (
    add_common_arguments,
    build_runner,
    clear_errors,
    load_config,
    use_checkpoint,
)
from mmood.necks import DFDDNeck
from mmood.scores import energy


@torch.no_grad()
def inspect(model: nn.Module, batch: dict, found: dict) -> None:
    """Collect energies, hits and residues of one batch into ``found``."""
    data = model.data_preprocessor(batch)
    boxes = [sample.gt_instances.bboxes for sample in data['data_samples']]
    labels = [sample.gt_instances.labels for sample in data['data_samples']]
    fpn, dfdd = model.neck[0], model.neck[1]
    originals = fpn(model.backbone(data['inputs']))
    pyramid = dfdd.train()(originals)
    degraded = [dfdd.diffusion.degrade(x) for x in originals]
    kinds = {
        'E (as at test)': tuple(pyramid),
        'outliers': pyramid.maps['blurred'],
        'F_0': originals,
        'F_T': tuple(degraded),
    }
    rois, head = bbox2roi(boxes), model.roi_head
    for kind, maps in kinds.items():
        logits = head.box_head(head.pool(maps, rois))[0]
        found[kind, 'energy'] += energy(logits[:, :-1]).tolist()
        hits = logits.argmax(1) == torch.cat(labels)
        found[kind, 'hit'] += hits.tolist()
    if 'deblurred' not in pyramid.maps:
        return
    for i, x in enumerate(originals):
        for name, estimate in (
            ('F_T', degraded[i]),
            ('F^_0', pyramid.maps['deblurred'][i]),
        ):
            found[name, i].append((x - estimate).square().sum().item())


def report(found: dict) -> str:
    kinds = [kind for kind, what in found if what == 'energy']
    rows = []
    for kind in kinds:
        energies = found[kind, 'energy']
        hits = 100 * np.mean(found[kind, 'hit'])
        rows.append([kind, np.mean(energies), np.std(energies), hits])
    headers = ('maps', 'energy', 'deviation', 'class right (%)')
    text = tabulate(rows, headers, 'github', floatfmt='.2f')
    levels = [level for name, level in found if name == 'F^_0']
    left = [sum(found['F^_0', i]) / sum(found['F_T', i]) for i in levels]
    if left:
        shares = ', '.join(f'{value**0.5:.2f}' for value in left)
        text += f'\nshare of the blur left, by level: {shares}'
    return text


def load(args: argparse.Namespace) -> Runner:
    cfg = load_config(args)
    use_checkpoint(cfg, args.checkpoint)
    runner = build_runner(cfg)
    runner.load_or_resume()
    neck = getattr(runner.model, 'neck', None)
    if not (isinstance(neck, nn.Sequential) and isinstance(neck[1], DFDDNeck)):
        raise SystemExit(
            f'{args.config} has no DFDD: model.neck must be a list of an FPN '
            'and an mmood.DFDDNeck'
        )
    return runner


@clear_errors()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    add_common_arguments(parser)
    parser.add_argument('checkpoint', help='checkpoint file')
    runner = load(parser.parse_args())
    runner.model.eval()
    found: dict = defaultdict(list)
    for batch in tqdm(runner.build_dataloader(runner.cfg.val_dataloader)):
        inspect(runner.model, batch, found)
    print(report(found))


if __name__ == '__main__':
    main()
