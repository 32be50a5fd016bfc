"""What a trained DFDD detector makes of blurred objects.

Looks at the annotated boxes of the validation set on four kinds of maps: E,
as at test; those of the outliers of the uncertainty loss; F_0 and F_T as
they leave the FPN. A detector that tells blurred objects from real ones
gives E and F_0 one energy and the other two another. With --ood-sets also at
those of the test's OOD sets, as at test: objects that the outliers are to
stand for. AUROC is that of the energy against E of known objects.

Also says how large the uncertainty loss was in the course of the training,
without its weight, by the logs beside the checkpoint; and how much of the
blur the reverse process leaves, ``|F_0 - F^_0| / |F_0 - F_T|``, 1 for a
network that does nothing.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from mmdet.structures.bbox import bbox2roi
from mmengine.runner import Runner
from tabulate import tabulate
from torch import Tensor, nn
from tqdm import tqdm

from mmood.launch import (
    add_common_arguments,
    build_runner,
    clear_errors,
    load_config,
    use_checkpoint,
)
from mmood.losses import UncertaintyLoss
from mmood.metrics import auroc
from mmood.necks import DFDDNeck
from mmood.scores import energy

_KNOWN = 'E (as at test)'
_PARTS = 10  # of the training


@torch.no_grad()
def inspect(model: nn.Module, batch: dict, found: dict) -> None:
    """Collect energies, hits and residues of one batch into ``found``."""
    data = model.data_preprocessor(batch)
    labels = [sample.gt_instances.labels for sample in data['data_samples']]
    fpn, dfdd = model.neck[0], model.neck[1]
    originals = fpn(model.backbone(data['inputs']))
    pyramid = dfdd.train()(originals)
    dfdd.eval()
    degraded = dfdd.degrade(originals)
    head, rois = model.roi_head, boxes_of(data['data_samples'])
    known = head.pool(pyramid, rois)
    kinds = {
        _KNOWN: known,
        'outliers': outliers_of(head, pyramid, known, rois),
        'F_0': head.pool(originals, rois),
        'F_T': head.pool(degraded, rois),
    }
    for kind, pooled in kinds.items():
        logits = head.box_head(pooled)[0]
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


def boxes_of(samples: Sequence) -> Tensor:
    return bbox2roi([sample.gt_instances.bboxes for sample in samples])


def outliers_of(
    head: nn.Module, pyramid: tuple, known: Tensor, rois: Tensor
) -> Tensor:
    """Pooled maps of the outliers, as the head's source makes them."""
    after_pooling = getattr(head.outliers, 'diffusion', None)
    if after_pooling is not None:
        return after_pooling.degrade(known)
    return head.pool(pyramid.maps['blurred'], rois)


@torch.no_grad()
def inspect_ood(model: nn.Module, batch: dict, found: dict) -> None:
    """Collect the energies of the objects of OOD sets, by set."""
    data, head = model.data_preprocessor(batch), model.roi_head
    samples = data['data_samples']
    if all(sample.origin == 'id' for sample in samples):
        return
    boxes = boxes_of(samples)
    maps = model.neck(model.backbone(data['inputs']))
    energies = energy(head.box_head(head.pool(maps, boxes))[0][:, :-1])
    for number, sample in enumerate(samples):
        if sample.origin != 'id':
            own = energies[boxes[:, 0] == number]
            found[sample.origin, 'energy'] += own.tolist()


def loss_over_training(folder: Path, weight: float) -> list[float]:
    """Means of the uncertainty loss, nats, over parts of the training.

    By the logs in a work folder; [] without any.
    """
    values: dict[int, float] = {}
    for path in sorted(folder.glob('*/vis_data/scalars.json')):
        for line in path.read_text().splitlines():
            row = json.loads(line)
            if 'loss_uncertainty' in row:
                values[row['iter']] = row['loss_uncertainty'] / weight
    ordered = [values[number] for number in sorted(values)]
    parts = np.array_split(ordered, min(_PARTS, len(ordered)) or 1)
    return [float(part.mean()) for part in parts if len(part)]


def weight_of(model: nn.Module) -> float:
    """Tau; nan for a head without the uncertainty loss."""
    found = [
        loss.loss_weight
        for loss in model.roi_head.losses.values()
        if isinstance(loss, UncertaintyLoss)
    ]
    return found[0] if found and found[0] else float('nan')


def report(found: dict, losses: Sequence[float] = ()) -> str:
    kinds = [kind for kind, what in found if what == 'energy']
    known = found[_KNOWN, 'energy']
    rows = []
    for kind in kinds:
        energies = found[kind, 'energy']
        sides = [0] * len(known) + [1] * len(energies)
        area = 100 * auroc(known + energies, sides)
        hits = found.get((kind, 'hit'))
        rows.append(
            [
                kind,
                np.mean(energies),
                np.std(energies),
                None if kind == _KNOWN else area,
                100 * np.mean(hits) if hits else None,
            ]
        )
    headers = ('maps', 'energy', 'deviation', 'AUROC', 'class right (%)')
    text = tabulate(rows, headers, 'github', floatfmt='.2f')
    levels = [level for name, level in found if name == 'F^_0']
    left = [sum(found['F^_0', i]) / sum(found['F_T', i]) for i in levels]
    if left:
        shares = ', '.join(f'{value**0.5:.2f}' for value in left)
        text += f'\nshare of the blur left, by level: {shares}'
    if len(losses):
        parts = ', '.join(f'{value:.3f}' for value in losses)
        text += (
            f'\nuncertainty loss in nats, by {len(losses)} parts of the '
            f'training: {parts}'
        )
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
    parser.add_argument(
        '--ood-sets',
        action='store_true',
        help="also the objects of the OOD sets of the config's test",
    )
    args = parser.parse_args()
    runner = load(args)
    runner.model.eval()
    found: dict = defaultdict(list)
    for batch in tqdm(runner.build_dataloader(runner.cfg.val_dataloader)):
        inspect(runner.model, batch, found)
    if args.ood_sets:
        for batch in tqdm(runner.build_dataloader(runner.cfg.test_dataloader)):
            inspect_ood(runner.model, batch, found)
    weight = weight_of(runner.model)
    losses = loss_over_training(Path(args.checkpoint).parent, weight)
    print(report(found, losses))


if __name__ == '__main__':
    main()
