"""What all fitted scores promise, and two ranks against one process."""

import inspect
import sys
from dataclasses import replace
from functools import partial

import pytest
import torch
from torch import nn

from helpers import assert_near, run_script
from mmood.registry import SCORES
from mmood.scores import (
    FDBD,
    KNN,
    FittedScore,
    GramMatrices,
    KLMatching,
    LinearClassifier,
    Mahalanobis,
    NNGuide,
    OpenMax,
    RelativeMahalanobis,
    Residual,
    Samples,
    SimplifiedHopfieldEnergy,
    ViM,
)
from mmood.scores.fitted import in_parts

C, K = 12, 4
CLASSES = ('ant', 'bee', 'cat', 'dog')
BUILDERS = dict(
    mahalanobis=partial(Mahalanobis, C, K),
    knn=partial(KNN, C, 3, bank_size=60, coreset_size=40),
    gram=partial(GramMatrices, C, K),
    rmds=partial(RelativeMahalanobis, C, K),
    she=partial(SimplifiedHopfieldEnergy, C, K),
    residual=partial(Residual, C),
    vim=partial(ViM, C, sample_size=60),
    nnguide=partial(NNGuide, C, 3, bank_size=60),
    fdbd=partial(FDBD, C, K),
    openmax=partial(OpenMax, K, sample_size=30),
    kl_matching=partial(KLMatching, K),
)
NAMES = sorted(BUILDERS)
OF_FEATURES = [n for n in NAMES if 'features' in SCORES.get(n).reads]


def data(count=160):
    """Features (N, C), and logits (N, K) that say the class."""
    generator = torch.Generator().manual_seed(3)
    features = torch.randn(count, C, generator=generator)
    labels = torch.arange(count) * 7 % K
    logits = torch.randn(count, K, generator=generator)
    logits[torch.arange(count), labels] += 9
    weight = torch.randn(K, C, generator=generator)
    return Samples(
        logits,
        features + labels[:, None],
        classifier=LinearClassifier(weight, torch.ones(K)),
    )


def fit(name, samples, index=None, classes=None):
    """Fitted on some of the samples, in batches; all of them if None."""
    score = BUILDERS[name]()
    score.reset()
    index = torch.arange(len(samples.logits)) if index is None else index
    for keys in index.split(37):
        batch = samples[keys]
        labels = batch.logits.argmax(1)
        score.update(batch, labels=labels, keys=keys)
    score.finish(classes)
    return score


@pytest.fixture(params=NAMES)
def name(request):
    return request.param


def test_unfitted_it_says_how_to_fit(name):
    score, samples = BUILDERS[name](), data(5)
    assert isinstance(score, FittedScore)
    kind = type(score).__name__
    assert SCORES.get(name) is type(score)
    message = rf'{kind} is not fitted: .*fit_scores\.py .*FitScoresHook'
    for _ in range(2):
        with pytest.raises(RuntimeError, match=message):
            score(samples)
        score = fit(name, data())
        assert score(samples).shape == (5,)
        score.reset()


def test_reset_forgets_all_samples(name):
    samples = data()
    score = fit(name, replace(samples, features=3 * samples.features.exp()))
    score.reset()
    labels, keys = samples.logits.argmax(1), torch.arange(160)
    score.update(samples, labels=labels, keys=keys)
    score.finish()
    for key, value in fit(name, samples).state_dict().items():
        torch.testing.assert_close(score.state_dict()[key], value)


def test_classes_in_another_order(name):
    score = fit(name, data(), classes=CLASSES)
    score.check_classes(CLASSES)
    score.check_classes(None)
    with pytest.raises(ValueError, match=r"another order, than \('dog', "):
        score.check_classes(CLASSES[::-1])
    fit(name, data()).check_classes(CLASSES)  # fitted without names
    BUILDERS[name]().check_classes(CLASSES)


@pytest.mark.parametrize('name', OF_FEATURES)
@pytest.mark.parametrize('value', [float('nan'), float('inf')])
def test_features_that_are_not_finite_are_named(name, value):
    samples = data()
    samples.features[[1, 4], 2] = value
    with pytest.raises(
        ValueError, match='got 2 samples with nan or infinite features'
    ):
        fit(name, samples)


@pytest.mark.parametrize('name', OF_FEATURES)
def test_features_of_another_width(name):
    samples = data()
    samples.features = samples.features[:, 1:]
    with pytest.raises(ValueError, match=r'\(N, 12, \*\), got \(37, 11\)'):
        fit(name, samples)


@pytest.mark.parametrize(
    'name', ['gram', 'mahalanobis', 'openmax', 'rmds', 'she']
)
def test_labels_that_do_not_fit(name):
    score, samples = BUILDERS[name](), data(6)
    score.reset()
    for label in (-1, K):
        labels = torch.tensor([0, 1, 2, 3, 1, label])
        found = rf'{labels.min()}\.\.{labels.max()}: leave background'
        with pytest.raises(ValueError, match=rf'in 0\.\.3, got {found}'):
            score.update(samples, labels=labels)
    with pytest.raises(ValueError, match=r'one label each, .* \(5,\)'):
        score.update(samples, labels=labels[:5])


