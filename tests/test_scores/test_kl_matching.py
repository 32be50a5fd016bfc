"""KLMatching against scipy's relative entropy."""

import sys

import numpy as np
import pytest
import torch
from scipy.special import softmax
from scipy.stats import entropy

from helpers import assert_near
from mmood.scores import KLMatching, Samples, ScoreSet, kl_matching
from pytorch_ood_helpers import detector
from score_helpers import as_maps, fit, linear_samples

K = 4


def logits_of(count, seed=0):
    return Samples(linear_samples(count, seed)[0].logits)


def expected_of(train, x):
    p, q = (softmax(v.logits.double().numpy(), 1) for v in (train, x))
    predicted = p.argmax(1)
    templates = [p[predicted == c].mean(0) for c in np.unique(predicted)]
    return [min(entropy(row, d) for d in templates) for row in q]


@pytest.mark.parametrize('step', [7, 1000])
def test_it_is_scipys_divergence_of_the_nearest_template(step, monkeypatch):
    train, x = logits_of(200), logits_of(20, seed=1)
    score = fit(KLMatching(K), train, step=step)
    monkeypatch.setattr(sys.modules[KLMatching.__module__], 'CHUNK', 3)
    np.testing.assert_allclose(score(x), expected_of(train, x), rtol=1e-7)
    predicted = train.logits.argmax(1)
    assert score.count.tolist() == predicted.bincount(minlength=K).tolist()


def test_known_numbers():
    templates = torch.tensor([[0.5, 0.5], [1.0, 0.0]])
    x = torch.tensor([[0.25, 0.75], [0.5, 0.5], [1.0, 0.0]]).log()
    found = kl_matching(x, templates)
    expected = [0.75 * np.log(1.5) + 0.25 * np.log(0.5), 0, 0]
    np.testing.assert_allclose(found, expected, atol=1e-7)
    # Against a template without the class: the least number counts.
    found = kl_matching(x[1:2], templates[1:])
    tiny = np.finfo(float).tiny
    np.testing.assert_allclose(found, -np.log(2) - np.log(tiny) / 2, 1e-7)
    with pytest.raises(ValueError, match='templates .* no class'):
        kl_matching(x, templates[:0])


def test_labels_do_not_matter():
    train, x = logits_of(90), logits_of(9, seed=1)
    score = fit(KLMatching(K), train, torch.zeros(90).long())
    assert_near(score(x), fit(KLMatching(K), train)(x))


def test_maps_are_rows():
    train, x = logits_of(200), logits_of(40, seed=1)
    score = fit(KLMatching(K), train)
    assert_near(score(as_maps(x)), score(x).view(2, 4, 5))
    again = KLMatching(K)
    again.reset()
    again.update(as_maps(train))
    again.finish()
    assert_near(again.templates, score.templates)


def test_a_class_that_is_never_predicted_is_left_out():
    train, x = logits_of(200), logits_of(9, seed=1)
    train.logits[:, 2] = -30
    with pytest.warns(UserWarning, match='class 2: it is left out'):
        score = fit(KLMatching(K), train)
    np.testing.assert_allclose(score(x), expected_of(train, x), rtol=1e-7)


def test_sure_predictions_stay_finite():
    """Of 2000 in a logit: all other probabilities are 0."""
    x = Samples(2000 * torch.eye(K))
    score = fit(KLMatching(K), x)
    assert_near(score(x), torch.zeros(K).double())
    flat = score(Samples(torch.zeros(1, K)))
    assert torch.isfinite(flat).all() and flat > 100


def test_no_sample_and_one_class():
    with pytest.raises(ValueError, match='no sample to fit KLMatching on'):
        fit(KLMatching(K), Samples(torch.zeros(0, K)))
    with pytest.raises(ValueError, match="'kl_matching' is a softmax over"):
        ScoreSet(['kl_matching'], num_classes=1)


def test_logits_that_are_not_finite_are_named():
    x = logits_of(9)
    x.logits[3, 1] = torch.nan
    score = KLMatching(K)
    score.reset()
    with pytest.raises(ValueError, match='1 samples with nan .* logits'):
        score.update(x)


def test_it_is_that_of_pytorch_ood():
    Other = detector('klmatching', 'KLMatching')
    train, x = logits_of(200), logits_of(20, seed=1)
    other = Other(None).fit_logits(train.logits)
    expected = other.predict_logits(x.logits)
    found = fit(KLMatching(K), train)(x)
    assert_near(found.float(), expected, rtol=1e-3, atol=1e-4)
