"""Blurred outliers against the known rows' own maps, blurred by hand."""

import pytest
import torch
from torch import nn

from batches import known_batch
from helpers import assert_near
from mmood.losses import BACKGROUND, uncertainty_loss
from mmood.ops import gaussian_blur2d
from mmood.outliers import BlurredOutliers
from mmood.scores import Samples

BLUR = dict(type='blur', num_steps=2, sigma_start=0.5, sigma_end=1.5)


def pooled_batch(rows=5, labels=(0, BACKGROUND, 2, 1, BACKGROUND), grad=True):
    """Rows whose features are a linear layer of their pooled maps."""
    inputs = torch.randn(rows, 4, 7, 7, requires_grad=grad)
    layer = nn.Linear(4 * 49, 6)

    def view(maps):
        features = layer(maps.flatten(1))
        return Samples(logits=features[:, :3], features=features)

    batch = known_batch(
        layer(inputs.flatten(1)), labels[:rows], inputs=inputs, view=view
    )
    return batch, layer


def by_hand(batch, layer):
    """Features (N, 6) of the known maps after both filters."""
    maps = batch.inputs[torch.tensor(batch.labels) >= 0]
    for sigma in (0.5, 1.5):
        maps = gaussian_blur2d(maps, sigma)
    return layer(maps.flatten(1))


def test_they_are_the_known_rows_on_blurred_maps():
    batch = known_batch(torch.randn(4, 6))
    seen = Samples(torch.randn(4, 3), torch.randn(4, 6, requires_grad=True))
    asked = []

    def look(*of):
        asked.append(of)
        return seen

    batch.look = look
    for detach in (False, True):
        outliers, losses = BlurredOutliers(detach=detach)(batch)
        assert outliers is seen and losses == {}
        assert asked.pop() == ('blurred', detach)
    batch.look = None  # not looked at before the start
    assert BlurredOutliers(start_iter=1)(batch) == (None, {})


def test_no_known_row_gives_no_blurred_one():
    batch = known_batch(torch.zeros(0, 6))
    batch.look = lambda name, detach: batch.known
    assert BlurredOutliers()(batch) == (None, {})
    batch, _ = pooled_batch(rows=2, labels=(BACKGROUND, BACKGROUND))
    assert BlurredOutliers(after_pooling=BLUR)(batch) == (None, {})


@pytest.mark.parametrize('detach', [True, False])
def test_after_pooling_the_heads_own_maps_are_blurred(detach):
    batch, layer = pooled_batch()
    source = BlurredOutliers(after_pooling=BLUR, detach=detach)
    outliers, losses = source(batch)
    assert losses == {} and len(outliers) == 3
    assert_near(outliers.features, by_hand(batch, layer))
    assert_near(outliers.logits, outliers.features[:, :3])


def test_a_blur_of_nothing_makes_the_known_rows_themselves():
    batch, _ = pooled_batch()
    source = BlurredOutliers(after_pooling=dict(BLUR, sigma_start=0.05,
                                                sigma_end=0.05))  # fmt: skip
    assert_near(source(batch)[0].features, batch.known.features)


@pytest.mark.parametrize('detach', [True, False])
def test_detached_outliers_teach_the_box_head_alone(detach):
    """Without: the gradient of the known maps is that through the blur."""
    batch, layer = pooled_batch()
    source = BlurredOutliers(after_pooling=BLUR, detach=detach)
    outliers = source(batch)[0].logits
    uncertainty_loss(outliers[:0], outliers).backward()
    assert layer.weight.grad.abs().sum() > 0
    got = batch.inputs.grad
    if detach:
        assert got is None
        return
    batch.inputs.grad = None
    logits = by_hand(batch, layer)[:, :3]
    nn.functional.softplus(logits.logsumexp(1)).mean().backward()
    assert_near(got, batch.inputs.grad)


def test_what_the_neck_must_make():
    assert BlurredOutliers().maps == ('blurred',)
    assert BlurredOutliers(after_pooling=BLUR).maps == ()


def test_a_head_without_pooled_maps_is_named():
    batch = known_batch(torch.randn(4, 6))
    source = BlurredOutliers(after_pooling=BLUR)
    with pytest.raises(ValueError, match='after_pooling .* set it to None'):
        source(batch)


def test_unknown_processes_are_refused():
    with pytest.raises(ValueError, match="'heat'.*'blur', 'noise'"):
        BlurredOutliers(after_pooling=dict(type='heat'))
