"""Scores around others: what fits into what, fits, checkpoints, ranks.

Shapes: N samples, C channels, K classes.
"""

import sys

import pytest
import torch

from helpers import assert_near, run_script
from mmood.scores import (
    ASH,
    DICE,
    ReAct,
    Samples,
    Scale,
    ScoreSet,
    Temperature,
    ash,
    energy,
    gen,
    gradnorm,
    joint_energy,
    largest_contributions,
    msp,
)
from score_helpers import fit, linear_samples

C, K = 7, 4
NESTED = dict(type='react', score=dict(type='dice', percentile=50))


def build(config, **kwargs):
    sizes = dict(num_classes=K, channels=C, missing=dict(classifier=''))
    return ScoreSet([config], **{**sizes, **kwargs})


def fitted(config, samples, labels, **kwargs):
    scores = build(config, **kwargs)
    for stage in scores.stages():
        scores.start(stage)
        scores.update(samples, labels, torch.arange(len(samples)))
        scores.finish()
    return scores


@pytest.mark.parametrize('name', ['react', 'dice', 'ash', 'scale'])
@pytest.mark.parametrize(
    ('score', 'function'),
    [
        ('msp', msp),
        (dict(type='gen', gamma=0.3), lambda z: gen(z, gamma=0.3)),
        (dict(type='energy', temperature=2), lambda z: energy(z, 1, 2.0)),
    ],
)
def test_each_takes_any_score_of_logits(name, score, function):
    train, labels = linear_samples(100)
    x = linear_samples(20, seed=1)[0]
    config = dict(type=name, score=score, name='mine', percentile=40)
    scores = fitted(config, train, labels)
    changed = scores._scores['mine'].changed(x)
    assert (changed.logits - x.logits).abs().max() > 0.01
    assert_near(scores(x)['mine'], function(changed.logits))


def test_gradnorm_sees_the_changed_features():
    x = linear_samples(20)[0]
    config = dict(type='ash', score='gradnorm', kind='P')
    cut = ash(x.features, 60, 'P')
    expected = gradnorm(cut, x.classifier(cut))
    assert_near(build(config)(x)['ash'], expected)


def cut_and_masked(train, x):
    """ReAct and DICE by hand."""
    limit = train.features.flatten().double().quantile(0.9).float()
    own, mean = x.classifier, train.features.mean(0)
    mask = largest_contributions(own.weight, mean, 50)
    cut = x.features.clamp(max=limit)
    return energy(cut @ (own.weight * mask).T + own.bias)


@pytest.mark.parametrize(
    'config',
    [NESTED, dict(type='dice', percentile=50, score='react')],
)
def test_react_and_dice_together(config):
    """In either order, both of features as they come."""
    train, labels = linear_samples(100)
    x = linear_samples(20, seed=1)[0]
    scores = fitted(config, train, labels)
    found = scores(x)[config['type']]
    assert_near(found, cut_and_masked(train, x))
    other = build(config)
    other.load_state_dict(scores.state_dict())
    assert_near(other(x)[config['type']], found)


def test_dice_around_ash_is_ash_before_dice():
    train, labels = linear_samples(100)
    config = dict(type='dice', percentile=50, score='ash')
    found = fitted(config, train, labels)(train)['dice']
    own = train.classifier
    mask = largest_contributions(own.weight, train.features.mean(0), 50)
    z = ash(train.features) @ (own.weight * mask).T + own.bias
    assert_near(found, energy(z))


def test_a_fit_without_that_of_the_inner_one_is_none():
    train, labels = linear_samples(100)
    plain = fitted(dict(type='react'), train, labels)
    nested = build(NESTED)
    nested.load_state_dict(plain.state_dict(), strict=False)
    with pytest.raises(RuntimeError, match='DICE is not fitted'):
        nested(train)
    again = fitted(NESTED, train, labels)
    again.fitted['react'].forget()
    assert not again.fitted['react'].inner.is_fitted


def test_samples_that_are_not_finite():
    train, labels = linear_samples(20)
    train.features[3, 2] = torch.nan
    with pytest.raises(ValueError, match='ReAct got 1 samples with nan'):
        fitted(NESTED, train, labels)


