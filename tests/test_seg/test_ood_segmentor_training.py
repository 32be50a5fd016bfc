"""OODEncoderDecoder: its training, and the weights that it wants."""

import pytest
import torch
from mmengine.optim import OptimWrapper

from helpers import assert_near
from mmood.registry import MODELS
from seg_helpers import (
    build_segmentor,
    seg_batch,
    stock_segmentor,
    tiny_loss,
    tiny_segmentor,
)


def test_training_leaves_the_segmentor_bit_for_bit():
    model = build_segmentor(
        auxiliary_head=dict(tiny_segmentor()['decode_head'], in_index=0)
    ).train()
    for threshold in model.scores.thresholds.buffers():
        threshold.fill_(1)  # nan would not equal itself
    before = {k: v.clone() for k, v in model.state_dict().items()}
    optimizer = torch.optim.AdamW(model.parameters(), 0.1, weight_decay=0.5)
    wrapper = OptimWrapper(optimizer, clip_grad=dict(max_norm=1.0))
    images, samples = seg_batch()
    for _ in range(2):
        assert model.train() is model
        data = dict(inputs=list(images), data_samples=samples)
        model.train_step(data, wrapper)
    changed = {
        name.split('.')[0]
        for name, value in model.state_dict().items()
        if not torch.equal(value, before[name])
    }
    assert changed == {'losses'}
    model.loss(images, samples)['loss_denoise'].backward()
    for name, parameter in model.named_parameters():
        own = name.startswith('losses.')
        assert parameter.requires_grad == own
        assert (parameter.grad is not None) == own
        assert (parameter in optimizer.state) == own
    modes = {name: m.training for name, m in model.named_children()}
    assert modes.pop('losses') and modes.pop('scores')
    assert not any(modes.values())
    assert not any(m.training for m in model.backbone.modules())


def test_eval_mode_is_that_of_the_losses_too():
    model = build_segmentor().train()
    assert model.training and model.losses.training
    model.eval()
    assert not any(m.training for m in model.modules())


def record_losses(model, monkeypatch):
    """Make the noise a function of the features."""

    def fixed(x0):
        return torch.zeros(len(x0), dtype=torch.long), torch.sin(99 * x0)

    loss = model.losses['DenoisingLoss']
    monkeypatch.setattr(loss, '_perturbation', fixed)
    return lambda *args: model.train().loss(*args)['loss_denoise'].detach()


@pytest.mark.parametrize('unet', [False, True])
def test_cached_features_have_the_loss_of_their_images(unet, monkeypatch):
    model = build_segmentor(losses=[tiny_loss(unet)])
    loss = record_losses(model, monkeypatch)
    images, samples = seg_batch()
    samples[0].gt_sem_seg.data[0, :8] = 255
    with torch.no_grad():
        features = model.extract_features(images)
    if unet:
        cached = list(features)
    else:
        flat = features.permute(0, 2, 3, 1).flatten(1, 2)
        cached = [flat[0, 4:], flat[1]]  # without the ignored row
    expected = loss(images, samples)
    torch.testing.assert_close(loss(cached, samples), expected)
    inputs = dict(features=cached, data_samples=samples)
    again = model.data_preprocessor(inputs, training=True)
    assert again['inputs'] == cached
    torch.testing.assert_close(loss(*again.values()), expected)
    assert expected > 0


def test_features_are_those_of_the_probed_layer():
    model = build_segmentor(probe=dict(module='decode_head.conv_seg'))
    images, _ = seg_batch()
    with torch.no_grad():
        logits = model._forward(images)
    assert_near(model.extract_features(images), logits)
    inner = build_segmentor(probe=dict(module='backbone'))
    with torch.no_grad():
        expected = inner.backbone(images)[-1]
    assert_near(inner.extract_features(images), expected)


def uses(model):
    """The ways to use a segmentor, as functions without arguments."""
    images, samples = seg_batch(1)
    return [
        lambda: model.loss(images, samples),
        lambda: model.loss([torch.randn(5, 32)]),
        lambda: model.extract_features(images),
        lambda: model.predict(images, samples),
    ]


