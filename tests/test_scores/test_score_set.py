"""A list of scores: names, arguments, fits and thresholds."""

import pytest
import torch

from helpers import assert_near
from mmood.registry import SCORES
from mmood.scores import (
    FittedScore,
    Samples,
    ScoreSet,
    energy,
    joint_energy,
    max_logit,
    register_score,
    score_names,
)

K, C = 3, 5


@pytest.fixture
def margin():
    """A user's own score, a function."""

    @register_score('margin')
    def margin(samples: Samples, power: float = 1.0) -> torch.Tensor:
        top = samples.logits.topk(2, dim=1).values
        return -((top[:, 0] - top[:, 1]) ** power)

    yield margin
    SCORES.module_dict.pop('margin')


@pytest.fixture
def norm():
    """A user's own score, fitted: the share of the largest norm."""

    @register_score('norm', reads=('features',))
    class Norm(FittedScore):
        def __init__(self, channels: int, scale: float = 1.0) -> None:
            super().__init__()
            self.channels, self.scale = channels, scale
            self.register_buffer('largest', torch.tensor(0.0))

        def _start(self):
            self.largest.zero_()

        def _add(self, samples, labels, keys):
            norms = samples.features.norm(dim=1)
            self.largest.copy_(torch.maximum(self.largest, norms.max()))

        def _finish(self):
            pass

        def _score(self, samples):
            share = samples.features.norm(dim=1) / self.largest
            return -self.scale * share

    yield Norm
    SCORES.module_dict.pop('norm')


def samples(n=20, tail=()):
    return Samples(torch.randn(n, K, *tail), torch.randn(n, C, *tail))


def build(*configs, **kwargs):
    return ScoreSet(configs, **{**dict(num_classes=K, channels=C), **kwargs})


def fit(scores, x):
    for stage in scores.stages():
        scores.start(stage)
        labels = torch.arange(len(x)) % K
        scores.update(scores.with_values(x), labels, torch.arange(len(x)))
        scores.finish()
    return scores


@pytest.mark.parametrize('tail', [(), (4, 2)])
def test_values_by_name_in_the_order_of_the_list(tail):
    x = samples(6, tail)
    found = build('max_logit', 'energy')(x)
    assert list(found) == ['max_logit', 'energy']
    assert_near(found['energy'], energy(x.logits))
    assert_near(found['max_logit'], max_logit(x.logits))
    assert list(build('max_logit', 'energy')(x, ['energy'])) == ['energy']


def test_arguments_and_names():
    hot = dict(name='hot', type='energy', temperature=3.0)
    scores, x = build('energy', hot), samples()
    assert scores.names == ('energy', 'hot') and scores.first == 'energy'
    assert_near(scores(x)['hot'], energy(x.logits, temperature=3.0))
    near = build(dict(type='knn', name='near', k=2), dict(type='knn', k=4))
    assert [score.k for score in near.fitted.values()] == [2, 4]
    assert near.names == ('near', 'knn')


def test_a_user_s_function_is_a_score_like_any_other(margin):
    x = samples()
    scores = build('margin', dict(type='margin', name='square', power=2))
    assert 'margin' in score_names()
    found = scores(x)
    assert_near(found['margin'], margin(x))
    assert_near(found['square'], -margin(x).square())
    assert not scores.needs_fit and scores.reads('square') == ('logits',)
    assert scores.thresholds['margin'].isnan()


@pytest.mark.parametrize(
    ('score', 'found'),
    [
        (lambda x: x.logits.amax(1, keepdim=True), r'\(6, 1\)'),
        (lambda x: x.logits, rf'\(6, {K}\)'),
        (lambda x: x.logits.amax(), r'\(\)'),
        (lambda x: x.logits[1:].amax(1), r'\(5,\)'),
        (lambda x: x.logits.argmax(1), 'Tensor'),
        (lambda x: x.logits.amax(1).numpy(), 'ndarray'),
        (lambda x: None, 'NoneType'),
    ],
)
def test_a_user_s_function_that_gives_no_number_of_each(score, found):
    score = register_score('odd')(score)
    try:
        message = f"'odd' gives {found} of 6 samples: .* floats, \\(6,\\)"
        with pytest.raises(ValueError, match=message):
            build('energy', 'odd')(samples(6))
    finally:
        SCORES.module_dict.pop('odd')


def test_a_user_s_fitted_score_is_told_the_width_and_saved(norm):
    x = samples()
    scores = build('energy', dict(type='norm', scale=2.0))
    assert scores.fitted['norm'].channels == C
    with pytest.raises(RuntimeError, match='Norm is not fitted'):
        scores(x)
    fit(scores, x)
    expected = -2 * x.features.norm(dim=1) / x.features.norm(dim=1).max()
    assert_near(scores(x)['norm'], expected)
    again = build('energy', dict(type='norm', scale=2.0))
    again.load_state_dict(scores.state_dict(), strict=False)
    assert_near(again(x)['norm'], expected)