@pytest.mark.parametrize(
    ('config', 'message'),
    [
        (dict(type='react', score='knn'), "'knn' has to be fitted"),
        (dict(type='react', score='odin'), "'odin' reads inputs"),
        (dict(type='react', score='compound'), "'compound' reads values"),
        (dict(type='react', score='temperature'), 'has to be fitted'),
        (dict(type='ash', score='react'), "'react' has to be fitted, .* put"),
        (dict(type='scale', score=NESTED), "'react' has to be fitted"),
        (dict(type='ash', score='enery'), "unknown score 'enery'"),
        (dict(type='ash', score=None), 'a name or a dict'),
    ],
)
def test_what_does_not_fit_into_another(config, message):
    with pytest.raises(ValueError, match=message):
        build(config)


def test_wrong_arguments_of_the_inner_score():
    with pytest.raises(TypeError, match='depth'):
        build(dict(type='ash', score=dict(type='energy', depth=2)))


@pytest.mark.parametrize('name', ['ash', 'scale', 'react', 'dice'])
def test_kinds_are_those_of_the_inner_score(name):
    build(name, kind='sigmoid')
    with pytest.raises(ValueError, match="'entropy' is|softmax logits"):
        build(dict(type=name, score='entropy'), kind='sigmoid')
    with pytest.raises(ValueError, match='these are of mask'):
        build(name, kind='mask')


def test_independent_classes_have_their_own_energy():
    x = linear_samples(20)[0]
    x.kind = 'sigmoid'
    found = build(dict(type='ash', kind='P'), kind='sigmoid')(x)['ash']
    cut = ash(x.features, 60, 'P')
    assert_near(found, joint_energy(x.classifier(cut)))


@pytest.mark.parametrize('name', ['ash', 'scale', 'react', 'dice'])
def test_one_class(name):
    build(name, num_classes=1)
    with pytest.raises(ValueError, match="'msp' is a softmax over one class"):
        build(dict(type=name, score='msp'), num_classes=1)


@pytest.mark.parametrize('name', ['ash', 'scale', 'react', 'dice'])
def test_a_model_without_a_linear_classifier(name):
    with pytest.raises(ValueError, match=f"'{name}' reads the last linear"):
        build(name, missing=dict(classifier='it is a cosine'))


BUILDERS = dict(
    react=lambda: ReAct(C, K, sample_size=60),
    dice=lambda: DICE(C, K),
    nested=lambda: ReAct(C, K, score='dice'),
    temperature=lambda: Temperature(K, sample_size=60),
)


def shares():
    """The samples of two ranks, uneven and mixed."""
    order = torch.randperm(160, generator=torch.Generator().manual_seed(1))
    return order.split([97, 63])


def fit_all(index=None):
    samples, labels = linear_samples(160)
    index = torch.arange(160) if index is None else index
    found = {}
    for name, make in BUILDERS.items():
        score = make()
        score.reset()
        for keys in index.split(37):
            score.update(samples[keys], labels[keys], keys)
        score.finish(('a', 'b', 'c', 'd'))
        found[name] = score.state_dict()
    return found


def test_two_ranks_agree_with_one_process(tmp_path):
    run_script(__file__, tmp_path, ranks=2)
    ranks = [torch.load(tmp_path / f'{rank}.pth') for rank in range(2)]
    for name, alone in fit_all().items():
        for key, value in alone.items():
            for rank in ranks:
                assert_near(rank[name][key], value, rtol=1e-5, atol=1e-8)


def main(folder):
    torch.distributed.init_process_group('gloo')
    rank = torch.distributed.get_rank()
    torch.save(fit_all(shares()[rank]), f'{folder}/{rank}.pth')
    torch.distributed.destroy_process_group()


if __name__ == '__main__':
    main(*sys.argv[1:])


def test_a_stateless_one_needs_no_fit():
    for score in (ASH(C, K), Scale(C, K)):
        assert not hasattr(score, 'state_dict')
    scores = build('ash')
    assert not scores.needs_fit and not scores.fitted


@pytest.mark.parametrize('name', ['nested', 'dice', 'react'])
def test_another_width(name):
    samples, labels = linear_samples(20)
    narrow = Samples(features=samples.features[:, 1:])
    with pytest.raises(ValueError, match=r'\(N, 7, \*\), got \(20, 6\)'):
        fit(BUILDERS[name](), narrow, labels)
