"""Segmentors and probes on a frozen backbone that keeps its outputs."""

import copy

import pytest
import torch

from mmood.registry import MODELS
from mmood.seg.models import FeatureProbe
from seg_helpers import build_segmentor, lively, seg_batch, tiny_segmentor

SCORES = ['energy', dict(type='knn', k=1)]


def frozen_like(model, **options):
    """A segmentor with the same weights on a frozen backbone."""
    cfg = tiny_segmentor(scores=SCORES, losses=[])
    cfg.backbone = dict(
        type='mmood.FrozenBackbone',
        backbone=cfg.backbone,
        dtype='float32',
        **options,
    )
    found = MODELS.build(cfg)
    found.load_state_dict(copy.deepcopy(model.state_dict()))
    found.passes = []
    found.backbone.body.register_forward_pre_hook(
        lambda _, args: found.passes.append(len(args[0]))
    )
    return found.eval()


@pytest.fixture
def plain():
    model = build_segmentor(fit=False, scores=SCORES, losses=[])
    knn = model.scores.fitted['knn']
    knn.bank = torch.randn(50, 32)
    knn.is_fitted.fill_(True)
    return model


def predict(model):
    torch.manual_seed(0)
    inputs, samples = seg_batch()
    return model.predict(inputs, samples)


def test_class_maps_and_scores_are_those_of_the_backbone(plain, tmp_path):
    model = frozen_like(plain, cache=str(tmp_path))
    assert [*model.state_dict()] == [*plain.state_dict()]
    for _ in range(2):
        for ours, theirs in zip(predict(model), predict(plain)):
            torch.testing.assert_close(
                ours.seg_logits.data, theirs.seg_logits.data
            )
            for name in ('energy', 'knn'):
                torch.testing.assert_close(
                    ours.pred_ood.get(name), theirs.pred_ood.get(name)
                )
    assert model.passes == [2]


@pytest.mark.parametrize(
    'probe',
    [
        dict(keys=0),
        dict(keys=-1),
        dict(module='backbone.layers.0.ln1', index=0),
        dict(module='backbone.patch_embed.projection'),
        dict(module='backbone'),
        dict(module='decode_head.conv_seg'),
    ],
    ids=str,
)
def test_any_probe_sees_what_it_sees_without_a_cache(plain, tmp_path, probe):
    probe = FeatureProbe(**probe)
    inputs, _ = seg_batch()
    model = frozen_like(plain, cache=str(tmp_path))
    if 'ln1' in (probe.module or ''):
        for found in (plain, model):
            with pytest.raises(ValueError, match='must return maps'):
                recorded(probe, found, inputs)
        return
    expected = recorded(probe, plain, inputs)
    for _ in range(2):
        torch.testing.assert_close(
            recorded(probe, model, inputs), expected, rtol=1e-5, atol=1e-5
        )
    assert model.passes == [2]


def recorded(probe, model, inputs):
    with torch.no_grad(), probe.record(model) as maps:
        model._forward(inputs)
    assert len(maps) == 1
    return maps[0]


def test_listed_probes_take_one_pass(plain, tmp_path):
    listed = [dict(keys=0), dict(keys=1)]
    model = frozen_like(plain, cache=str(tmp_path), probes=listed)
    predict(model)
    torch.manual_seed(0)
    inputs, _ = seg_batch()
    for arguments in listed:
        recorded(FeatureProbe(**arguments), model, inputs)
    assert model.passes == [2]


def test_a_listed_probe_that_is_not_there_is_refused(plain):
    with pytest.raises(ValueError, match='probe.keys 5 is out of range'):
        frozen_like(plain, probes=[dict(keys=5)])


def test_a_module_of_the_wrapped_backbone_that_is_not_there(plain):
    model = frozen_like(plain)
    with pytest.raises(ValueError, match="'backbone.layer9' is no module"):
        FeatureProbe(module='backbone.layer9').width(model)


def test_heads_train_on_what_is_kept(tmp_path):
    cfg = tiny_segmentor(scores=['energy'], losses=[])
    cfg.backbone = dict(
        type='mmood.FrozenBackbone', backbone=cfg.backbone, cache=str(tmp_path)
    )
    model = lively(MODELS.build(cfg)).train()
    inputs, samples = seg_batch()
    weight = model.decode_head.conv_seg.weight
    gradients = []
    for _ in range(2):
        weight.grad = None
        sum(
            value
            for key, value in model.loss(inputs, samples).items()
            if 'loss' in key
        ).backward()
        gradients.append(weight.grad.clone())
    torch.testing.assert_close(*gradients)
    assert gradients[0].abs().sum() > 0
    assert all(p.grad is None for p in model.backbone.parameters())
    assert len(list(tmp_path.rglob('*.pt'))) == 2