def test_what_a_score_alone_needs():
    both = dict(type='compound', of=['energy', 'msp'])
    scores = ScoreSet(['energy', 'msp', 'entropy', both], num_classes=K)
    assert scores.needed_for('entropy') == ('entropy',)
    assert scores.needed_for('compound') == ('compound', 'energy', 'msp')


def test_skipping_what_is_not_fitted():
    x = samples()
    both = dict(type='compound', of=['energy', 'knn'])
    scores = build('knn', both, 'energy')
    scores.skips_unfitted = True
    assert list(scores(x)) == ['energy']
    for kind, (name, expected) in dict(
        softmax=('energy', energy(x.logits)),
        sigmoid=('energy', joint_energy(x.logits)),
        mask=('max_logit', max_logit(x.logits)),
    ).items():
        lonely = build('knn', kind=kind)
        lonely.skips_unfitted = True
        found = lonely(x)
        assert list(found) == [name]
        assert_near(found[name], expected)


def test_state_is_known_by_the_names_of_scores():
    x = samples()
    scores = fit(build('energy', dict(type='knn', name='near', k=2)), x)
    scores.thresholds['near'].fill_(1.5)
    other = build(dict(type='knn', name='near', k=2), 'msp')
    other.load_state_dict(scores.state_dict(), strict=False)
    assert other.thresholds['near'] == 1.5
    assert_near(other(x)['near'], scores(x)['near'])


def test_an_update_goes_to_those_that_find_what_they_read():
    scores = build('knn', 'mahalanobis', dict(type='knn', name='own', k=1))
    scores.start(['own'])
    x = samples()
    scores.update(Samples(logits=x.logits))  # nothing for a reader of features
    with pytest.raises(ValueError, match='own: k must be in'):
        scores.finish()
    scores.start(['own'])
    scores.update(x, torch.arange(20) % K)
    assert scores.finish() == 'own fitted on 20 samples a rank'
    assert scores.fitted['own'].is_fitted
    assert not scores.fitted['knn'].is_fitted


@pytest.mark.parametrize(
    'configs, message',
    [
        ([], 'at least one name, got'),
        ('energy', "a list .*got 'energy'"),
        (7, 'a list .*got 7'),
        ([None], 'a name or a dict with its type, got None'),
        (['enrgy'], r"unknown score 'enrgy'; known are \['ash', 'compound', "),
        ([dict(k=3)], r"\{'k': 3\} has no type"),
        (['energy', 'energy'], "'energy' is listed twice"),
        ([dict(type='knn', name='a.b')], r"without '.', '/'"),
        ([dict(type='energy', name='thresholds')], 'cannot be called'),
        ([dict(type='energy', name='forward')], 'cannot be called'),
    ],
)
def test_lists_that_cannot_be(configs, message):
    with pytest.raises(ValueError, match=message):
        ScoreSet(configs, num_classes=K, channels=C)


def test_arguments_that_a_score_does_not_have():
    for name in ('energy', 'knn'):
        with pytest.raises(TypeError, match='warmth'):
            build(dict(type=name, warmth=2))


def test_scores_that_do_not_fit_the_logits():
    with pytest.raises(ValueError, match="'entropy' is defined for softmax"):
        build('entropy', kind='sigmoid')
    with pytest.raises(ValueError, match="'gen' .* and these are of mask"):
        build('gen', kind='mask')
    for name in ('rba', 'mask2anomaly', 'eam', 'maskomaly'):
        message = f"'{name}' is .* mask logits .Mask2FormerHead, .* of softmax"
        with pytest.raises(ValueError, match=message):
            build(name)
    for name in ('msp', 'entropy', 'odin'):
        with pytest.raises(ValueError, match='softmax over one class'):
            build(name, num_classes=1)
    for name in ('msp', 'entropy'):
        with pytest.raises(ValueError, match='softmax over one class'):
            build(name, kind='mask', num_classes=1)
    assert build('energy', 'max_logit', num_classes=1).names
    assert build('msp', 'energy', kind='sigmoid', num_classes=1).names


def test_features_of_unknown_width():
    with pytest.raises(ValueError, match="'knn' reads features, .*channels"):
        build('knn', channels=None)
    assert build(dict(type='knn', channels=7), channels=None).fitted


def test_a_name_that_is_taken_or_parts_that_do_not_exist(margin):
    with pytest.raises(KeyError, match='margin is already registered'):
        register_score('margin')(lambda samples: samples.logits)
    with pytest.raises(ValueError, match=r"names \('pixels',\); known are"):
        register_score('other', reads=('pixels',))
    with pytest.raises(ValueError, match='in a list'):
        register_score('other', reads='logits')
