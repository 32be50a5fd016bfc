"""Making a model ready to be traced."""

import torch
from torch import nn

from deploy_helpers import fit_scores
from mmood.deploy.trace import SameNoise, known_thresholds, traceable
from mmood.scores import Samples, ScoreSet


class Noisy(nn.Module):
    def forward(self, x):
        generator = torch.Generator().manual_seed(len(x))
        first = torch.randn(3, generator=generator)
        return x + first, torch.randn((2, 3))


def test_noise_is_drawn_once():
    graph = SameNoise(Noisy(), (torch.zeros(2, 3),))
    known = torch.randn(3, generator=torch.Generator().manual_seed(2))
    found, other = graph(torch.zeros(2, 3))
    assert torch.equal(found, known.expand(2, 3))
    torch.manual_seed(99)
    again, same = graph(torch.ones(2, 3))
    assert torch.equal(again, known + torch.ones(2, 3))
    assert torch.equal(other, same)
    assert len(dict(graph.named_buffers())) == 2


def test_a_graph_without_noise_stays_as_it_is():
    graph = SameNoise(nn.ReLU(), (torch.zeros(2),))
    assert graph(torch.tensor([-1.0, 2.0])).tolist() == [0, 2]
    assert not dict(graph.named_buffers())


def test_a_traceable_copy_has_numbers_where_it_asks():
    names = ['energy', dict(type='knn', k=3), 'react']
    scores = ScoreSet(names, num_classes=3, channels=5, missing={})
    scores = nn.ModuleDict(dict(scores=scores)).train()
    fit_scores(scores['scores'], 5, 3)
    copied = traceable(scores)
    assert not copied.training and scores.training
    knn = copied['scores'].knn
    assert (
        knn.is_fitted is True and 'is_fitted' in scores['scores'].knn._buffers
    )
    assert copied['scores'].react.fitted_percentile == 90.0
    x = Samples(torch.randn(4, 3), torch.rand(4, 5))
    found = copied['scores'](x, ['energy', 'knn'])
    for name, value in scores['scores'](x, ['energy', 'knn']).items():
        torch.testing.assert_close(found[name], value)


def test_only_calibrated_thresholds_are_known():
    scores = ScoreSet(['energy', 'msp'], num_classes=3)
    scores.thresholds['msp'].fill_(0.5)
    assert known_thresholds(scores, scores.names) == dict(msp=0.5)
