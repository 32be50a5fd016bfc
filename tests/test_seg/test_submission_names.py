"""Names of methods and scores."""

import pytest
from mmengine.config import Config

from mmood.seg.submission.names import check_method, check_score


@pytest.mark.parametrize('name', ['DOoD', 'a_b-1.5', '2nd'])
def test_names_of_methods(name):
    assert check_method(name) == name


@pytest.mark.parametrize(
    'name', [None, '', 'a/b', '..', '../a', '/a', 'a b', 'a,b', '-a', 'a\n']
)
def test_names_that_are_none(name):
    with pytest.raises(ValueError, match='give --method'):
        check_method(name)


def test_scores_are_those_of_the_model():
    scores = ['energy', dict(type='knn', name='dnp', k=1)]
    cfg = Config(dict(model=dict(type='X', scores=scores)))
    assert check_score(cfg, None) == 'energy'
    assert check_score(cfg, 'dnp') == 'dnp'
    with pytest.raises(ValueError, match=r"'knn' is not .*'energy', 'dnp'"):
        check_score(cfg, 'knn')
    with pytest.raises(ValueError, match="model 'X' predicts no scores"):
        check_score(Config(dict(model=dict(type='X'))), None)
