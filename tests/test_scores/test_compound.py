"""The mean of standardised scores, against numpy and two processes."""

import sys

import numpy as np
import pytest
import torch

from helpers import assert_near, run_script
from mmood.scores import CompoundScore, Samples, ScoreSet

OF = ['energy', 'knn']


def data(n=60, tail=()):
    generator = torch.Generator().manual_seed(1)
    values = {
        name: 3 * i + (i + 1) * torch.randn(n, *tail, generator=generator)
        for i, name in enumerate(OF)
    }
    return Samples(values=values)


def fit(*parts):
    score = CompoundScore(OF)
    score.reset()
    for part in parts:
        score.update(part)
    score.finish()
    return score


@pytest.mark.parametrize('tail', [(), (3, 2)])
def test_matches_numpy(tail):
    x = data(tail=tail)
    score = fit(x[:10], x[10:])
    a, b = (x.values[name].double().numpy() for name in OF)
    expected = (
        (a - a.mean()) / a.std(ddof=1) + (b - b.mean()) / b.std(ddof=1)
    ) / 2
    found = score(x)
    assert found.dtype == torch.float32
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_a_score_that_never_varies_counts_nothing_on_id_data():
    x = data()
    x.values['knn'].fill_(2.0)
    a = x.values['energy'].double()
    expected = (a - a.mean()) / a.std() / 2
    torch.testing.assert_close(
        fit(x)(x).double(), expected, rtol=1e-4, atol=1e-5
    )


def test_it_waits_for_scores_that_are_fitted_themselves():
    config = [dict(type='compound', of=OF), *OF]
    scores = ScoreSet(config, num_classes=3, channels=4)
    assert scores.stages() == [['knn'], ['compound']]
    plain = [dict(type='compound', of=['energy', 'msp']), 'energy', 'msp']
    plain = ScoreSet(plain, num_classes=3)
    assert plain.stages() == [['compound']]
    x = Samples(torch.randn(30, 3), torch.randn(30, 4))
    for stage in scores.stages():
        scores.start(stage)
        scores.update(scores.with_values(x), torch.arange(30) % 3)
        scores.finish()
    found = scores(x)
    assert list(found) == ['compound', *OF]
    parts = [(v - v.mean()) / v.std() for v in (found[n] for n in OF)]
    torch.testing.assert_close(
        found['compound'], sum(parts) / 2, rtol=1e-4, atol=1e-5
    )


def test_of_an_unfitted_score():
    config = ['energy', 'knn', dict(type='compound', of=OF)]
    scores = ScoreSet(config, num_classes=3, channels=4)
    x = Samples(torch.randn(5, 3), torch.randn(5, 4))
    with pytest.raises(RuntimeError, match='KNN is not fitted'):
        scores(x)
    scores.start(['compound'])
    with pytest.raises(RuntimeError, match='KNN is not fitted'):
        scores.with_values(x)


def test_its_statistics_belong_to_the_arguments_of_its_scores():
    def build(**arguments):
        warm = dict(type='energy', **arguments)
        compound = dict(type='compound', of=['energy', 'msp'])
        return ScoreSet([warm, 'msp', compound], num_classes=3)

    x = Samples(torch.randn(9, 3))
    scores = build(temperature=2.0)
    scores.start(['compound'])
    scores.update(scores.with_values(x))
    scores.finish()
    other = build(temperature=1.0)
    other.load_state_dict(scores.state_dict(), strict=False)
    with pytest.raises(RuntimeError, match='energy, msp was fitted for other'):
        other(x)
    same = build(temperature=2.0)
    same.load_state_dict(scores.state_dict(), strict=False)
    assert_near(same(x)['compound'], scores(x)['compound'])


@pytest.mark.parametrize('of', [['energy'], [], 'energy', ['msp', 'msp']])
def test_of_fewer_than_two(of):
    with pytest.raises(ValueError, match='two or more different scores'):
        CompoundScore(of)


def test_of_scores_that_are_not_in_the_list():
    two = dict(type='compound', of=['energy', 'msp'])
    with pytest.raises(ValueError, match="'msp', which is not in the list"):
        ScoreSet(['energy', two], num_classes=3)
    nested = dict(type='compound', name='all', of=['compound', 'energy'])
    with pytest.raises(ValueError, match="is of the compound 'compound'"):
        ScoreSet(['energy', 'msp', two, nested], num_classes=3)


@pytest.mark.parametrize('count', [0, 1])
def test_fewer_samples_than_a_deviation_needs(count):
    with pytest.raises(ValueError, match=f'{count} ID samples .* needs two'):
        fit(data()[:count])


def test_two_ranks_agree_with_one_process(tmp_path):
    run_script(__file__, tmp_path, ranks=2)
    alone = fit(data()).state_dict()
    for rank in range(2):
        found = torch.load(tmp_path / f'{rank}.pth')
        for key, value in alone.items():
            assert_near(found[key], value, rtol=1e-9, atol=1e-12)


def main(folder):
    torch.distributed.init_process_group('gloo')
    rank = torch.distributed.get_rank()
    part = data()[:13] if rank else data()[13:]
    torch.save(fit(part).state_dict(), f'{folder}/{rank}.pth')
    torch.distributed.destroy_process_group()


if __name__ == '__main__':
    main(*sys.argv[1:])
