"""KNN against sklearn's NearestNeighbors."""

import sys

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.spatial.distance import cdist
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import normalize

from helpers import assert_near
from mmood.scores import Samples, ScoreSet, knn
from mmood.scores.knn import (
    KNN,
    knn_distance,
    smallest,
    squared_less_own,
)


def of(x):
    return Samples(features=x)


def sklearn_distance(x, bank, k):
    model = NearestNeighbors(n_neighbors=k, algorithm='brute')
    model.fit(bank.double().numpy())
    return model.kneighbors(x.double().numpy())[0][:, -1]


def fitted(*batches, **kwargs):
    score = KNN(batches[0].shape[1], **kwargs)
    score.reset()
    for x in batches:
        labels = torch.zeros(len(x), dtype=torch.int64)
        score.update(of(x), labels=labels)
    score.finish()
    return score


def test_known_numbers():
    """On a line: 0, 1, 3, 7, seen from 2 and from 7."""
    bank = torch.tensor([[0.0], [1.0], [3.0], [7.0]])
    x = torch.tensor([[2.0], [7.0]])
    for k, expected in enumerate([[1, 0], [1, 4], [2, 6], [5, 7]], 1):
        np.testing.assert_allclose(knn_distance(x, bank, k), expected)


@pytest.mark.parametrize('chunk_size', [1, 7, 64, 4096])
@pytest.mark.parametrize('k', [1, 10, 64])
@pytest.mark.parametrize('count', [1, 30])
def test_matches_sklearn_for_any_chunks(chunk_size, k, count):
    bank, x = torch.randn(64, 5), torch.randn(count, 5)
    found = knn_distance(x, bank, k, chunk_size)
    assert found.dtype == torch.float32
    expected = sklearn_distance(x, bank, k)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_score_matches_sklearn_on_unit_vectors():
    train, x = torch.randn(300, 8).exp(), 3 * torch.randn(40, 8).exp()
    score = fitted(*train.split(70), k=7)
    expected = sklearn_distance(
        *(torch.from_numpy(normalize(v.double())) for v in (x, train)), 7
    )
    np.testing.assert_allclose(score(of(x)), expected, rtol=1e-5, atol=1e-6)
    assert score(of(x)).min() >= 0 and score(of(x)).max() <= 2
    torch.testing.assert_close(score(of(100 * x)), score(of(x)))


def test_score_of_vectors_as_they_are():
    train, x = torch.randn(300, 8), 3 * torch.randn(40, 8)
    score = fitted(train, k=7, normalize=False)
    expected = sklearn_distance(x, train, 7)
    np.testing.assert_allclose(score(of(x)), expected, rtol=1e-5)


@pytest.mark.parametrize('normalize', [True, False])
def test_a_training_sample_is_its_own_neighbour(normalize):
    """The dot product alone would leave a distance of about 3e-4."""
    train = 50 + torch.randn(200, 64)
    score = fitted(train, k=1, normalize=normalize)
    assert_near(score(of(train)), torch.zeros(200))
    same = fitted(*[train[:1]] * 20, k=20, normalize=normalize)
    assert_near(same(of(train[:1])), torch.zeros(1))


def test_neighbours_that_nearly_coincide():
    """1e-5 apart: beyond the dot product, not beyond the difference."""
    x = F.normalize(torch.randn(20, 64, dtype=torch.float64), dim=1)
    near = F.normalize(x + 1e-6 * torch.randn_like(x), dim=1).float()
    far = torch.randn(100, 64)
    found = knn_distance(x.float(), torch.cat([far, near]), 1)
    expected = (x.float() - near).double().norm(dim=1)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert expected.max() < 2e-5


def test_bank_of_equal_vectors_and_zero_vectors():
    score = fitted(torch.ones(5, 3), k=5)
    assert_near(score(of(torch.ones(1, 3))), torch.zeros(1))
    zero = fitted(torch.zeros(5, 3), k=5)
    assert zero(of(torch.ones(1, 3))).item() == pytest.approx(1)
    assert zero(of(torch.zeros(1, 3))).item() == 0


@pytest.mark.parametrize('backend', ['torch', 'faiss'])
@pytest.mark.parametrize('k', [1, 3])
def test_the_mean_of_the_nearest(k, backend):
    if backend == 'faiss':
        pytest.importorskip('faiss', reason='needs the package faiss-cpu')
    train, x = torch.randn(200, 8), torch.randn(2, 8, 4, 5)
    score = fitted(train, k=k, normalize=False, average=True, backend=backend)
    model = NearestNeighbors(n_neighbors=k).fit(train.numpy())
    rows = x.movedim(1, -1).reshape(-1, 8)
    expected = model.kneighbors(rows.numpy())[0].mean(1).reshape(2, 4, 5)
    np.testing.assert_allclose(score(of(x)), expected, rtol=1e-5)


