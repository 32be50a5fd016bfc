"""Fitted scores of boxes, as by hand of the RoIs that they come from.

Shapes: C = 32 box features, K = 4 classes.
"""

import functools

import pytest
import torch

from det_fit_helpers import Detector, Loader, batches
from det_helpers import K
from helpers import assert_near
from mmood.det.models.roi_tools import correct_boxes, record_calls
from mmood.hooks import fit_scores
from mmood.scores import LinearClassifier, Samples
from mmood.scores.build import build_score, split_config
from score_helpers import fit

C = 32
SCORES = [
    dict(type='mahalanobis', normalize=True, shrinkage=0.1),
    dict(type='rmds', shrinkage=0.1),
    'she',
    dict(type='residual', dim=4),
    dict(type='vim', dim=4),
    dict(type='nnguide', k=3),
    'fdbd',
    'openmax',
    'kl_matching',
]


@pytest.fixture(scope='module')
def model():
    """Of logits that differ, most of them above 0."""
    torch.manual_seed(0)
    model = Detector(scores=['energy', *SCORES]).eval()
    layer = model.roi_head.bbox_head.fc_cls
    with torch.no_grad():
        layer.weight.normal_()
        layer.bias.fill_(3)
    fit_scores(model, Loader(batches()))
    return model


def rois_of(model, batch):
    """Kept boxes of an image, and what the last layer gets and gives of the
    RoIs that they come from, without the background."""
    layer = model.roi_head.bbox_head.fc_cls
    with record_calls(layer) as calls, torch.no_grad():
        sample = model.test_step(batch)[0]
    features, logits = calls[0]
    weight, bias = layer.weight.detach()[:K], layer.bias.detach()[:K]
    rois = Samples(
        logits[:, :K], features, classifier=LinearClassifier(weight, bias)
    )
    energies = -rois.logits.logsumexp(1)
    own = sample.pred_instances.ood_scores_energy[:, None]
    return sample, rois[(own - energies).abs().argmin(1)]


@pytest.mark.filterwarnings('ignore:.*without any sample')
@pytest.mark.parametrize('config', SCORES, ids=lambda c: split_config(c)[0])
def test_scores_of_boxes_are_those_of_their_rois(model, config):
    name, kind, arguments = split_config(config)
    train, labels, seen = [], [], []
    for batch in batches():
        sample, rois = rois_of(model, batch)
        boxes = sample.pred_instances
        is_right = correct_boxes(boxes, sample.instances)
        train.append(rois[is_right])
        labels.append(boxes.labels[is_right])
        seen.append((boxes[f'ood_scores_{name}'], rois))
    train, labels = functools.reduce(Samples.cat, train), torch.cat(labels)
    assert len(labels) > 20
    score = build_score(kind, arguments, dict(num_classes=K, channels=C))
    score = fit(score, train, labels)
    for found, rois in seen:
        expected = score(rois).float()
        assert expected.std() > 1e-4
        assert_near(found.float(), expected, rtol=2e-3, atol=1e-4)