@pytest.mark.parametrize('number', range(4))
def test_without_trained_weights(number):
    model = build_segmentor(fit=False)
    use = uses(model)[number]
    with pytest.raises(RuntimeError, match='no trained weights: pass load_f'):
        use()


@pytest.mark.parametrize('number', range(4))
def test_weights_of_another_segmentor(number):
    model = build_segmentor(fit=False)
    other = dict(tiny_segmentor()['decode_head'], num_classes=7)
    state = build_segmentor(decode_head=other).state_dict()
    with pytest.raises(RuntimeError, match='size mismatch'):
        model.load_state_dict(state, strict=False)
    with pytest.raises(
        RuntimeError, match='2 weights .* decode_head.conv_seg.weight'
    ):
        uses(model)[number]()
    for name in [n for n in state if n.startswith('backbone.')]:
        del state[name]
    with pytest.raises(RuntimeError):
        model.load_state_dict(state, strict=False)
    with pytest.raises(RuntimeError, match='such as backbone.cls_token'):
        uses(model)[number]()


def test_a_segmentor_s_checkpoint_lacks_nothing():
    """What is to be trained is not missing; a part of it would be."""
    model = build_segmentor()
    stock = stock_segmentor(model, tiny_segmentor()).state_dict()
    fresh = build_segmentor(fit=False)
    assert not fresh.load_state_dict(stock, strict=False).missing_keys
    state = model.state_dict()
    lost = 'losses.DenoisingLoss.denoiser.time.linear1.bias'
    del state[lost], state['decode_head.conv_seg.bias']
    missing = fresh.load_state_dict(state, strict=False).missing_keys
    assert missing == ['decode_head.conv_seg.bias', lost]


def test_weights_that_the_segmentor_has_no_place_for():
    """A deeper backbone's first layers would fit."""
    model = build_segmentor(fit=False)
    deeper = dict(tiny_segmentor()['backbone'], num_layers=3)
    state = build_segmentor(backbone=deeper).state_dict()
    model.load_state_dict(state, strict=False)
    with pytest.raises(RuntimeError, match='weights .* backbone.layers.2.'):
        uses(model)[0]()


def test_weights_of_a_plain_segmentor_are_enough():
    """Also a wrong load before does not matter."""
    model = build_segmentor(fit=False)
    model.load_state_dict({}, strict=False)
    state = {
        name: value
        for name, value in build_segmentor().state_dict().items()
        if not name.startswith(('losses.', 'scores.'))
    }
    missing, _ = model.load_state_dict(state, strict=False)
    assert not missing
    assert model.scores.thresholds['compound'].isnan()
    images, samples = seg_batch(1)
    loss = model.train().loss(images, samples)
    assert torch.isfinite(loss['loss_denoise'])


def test_without_losses_the_training_is_mmsegs():
    """The same losses, gradients and modes, of weights that start anew."""
    cfg = tiny_segmentor(scores=['energy', 'mahalanobis'], losses=[])
    cfg.auxiliary_head = dict(cfg.decode_head, in_index=0)
    model = MODELS.build(cfg).train()
    stock = stock_segmentor(model, cfg).train()
    assert {n: m.training for n, m in stock.named_modules()}.items() <= {
        n: m.training for n, m in model.named_modules()
    }.items()
    images, samples = seg_batch()
    losses = [m.loss(images, samples) for m in (model, stock)]
    assert losses[0].keys() == losses[1].keys()
    for name, value in losses[1].items():
        assert_near(losses[0][name].detach(), value.detach())
    for found in losses:
        sum(v for k, v in found.items() if 'loss' in k).backward()
    own = dict(model.named_parameters())
    for name, parameter in stock.named_parameters():
        assert_near(own[name].grad, parameter.grad)


def test_losses_by_their_names():
    """Two of one class, one of them renamed."""
    second = tiny_loss(name='second', batch_size=8)
    model = build_segmentor(losses=[tiny_loss(), second])
    assert list(model.losses) == ['DenoisingLoss', 'second']
    images, samples = seg_batch()
    (value,) = model.train().loss(images, samples).values()
    value.backward()  # their losses of one name are added up
    for loss in model.losses.values():
        assert all(p.grad is not None for p in loss.parameters())