def test_faiss_agrees_with_torch_and_with_its_exact_index():
    faiss = pytest.importorskip('faiss', reason='needs the package faiss-cpu')
    bank, x = torch.randn(500, 24), torch.randn(60, 24)
    found = knn_distance(x, bank, 5, 32, backend='faiss')
    np.testing.assert_allclose(found, knn_distance(x, bank, 5), rtol=1e-5)
    index = faiss.IndexFlatL2(24)
    index.add(bank.numpy())
    squared = index.search(x.numpy(), 5)[0][:, -1]
    np.testing.assert_allclose(found, np.sqrt(squared), rtol=1e-4)


def test_without_faiss(monkeypatch):
    monkeypatch.setitem(sys.modules, 'faiss', None)
    with pytest.raises(ImportError, match=r"pip install 'mmood\[faiss\]'"):
        KNN(3, backend='faiss')


def test_cdnp_is_the_mean_of_two_standardised_scores():
    """Energy and 1-NN of maps, from one list of scores."""
    scores = ScoreSet(
        [
            dict(type='compound', name='cdnp', of=['energy', 'dnp']),
            dict(type='knn', name='dnp', k=1, normalize=False),
            'energy',
        ],
        num_classes=3,
        channels=8,
    )
    train, x = (
        Samples(
            logits=torch.randn(n, 3, 4, 5), features=torch.randn(n, 8, 4, 5)
        )
        for n in (5, 2)
    )
    # What the distances are standardised on is not what is in the bank.
    known = train[:4]
    for names, part in zip(scores.stages(), (known, train)):
        scores.start(names)
        labels = torch.zeros(len(part), 4, 5, dtype=torch.int64)
        scores.update(scores.with_values(part), labels)
        scores.finish()

    def rows(samples):
        u = -torch.logsumexp(samples.logits.double(), 1).flatten()
        keys = samples.features.movedim(1, -1).reshape(-1, 8)
        bank = known.features.movedim(1, -1).reshape(-1, 8)
        return u.numpy(), sklearn_distance(keys, bank, 1)

    expected = sum(
        (v - ref.mean()) / ref.std(ddof=1)
        for v, ref in zip(rows(x), rows(train))
    )
    found = scores(x)
    np.testing.assert_allclose(
        found['cdnp'].flatten(), expected / 2, rtol=1e-4, atol=1e-4
    )


def test_how_it_is_searched_needs_no_new_fit():
    """A compound fitted with other chunks; not so for another bank."""

    def build(**options):
        knn = dict(type='knn', k=1, **options)
        compound = dict(type='compound', of=['energy', 'knn'])
        return ScoreSet([compound, knn, 'energy'], num_classes=3, channels=4)

    score = build()
    x = Samples(logits=torch.randn(50, 3), features=torch.randn(50, 4))
    for names in score.stages():
        score.start(names)
        labels = torch.zeros(50, dtype=torch.int64)
        score.update(score.with_values(x), labels)
        score.finish()
    other = build(chunk_size=7)
    other.load_state_dict(score.state_dict())
    assert_near(other(x)['compound'], score(x)['compound'])
    other = build(average=True)
    other.load_state_dict(score.state_dict())
    with pytest.raises(RuntimeError, match='was fitted for other'):
        other(x)


def test_a_coreset_covers_what_a_sample_of_its_size_misses():
    """999 vectors in a ball of 0.01 and one at 1."""
    train = 0.01 * F.normalize(torch.randn(1000, 3), dim=1)
    train[517] = torch.tensor([1.0, 0, 0])
    score = fitted(train, k=1, coreset_size=20, normalize=False)
    assert score.bank.shape == (20, 3)
    known = {tuple(row) for row in train.tolist()}
    assert {tuple(row) for row in score.bank.tolist()} <= known
    assert score(of(train)).max() <= 0.01
    assert_near(score(of(train[517:518])), torch.zeros(1))


def test_a_coreset_of_the_whole_bank_is_the_bank():
    train, x = torch.randn(50, 4), torch.randn(9, 4)
    whole = fitted(train, k=3, bank_size=50)
    same = fitted(train, k=3, bank_size=50, coreset_size=50)
    assert_near(same(of(x)), whole(of(x)))


@pytest.mark.parametrize('count', [2, 16, 50])
def test_chunks_bound_the_products(monkeypatch, count):
    sizes = []

    def watched(x, bank):
        sizes.append(len(x) * len(bank))
        return squared_less_own(x, bank)

    monkeypatch.setattr(knn, 'squared_less_own', watched)
    score = fitted(torch.randn(100, 4), k=1, chunk_size=16)
    score(of(torch.randn(count, 4)))
    assert max(sizes) <= 16 * 16 and sum(sizes) == 100 * count


@pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
@pytest.mark.parametrize('count', [0, 1, 30])
def test_squared_distances_less_the_own_square(count, dtype):
    x, bank = (torch.randn(n, 5, dtype=dtype) for n in (count, 40))
    expected = cdist(x, bank, 'sqeuclidean')
    expected -= x.double().square().sum(1, True).numpy()
    found = squared_less_own(x, bank)
    assert found.dtype == dtype
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize('k', [1, 3, 25, 60])
@pytest.mark.parametrize('width', [60, 100, 101, 3000])
def test_the_smallest_are_those_of_a_sort(k, width):
    x = torch.stack([torch.randperm(width).float() for _ in range(20)])
    x[1] = x[1].sort().values  # all in one block
    x[2] = x[2].sort(descending=True).values
    values, places = smallest(x, k)
    expected = torch.arange(k).float().expand(20, -1)
    assert torch.equal(values, expected)
    assert torch.equal(x.gather(1, places), expected)


def test_the_smallest_among_ties_and_infinities():
    x = torch.full((2, 50), float('inf'))
    x[0, 17:20] = 1.0
    values, places = smallest(x, 4)
    assert values.tolist() == [[1, 1, 1, np.inf], [np.inf] * 4]
    assert set(places[0, :3].tolist()) == {17, 18, 19}
    assert all(len(set(row)) == 4 for row in places.tolist())


@pytest.mark.parametrize('tail', [(), (4, 5)])
def test_no_queries(tail):
    score = fitted(torch.randn(20, 3))
    assert score(of(torch.zeros(0, 3, *tail))).shape == (0, *tail)


def test_maps_are_rows():
    train, x = torch.randn(4, 3, 4, 5), torch.randn(2, 3, 4, 5)
    score = KNN(3, 4)
    score.reset()
    labels = torch.zeros(4, 4, 5, dtype=torch.int64)
    keys = torch.arange(80).view(4, 4, 5)
    score.update(of(train), labels=labels, keys=keys)
    score.finish()
    rows = [v.permute(0, 2, 3, 1).reshape(-1, 3) for v in (train, x)]
    expected = fitted(rows[0], k=4)(of(rows[1])).view(2, 4, 5)
    torch.testing.assert_close(score(of(x)), expected)


def test_the_bank_is_a_sample_of_the_keys():
    train, keys = torch.randn(90, 3), torch.randperm(1000)[:90]
    banks = []
    for order in (torch.arange(90), torch.randperm(90)):
        score = KNN(3, 5, bank_size=40)
        score.reset()
        for index in order.split(17):
            labels = torch.zeros(len(index), dtype=torch.int64)
            score.update(of(train[index]), labels=labels, keys=keys[index])
        score.finish()
        banks.append(score.bank)
    assert banks[0].shape == (40, 3)
    assert_near(*banks)
    torch.testing.assert_close(banks[0].norm(dim=1), torch.ones(40))


@pytest.mark.parametrize('count', [0, 1, 9])
def test_fewer_samples_than_k(count):
    with pytest.raises(ValueError, match=rf'1..{count}.* got 10: lower k'):
        fitted(torch.randn(count, 3))
    assert fitted(torch.randn(count + 1, 3), k=count + 1).is_fitted


def test_bad_arguments():
    bank, x = torch.zeros(4, 2), torch.zeros(1, 2)
    for k in (0, 5):
        with pytest.raises(ValueError, match=rf'k must be in 1..4, .*got {k}'):
            knn_distance(x, bank, k)
    with pytest.raises(ValueError, match='chunk_size .* got 0'):
        knn_distance(x, bank, 1, 0)
    with pytest.raises(ValueError, match='k must be in 1..20, .* got 30'):
        KNN(2, 30, bank_size=20)
    with pytest.raises(ValueError, match='k must be in 1..5, .* got 6'):
        KNN(2, 6, coreset_size=5)
    with pytest.raises(ValueError, match='size=30 .* exceed bank_size=20'):
        KNN(2, 1, bank_size=20, coreset_size=30)
    with pytest.raises(ValueError, match="backend .*'faiss'.*, got 'annoy'"):
        KNN(2, backend='annoy')
    score = KNN(3)
    score.reset()
    with pytest.raises(ValueError, match=r'\(N, 3, \*\), got \(4, 2\)'):
        score.update(of(bank), labels=torch.zeros(4))


def test_a_checkpoint_resizes_the_bank():
    score, fresh = fitted(torch.randn(30, 3)), KNN(3)
    x = torch.randn(5, 3)
    for model in (fresh, fitted(torch.randn(12, 3))):
        model.load_state_dict(score.state_dict())
        assert_near(model(of(x)), score(of(x)))


def test_gradient_is_the_numerical_one():
    bank = torch.randn(9, 4, dtype=torch.float64)
    x = torch.randn(5, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda v: knn_distance(v, bank, 3), x)
