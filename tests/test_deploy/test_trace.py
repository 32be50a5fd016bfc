"""Making a model ready to be traced."""

import pytest
import torch
from mmseg.models.utils import PatchEmbed
from torch import nn

from deploy_helpers import fit_scores
from mmood.backbones import FrozenBackbone
from mmood.deploy.trace import (
    SameNoise,
    choose_scores,
    known_thresholds,
    traceable,
)
from mmood.scores import NotFittedError, Samples, ScoreSet


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
    compound = dict(type='compound', of=['energy', 'knn'])
    names = ['energy', dict(type='knn', k=3), compound]
    scores = ScoreSet(names, num_classes=3, channels=5)
    fit_scores(scores, 5, 3)
    copied = traceable(scores.train())
    assert not copied.training and scores.training
    assert copied.knn.is_fitted is True
    assert 'is_fitted' in scores.knn._buffers
    assert copied.compound.fitted_for == scores.compound.signature
    x = Samples(torch.randn(4, 3), torch.rand(4, 5))
    for name, value in scores(x).items():
        torch.testing.assert_close(copied(x)[name], value)


class Kept(nn.Module):
    def __init__(self, folder):
        super().__init__()
        config = dict(type='mmdet.ResNet', depth=18, base_channels=2)
        self.backbone = FrozenBackbone(config, cache=str(folder))


def test_a_traceable_copy_keeps_nothing(tmp_path):
    model = Kept(tmp_path)
    copied = traceable(model)
    assert model.backbone.has_cache and not copied.backbone.has_cache
    copied.backbone(torch.rand(1, 3, 32, 32))
    assert not list(tmp_path.rglob('*.*'))


def test_only_calibrated_thresholds_are_known():
    scores = ScoreSet(['energy', 'msp'], num_classes=3)
    scores.thresholds['msp'].fill_(0.5)
    assert known_thresholds(scores, scores.names) == dict(msp=0.5)


def several(*first):
    """Scores of boxes, of which odin takes a gradient and knn is unfitted."""
    compound = dict(type='compound', of=['msp', 'knn'])
    names = [*first, 'odin', 'msp', 'knn', compound]
    return ScoreSet(names, num_classes=3, channels=5, missing={})


def test_what_cannot_be_exported_is_left_out_with_the_reason():
    names, left_out = choose_scores(several('energy'), None)
    assert names == ['energy', 'msp']
    assert set(left_out) == {'odin', 'knn', 'compound'}
    assert 'takes a gradient' in left_out['odin']
    assert 'not fitted: run tools/fit_scores.py' in left_out['knn']
    assert 'not fitted' in left_out['compound']


def test_the_score_that_decides_is_never_left_out():
    said = "'odin' cannot be .* is to decide: --scores msp$"
    with pytest.raises(ValueError, match=said):
        choose_scores(several(), None)


def test_what_is_asked_for_by_name_is_never_left_out():
    scores = several('energy')
    with pytest.raises(NotFittedError, match="'knn' .*: --scores msp$"):
        choose_scores(scores, ['msp', 'knn'])
    with pytest.raises(ValueError, match="'odin' cannot be exported: it tak"):
        choose_scores(scores, ['odin'])
    assert choose_scores(scores, ['msp']) == (['msp'], {})


@pytest.mark.parametrize(('divisor', 'is_whole'), [(8, True), (6, False)])
def test_patches_are_not_padded_where_they_are_whole(divisor, is_whole):
    embed = PatchEmbed(3, 2, kernel_size=4, stride=4, padding='corner')
    copied = traceable(embed, divisor)
    assert (copied.adap_padding is None) == is_whole
    assert embed.adap_padding is not None
    overlapping = PatchEmbed(3, 2, kernel_size=6, stride=4, padding='corner')
    assert traceable(overlapping, 8).adap_padding is not None
