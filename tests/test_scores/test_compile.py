"""torch.compile of scores gives the same values.

Shapes: see `score_helpers`.
"""

import pytest
import torch

from helpers import assert_near
from mmood.scores import Samples, ScoreSet
from score_helpers import C, K, linear_samples

SCORES = [
    'energy',
    'msp',
    'max_logit',
    'entropy',
    'gen',
    'temperature',
    'gradnorm',
    'react',
    dict(type='ash', kind='S'),
    'scale',
    'dice',
    'mahalanobis',
    'rmds',
    'residual',
    'vim',
    'knn',
    'nnguide',
    'fdbd',
    'she',
    'kl_matching',
    'openmax',
    'gram',
    dict(type='compound', of=['energy', 'knn']),
]


@pytest.fixture(scope='module')
def scores():
    """All that are post-hoc and of rows, fitted."""
    found = ScoreSet(SCORES, num_classes=K, channels=C, missing={})
    samples, labels = linear_samples(500)
    keys = torch.arange(len(samples))
    for stage in found.stages():
        found.start(stage)
        has_values = bool(found.compounded)
        seen = found.with_values(samples) if has_values else samples
        found.update(seen, labels, keys)
        found.finish()
    return found.eval()


@pytest.mark.filterwarnings('ignore')
def test_compiled_scores_are_the_same(scores):
    """Traced, without a compiler of C++, for two numbers of rows."""
    compiled = torch.compile(scores, backend='aot_eager')
    for count in (6, 9):
        samples, _ = linear_samples(count, seed=count)
        expected = scores(samples)
        found = compiled(samples)
        assert list(found) == list(expected) == list(scores.names)
        for name, value in found.items():
            assert_near(value, expected[name])


@pytest.mark.filterwarnings('ignore')
def test_scores_of_logits_compile_to_one_graph():
    scores = ScoreSet(['energy', 'msp', 'max_logit', 'entropy'], num_classes=K)

    def judge(logits):
        return scores(Samples(logits))

    compiled = torch.compile(judge, backend='aot_eager', fullgraph=True)
    logits = torch.randn(2, K, 3, 4)
    for name, value in compiled(logits).items():
        assert_near(value, scores(Samples(logits))[name])
