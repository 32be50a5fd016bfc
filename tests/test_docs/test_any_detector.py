"""docs/en/any_detector.md says what works with which head."""

import re

import pytest

from dense_heads import ood_head
from det_helpers import build_head
from helpers import ROOT
from query_detectors import ood_detector

_PAGE = (ROOT / 'docs/en/any_detector.md').read_text()
LOGISTIC = dict(type='mmood.LogisticUncertaintyLoss')
# What a row is tried with, if it is no list of scores.
PARTS = {
    'SIREN': dict(losses=[dict(type='mmood.SIRENLoss')]),
    'VOS': dict(
        losses=[LOGISTIC],
        outliers=dict(type='mmood.VirtualOutlierSynthesis', queue_size=2),
    ),
    'DFDD, outliers on blurred maps': dict(
        losses=[dict(type='mmood.UncertaintyLoss')],
        outliers=dict(type='mmood.BlurredOutliers'),
    ),
    'DFDD, consistency': dict(losses=[dict(type='mmood.ConsistencyLoss')]),
    'GAN-synthesis': dict(
        losses=[dict(type='mmood.ConfidenceLoss')],
        outliers=dict(type='mmood.GANSynthesis'),
    ),
    'CSI': dict(losses=[dict(type='mmood.CSILoss')]),
    'Dream-Box, objects flagged OOD': dict(
        losses=[dict(type='mmood.EnergyOODLoss')],
        outliers=dict(type='mmood.AnnotatedOutliers'),
    ),
}
HEADS = {
    'RoI head': lambda **more: build_head('standard', **more),
    'one-stage, 3 x 3': lambda **more: ood_head('retina', **more),
    'one-stage, linear': lambda **more: ood_head('unseen', **more),
    'one-stage, softmax': lambda **more: ood_head('retina_softmax', **more),
    'DETR (softmax)': lambda **more: ood_detector('detr', **more),
    'other DETRs (sigmoid)': lambda **more: ood_detector('dino', **more),
}


def table():
    """{(row, column): cell} of the page's table."""
    lines = re.findall(r'^\| .* \|$', _PAGE, re.M)
    rows = [[c.strip() for c in line.strip('|').split('|')] for line in lines]
    start = next(i for i, r in enumerate(rows) if r[0] == 'scores, losses')
    columns = rows[start][1:]
    assert columns == list(HEADS)
    cells = {}
    for name, *values in rows[start + 1 :]:
        cells.update({(name, c): v for c, v in zip(columns, values)})
    return cells


def tries(row):
    if row in PARTS:
        return [PARTS[row]]
    return [dict(scores=[name]) for name in re.findall(r'`(\w+)`', row)]


@pytest.mark.parametrize('row, column', table(), ids=str)
def test_a_combination_is_as_the_page_says(row, column):
    cell = table()[row, column]
    assert cell in ('yes', 'no') and tries(row)
    for more in tries(row):
        if cell == 'yes':
            HEADS[column](**more)
        else:
            with pytest.raises(ValueError, match='reads|defined'):
                HEADS[column](**more)


def test_every_part_that_is_tried_stands_there():
    rows = {row for row, _ in table()}
    assert set(PARTS) <= rows
