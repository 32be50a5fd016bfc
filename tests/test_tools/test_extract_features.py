"""Which set tools/extract_features.py takes from a config."""

import runpy

import pytest
from mmengine.config import Config

from helpers import ROOT
from mmood.seg.datasets import FeatureDataset


@pytest.fixture(scope='module')
def feature_set():
    path = str(ROOT / 'tools/extract_features.py')
    return runpy.run_path(path)['feature_set']


@pytest.mark.parametrize('kind', ['mmood.FeatureDataset', FeatureDataset])
def test_the_feature_set_out_of_its_wrappers(feature_set, kind):
    own = dict(type=kind, dataset=dict(type='mmood.ShapesSegDataset'))
    wrapped = dict(type='RepeatDataset', times=2, dataset=own)
    for dataset in (own, wrapped):
        cfg = Config(dict(train_dataloader=dict(dataset=dataset)))
        assert feature_set(cfg) == own


@pytest.mark.parametrize(
    'cfg',
    [
        {},
        dict(train_dataloader=None),
        dict(train_dataloader=dict(dataset=dict(type='RepeatDataset'))),
    ],
)
def test_no_feature_set(feature_set, cfg):
    with pytest.raises(ValueError, match='must be an mmood.FeatureDataset'):
        feature_set(Config(cfg))