@pytest.mark.parametrize('name', OF_FEATURES)
@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_precision_only_rounds_the_features(name, dtype):
    samples = data()
    half = replace(samples, features=samples.features.to(dtype))
    full = replace(samples, features=half.features.float())
    one, other = fit(name, half), fit(name, full)
    # Beyond what was seen, where Gram's deviations are not 0.
    half, full = (replace(s, features=s.features * 2) for s in (half, full))
    found, expected = one(half), other(full)
    assert found.dtype == expected.dtype != dtype
    assert_near(found, expected)
    assert len(found.unique()) > 150  # neighbours may be mutual


def test_a_checkpoint_restores_it(name):
    samples = data()
    score, fresh = fit(name, samples, classes=CLASSES), BUILDERS[name]()
    fresh.load_state_dict(score.state_dict())
    outside = replace(samples, features=samples.features * 2)
    expected = score(outside)
    assert_near(fresh(outside), expected)
    with pytest.raises(ValueError, match='another order'):
        fresh.check_classes(CLASSES[::-1])


# Of the direction to one class alone, which noise has by chance.
@pytest.mark.parametrize('name', [n for n in OF_FEATURES if n != 'she'])
def test_outliers_score_higher(name):
    samples = data()
    score = fit(name, samples)
    known = data(200)[160:]
    outliers = replace(known, features=12 * torch.randn(40, C))
    low, high = (score(s) for s in (known, outliers))
    assert (high[:, None] > low).double().mean() > 0.85


def shares():
    """The samples of two ranks, uneven and mixed."""
    order = torch.randperm(160, generator=torch.Generator().manual_seed(1))
    return order.split([97, 63])


def test_two_ranks_agree_with_one_process(tmp_path):
    run_script(__file__, tmp_path, ranks=2)
    ranks = [torch.load(tmp_path / f'{rank}.pth') for rank in range(2)]
    for name in NAMES:
        alone = fit(name, data(), classes=CLASSES).state_dict()
        assert alone.keys() == ranks[0][name].keys()
        for key, value in alone.items():
            one, two = (rank[name][key] for rank in ranks)
            assert_near(one, two)
            if key == 'bank':
                assert_near(one, value)
            assert_near(one, value, rtol=1e-5, atol=1e-8)


def main(folder):
    torch.distributed.init_process_group('gloo')
    rank = torch.distributed.get_rank()
    scores = {
        name: fit(name, data(), shares()[rank], CLASSES).state_dict()
        for name in NAMES
    }
    torch.save(scores, f'{folder}/{rank}.pth')
    torch.distributed.destroy_process_group()


if __name__ == '__main__':
    main(*sys.argv[1:])


def test_update_and_finish_want_a_reset_first(name):
    score, samples = BUILDERS[name](), data()
    keys = torch.arange(len(samples.logits))
    labels = samples.logits.argmax(1)
    for _ in range(2):
        with pytest.raises(RuntimeError, match=r'call reset\(\) before'):
            score.update(samples, labels=labels, keys=keys)
        with pytest.raises(RuntimeError, match=r'call reset\(\) before'):
            score.finish()
        score = fit(name, samples)


def test_a_checkpoint_of_other_sizes_leaves_it_unfitted():
    state = fit('gram', data()).state_dict()
    other = GramMatrices(C, K, powers=(1, 2))
    with pytest.raises(RuntimeError, match='size mismatch'):
        other.load_state_dict(state)
    with pytest.raises(RuntimeError, match='not fitted'):
        other(data(3))


@pytest.mark.parametrize('name', OF_FEATURES)
@pytest.mark.parametrize('value', [float('nan'), float('inf')])
@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
def test_no_number_is_made_of_features_that_are_none(name, dtype, value):
    score, samples = fit(name, data()), data(6)
    samples.features[2, 3] = value
    samples = replace(
        samples,
        logits=samples.logits.to(dtype),
        features=samples.features.to(dtype),
    )
    values = score(samples)
    finite = torch.isfinite(values).tolist()
    assert finite == [True, True, False] + 3 * [True]
    assert values.dtype in (torch.float32, torch.float64)


def test_a_state_of_another_width_leaves_it_unfitted(name):
    one_more = dict(channels=C + 1)
    if name not in OF_FEATURES:
        one_more = dict(num_classes=K + 1)
    kind, *arguments = BUILDERS[name].func, *BUILDERS[name].args
    names = list(inspect.signature(kind).parameters)
    other = kind(**{**dict(zip(names, arguments)), **one_more})
    with pytest.raises(RuntimeError, match='size mismatch'):
        other.load_state_dict(fit(name, data()).state_dict(), strict=False)
    assert not other.is_fitted
    score = fit(name, data())
    score.load_state_dict({}, strict=False)  # other weights, without a fit
    assert not score.is_fitted


class Doubled(nn.Module):
    def forward(self, x):
        return torch.cat([2 * part for part in in_parts(x, 4)])


def test_rows_are_taken_at_once_in_a_graph_alone():
    x = torch.rand(11, 2)
    assert [len(part) for part in in_parts(x, 4)] == [4, 4, 3]
    sizes = ({0: torch.export.Dim('rows')},)
    graph = torch.export.export(
        Doubled(), (torch.rand(6, 2),), dynamic_shapes=sizes, strict=False
    )
    assert torch.equal(graph.module()(x), 2 * x)
