"""The classifier that grows, against a plain linear layer."""

import pytest
import torch
from mmdet.registry import MODELS as MMDET_MODELS
from torch import nn

from helpers import assert_near
from mmood.det.models import GrowingLinear
from mmood.registry import MODELS

K, C = 5, 3


def twins(num_seen):
    """A growing layer and the plain one with its weights."""
    layer = GrowingLinear(C, K + 1, num_seen)
    plain = nn.Linear(C, K + 1)
    plain.load_state_dict(layer.state_dict())
    return layer, plain


@pytest.mark.parametrize('num_seen', range(1, K + 1))
def test_seen_classes_and_background_are_the_plain_layers(num_seen):
    layer, plain = twins(num_seen)
    inputs = torch.randn(4, C)
    logits, expected = layer(inputs), plain(inputs)
    kept = [*range(num_seen), K]
    assert_near(logits[:, kept], expected[:, kept])
    unseen = [c for c in range(K) if c >= num_seen]
    assert (logits[:, unseen] == -1e4).all()
    probabilities = logits.softmax(1)
    assert (probabilities[:, unseen] == 0).all()
    torch.testing.assert_close(
        probabilities[:, kept], expected[:, kept].softmax(1)
    )


def test_unknown_and_background_are_kept():
    layer = GrowingLinear(C, K + 2, 2, num_rest=2)
    plain = nn.Linear(C, K + 2)
    plain.load_state_dict(layer.state_dict())
    inputs = torch.randn(4, C)
    logits, expected = layer(inputs), plain(inputs)
    kept = [0, 1, K, K + 1]
    assert_near(logits[:, kept], expected[:, kept])
    assert (logits[:, 2:K] == -1e4).all()
    with pytest.raises(ValueError, match=f'1 to {K}.* got {K + 1}'):
        GrowingLinear(C, K + 2, K + 1, num_rest=2)


def test_rows_of_unseen_classes_get_a_gradient_of_zero():
    layer, _ = twins(2)
    labels = torch.tensor([0, 1, K, 1])
    nn.functional.cross_entropy(layer(torch.randn(4, C)), labels).backward()
    for gradient in (layer.weight.grad, layer.bias.grad[:, None]):
        assert (gradient[2:K] == 0).all()
        assert (gradient[[0, 1, K]] != 0).any(1).all()


def test_no_samples():
    layer, _ = twins(2)
    logits = layer(torch.zeros(0, C))
    assert logits.shape == (0, K + 1)
    logits.sum().backward()
    assert (layer.weight.grad == 0).all()


def test_is_finite_in_half_precision():
    layer, _ = twins(2)
    logits = layer.half()(torch.randn(4, C).half())
    assert torch.isfinite(logits).all()
    assert (logits[:, 2:K] == -1e4).all()


def test_weights_of_one_step_fit_the_next():
    before, plain = twins(2)
    after = GrowingLinear(C, K + 1, 4)
    after.load_state_dict(before.state_dict())
    inputs = torch.randn(4, C)
    kept = [0, 1, 2, 3, K]
    assert_near(after(inputs)[:, kept], plain(inputs)[:, kept])


@pytest.mark.parametrize(('num_rest', 'bias'), [(1, True), (2, False)])
def test_weights_of_fewer_classes_fit(num_rest, bias):
    """As a layer of its own; the rows of new classes stay as they were."""
    before = nn.Linear(C, 3 + num_rest, bias)
    after = GrowingLinear(C, K + num_rest, K, num_rest, bias)
    own = {k: v.clone() for k, v in after.state_dict().items()}
    given = {k: v.clone() for k, v in before.state_dict().items()}
    assert not any(after.load_state_dict(given))
    for name, value in after.state_dict().items():
        assert torch.equal(value[:3], before.state_dict()[name][:3])
        assert torch.equal(value[3:K], own[name][3:K])
        assert torch.equal(value[K:], before.state_dict()[name][3:])
        assert len(given[name]) == 3 + num_rest


@pytest.mark.parametrize('rows', [1, K + 2])
def test_weights_of_no_or_more_classes_do_not_fit(rows):
    layer = GrowingLinear(C, K + 1, 2)
    with pytest.raises(RuntimeError, match='size mismatch'):
        layer.load_state_dict(nn.Linear(C, rows).state_dict())
    with pytest.raises(RuntimeError, match='size mismatch'):
        layer.load_state_dict(nn.Linear(C + 1, 3).state_dict())


def test_knows_what_has_a_row_for_each_seen_class():
    layer = GrowingLinear(C, K + 1, 3)
    known = [layer.knows(torch.zeros(rows, C)) for rows in range(1, K + 3)]
    # Three classes and background; of all K it is no smaller layer.
    assert known == [False, False, False, True, True, False, False]
    assert not layer.knows(None)


@pytest.mark.parametrize('num_seen', [-1, 0, K + 1])
def test_refuses_a_number_that_is_not_of_its_classes(num_seen):
    with pytest.raises(ValueError, match=f'1 to {K}.* got {num_seen}'):
        GrowingLinear(C, K + 1, num_seen)


def test_is_the_classifier_of_a_box_head():
    config = dict(type='mmood.GrowingLinear', num_seen=2)
    head = MMDET_MODELS.build(
        dict(
            type='Shared2FCBBoxHead',
            in_channels=4,
            fc_out_channels=C,
            roi_feat_size=2,
            num_classes=K,
            cls_predictor_cfg=config,
        )
    )
    assert type(head.fc_cls) is MODELS.get('GrowingLinear')
    logits, _ = head(torch.randn(3, 4, 2, 2))
    assert (logits[:, 2:K] == -1e4).all()
    assert (logits[:, [0, 1, K]] > -1e3).all()


def test_old_classes_are_shut_in_training_alone():
    layer = GrowingLinear(C, K + 1, 4, num_old=2)
    plain = nn.Linear(C, K + 1)
    plain.load_state_dict(layer.state_dict())
    inputs = torch.randn(4, C)
    logits = layer(inputs)
    kept = [2, 3, K]
    assert_near(logits[:, kept], plain(inputs)[:, kept])
    assert (logits[:, [0, 1, 4]] == -1e4).all()
    labels = torch.tensor([2, 3, K, 2])
    nn.functional.cross_entropy(logits, labels).backward()
    assert not layer.weight.grad[[0, 1, 4]].any()
    kept = [0, 1, 2, 3, K]
    layer.eval()
    assert_near(layer(inputs)[:, kept], plain(inputs)[:, kept])
    with pytest.raises(ValueError, match='0 to num_seen=4, got 5'):
        GrowingLinear(C, K + 1, 4, num_old=5)
