"""RPL beside a frozen DeepLabV3+, and other heads."""

import copy

import pytest
import torch
from mmengine.config import ConfigDict

from mmood.registry import MODELS
from mmood.scores import energy
from seg_families import FAMILIES, batch
from seg_helpers import lively, tiny_segmentor

PLACES = dict(
    deeplabv3plus=dict(source_channels=64, target_channels=20),
    fcn=dict(source_channels=64, target_channels=64,
             source='decode_head.convs', target='decode_head.convs'),
    segformer=dict(source_channels=64, target_channels=64,
                   source='decode_head.fusion_conv',
                   target='decode_head.fusion_conv'),
)  # fmt: skip


def rpl(
    family='deeplabv3plus', scores=('rpl', 'energy'), loaded=True, **options
):
    """A segmentor as if from a checkpoint, with a block of random weights."""
    loss = dict(PLACES[family], type='mmood.RPLLoss', channels=4,
                dilations=(1, 2))  # fmt: skip
    parts = {k: v for k, v in FAMILIES[family].items() if k != 'probe'}
    if parts['decode_head'].get('concat_input', True) and family == 'fcn':
        parts['decode_head'] = dict(parts['decode_head'], concat_input=False)
    cfg = dict(
        parts,
        type='mmood.OODEncoderDecoder',
        data_preprocessor=tiny_segmentor()['data_preprocessor'],
        scores=list(scores),
        pixel_losses=[loss],
        trains=[],
        supervised=False,
        test_cfg=dict(mode='whole'),
    )
    model = lively(MODELS.build(ConfigDict({**cfg, **options})), std=0.6)
    if loaded:
        model.load_state_dict(model.state_dict())
    return model


def with_outliers(seed=1):
    data = batch(seed)
    for sample in data['data_samples']:
        sample.gt_sem_seg.data[:, :10, :10] = 254
    return data


def step(model, data):
    return model.loss(**model.data_preprocessor(data, True))


@pytest.mark.parametrize('family', PLACES)
def test_class_maps_stay_and_the_score_is_the_other_energy(family):
    model = rpl(family)
    plain = rpl(family, ['energy'], pixel_losses=[])
    plain.load_state_dict(model.state_dict(), strict=False)
    found, expected = (m.test_step(batch()) for m in (model, plain))
    data = model.data_preprocessor(batch())
    metas = [sample.metainfo for sample in data['data_samples']]
    (loss,) = model.pixel_losses.values()
    with torch.no_grad(), loss.beside():
        logits = plain_pass(model, data['inputs'], metas)
    for i, (one, other) in enumerate(zip(found, expected)):
        assert torch.equal(one.pred_sem_seg.data, other.pred_sem_seg.data)
        assert torch.equal(one.seg_logits.data, other.seg_logits.data)
        own = energy(logits[i : i + 1])
        torch.testing.assert_close(one.pred_ood.rpl, own)
        assert (own - energy(one.seg_logits.data[None])).abs().max() > 1e-2


def plain_pass(model, inputs, metas):
    """mmseg's own, past the scores."""
    maps = model.extract_feat(inputs)
    return model.decode_head.predict(maps, metas, model.test_cfg)


def test_only_the_block_learns_and_the_rest_stays():
    model = rpl().train()
    before = copy.deepcopy(model.state_dict())
    learning = [p for p in model.parameters() if p.requires_grad]
    assert {id(p) for p in learning} == {
        id(p) for p in model.pixel_losses.parameters()
    }
    optimizer = torch.optim.Adam(learning, 1e-2)
    for _ in range(2):
        losses = step(model, with_outliers())
        assert {k for k in losses if 'loss' in k} == {
            'loss_rpl_class', 'loss_rpl_entropy', 'loss_rpl_energy',
        }  # fmt: skip
        optimizer.zero_grad()
        sum(v for k, v in losses.items() if 'loss' in k).backward()
        optimizer.step()
    for name, value in model.state_dict().items():
        if name.startswith(('backbone.', 'decode_head.')):
            assert torch.equal(value, before[name]), name
    weight = 'pixel_losses.RPLLoss.block.out.weight'
    assert not torch.equal(model.state_dict()[weight], before[weight])


def test_a_step_and_a_test_run_the_backbone_once(monkeypatch):
    model, calls = rpl(), []
    model.backbone.register_forward_hook(lambda *_: calls.append(1))
    model.test_step(batch())
    assert len(calls) == 1
    step(model.train(), with_outliers())
    assert len(calls) == 2
    step(model, with_outliers())  # nothing is kept from one to the next
    assert len(calls) == 3


def test_a_copy_has_a_block_beside_its_own_modules():
    """As the average of weights makes one."""
    model = rpl()
    other = copy.deepcopy(model)
    (loss,) = other.pixel_losses.values()
    assert loss._places[1] is other.decode_head.sep_bottleneck
    one, two = (m.test_step(batch())[0].pred_ood.rpl for m in (model, other))
    torch.testing.assert_close(one, two)


def test_windows():
    slide = dict(mode='slide', crop_size=(32, 32), stride=(16, 16))
    found = rpl(test_cfg=slide).test_step(batch())[0].pred_ood
    assert found.rpl.shape == (1, 48, 32)
    assert torch.isfinite(found.rpl).all()


def test_it_wants_the_weights_of_a_segmentor():
    model = rpl(loaded=False)
    with pytest.raises(RuntimeError, match='pass load_from'):
        step(model.train(), with_outliers())
