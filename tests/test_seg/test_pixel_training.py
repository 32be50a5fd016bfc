"""Losses on pixels in a segmentor: what they see, what learns."""

import copy

import pytest
import torch
import torch.nn.functional as F
from mmengine.optim import OptimWrapper

from batches import as_ranks
from helpers import assert_near
from mask_segmentors import build as build_masks
from mmood.losses import IGNORE, OUTLIER, PixelLoss
from mmood.registry import MODELS
from mmood.seg.models.heads import mask_sums
from seg_families import FAMILIES, batch, build

HINGE = dict(type='mmood.EnergyHingeLoss')


class SpyPixelLoss(PixelLoss):
    """Keeps the batch."""

    kinds = ('softmax', 'sigmoid', 'mask')

    def score(self, logits, kind):
        return logits.sum(1)

    def forward(self, seen):
        self.batch = seen
        return dict(loss_spy=self.scores(seen).mean())


@pytest.fixture(autouse=True)
def spy():
    MODELS.register_module(module=SpyPixelLoss)
    yield dict(type='mmood.SpyPixelLoss')
    MODELS.module_dict.pop('SpyPixelLoss')


def labelled(outliers=True):
    """Images with a strip of outliers and one of ignored pixels."""
    data = batch()
    for sample in data['data_samples']:
        sample.gt_sem_seg.data[:, 8:10] = 255
        if outliers:
            sample.gt_sem_seg.data[:, :8] = 254
    return data


def losses_of(model, data):
    data = model.data_preprocessor(copy.deepcopy(data), True)
    return model.train().loss(**data)


@pytest.mark.parametrize('family', FAMILIES)
def test_batch_holds_the_logits_of_the_prediction(family, spy):
    model, _ = build(family, ['energy'], pixel_losses=[spy])
    for module in model.modules():
        module.training = False  # batch norm as at test
    model.train = lambda: model
    data = labelled()
    losses = losses_of(model, data)
    seen = model.pixel_losses['SpyPixelLoss'].batch
    inputs = model.data_preprocessor(copy.deepcopy(data))['inputs']
    with torch.no_grad():
        metas = [s.metainfo for s in data['data_samples']]
        expected = model.encode_decode(inputs, metas)
    assert_near(seen.logits, expected)
    assert seen.kind == 'softmax' and seen.num_classes == 4
    assert seen.queries is None
    labels = torch.cat([s.gt_sem_seg.data for s in data['data_samples']])
    assert (seen.labels[:, :8] == OUTLIER).all()
    assert (seen.labels[:, 8:10] == IGNORE).all()
    assert torch.equal(seen.labels[:, 10:], labels[:, 10:])
    losses['loss_spy'].backward()
    gradients = [p.grad for p in model.decode_head.parameters()]
    assert any(g is not None and g.any() for g in gradients)
    # The samples that came in are as they were.
    assert (labels[:, :8] == 254).all()


def test_own_losses_see_outliers_as_ignored(spy):
    model, _ = build('fcn', ['energy'], pixel_losses=[spy])
    stock, _ = build('fcn', ['energy'])
    stock.load_state_dict(model.state_dict(), strict=False)
    data, other = labelled(), labelled()
    for sample in other['data_samples']:
        sample.gt_sem_seg.data[:, :8] = 255
    found, expected = losses_of(model, data), losses_of(stock, other)
    assert set(found) == {*expected, 'loss_spy'}
    for name, value in expected.items():
        assert_near(found[name], value)
    assert model.outlier_pixels.count == 2 * 8 * 32


def test_without_the_own_losses(spy):
    options = dict(pixel_losses=[spy], supervised=False)
    model, _ = build('fcn', ['energy'], **options)
    assert set(losses_of(model, labelled())) == {'decode.acc_seg', 'loss_spy'}


def test_the_hinge_is_that_of_the_full_size_logits():
    model, _ = build('fcn', ['energy'], pixel_losses=[HINGE])
    data = labelled()
    found = losses_of(model, data)['loss_energy_hinge']
    inputs = model.data_preprocessor(copy.deepcopy(data), True)['inputs']
    with torch.no_grad():
        z = F.interpolate(model._forward(inputs), (48, 32), mode='bilinear')
    energy = -z.logsumexp(1)
    known = (energy[:, 10:] + 25).relu().square().mean()
    outlier = (-7 - energy[:, :8]).relu().square().mean()
    assert_near(found, 0.1 * (known + outlier), 1e-4, 1e-4)


def test_no_outlier_in_a_batch():
    model, _ = build('fcn', ['energy'], pixel_losses=[HINGE])
    losses = losses_of(model, labelled(outliers=False))
    sum(v for k, v in losses.items() if 'loss' in k).backward()
    assert all(
        p.grad is None or p.grad.isfinite().all() for p in model.parameters()
    )
    assert model.outlier_pixels.count == 0


@pytest.mark.parametrize('kind', ['Mask2FormerHead', 'MaskFormerHead'])
def test_masks_are_those_of_the_last_layer(kind, spy):
    losses = [dict(type='mmood.RbALoss'), dict(type='mmood.Mask2AnomalyLoss')]
    model = build_masks(['max_logit'], kind=kind, pixel_losses=[spy, *losses])
    calls = []
    model.decode_head.register_forward_hook(
        lambda _, __, out: calls.append(out)
    )
    found = losses_of(model, labelled())
    classes, masks = (part[-1] for part in calls[0])
    p = classes.softmax(-1)[..., :-1]
    sums = (p[..., None, None] * masks.sigmoid()[:, :, None]).sum(1)
    seen = model.pixel_losses['SpyPixelLoss'].batch
    assert seen.kind == 'mask'
    assert_near(seen.logits, sums)
    assert torch.equal(seen.queries.mask_logits, masks)
    assert seen.queries.size == (48, 32)
    rba = -sums.tanh().sum(1)
    rba = F.interpolate(
        rba[:, None], (48, 32), mode='bilinear', align_corners=True
    )[:, 0]
    known = (rba[:, 10:] + 1).relu().square().mean()
    outlier = (-0.1 - rba[:, :8]).relu().square().mean()
    assert_near(found['loss_rba'], (known + outlier) / 2)
    assert found['loss_mask2anomaly'] > 0
    sum(v for k, v in found.items() if k.startswith('loss_')).backward()
    assert model.decode_head.cls_embed.weight.grad.any()


def test_sums_of_masks_by_hand():
    """Two queries, two classes; the first one is of no object by 1/2."""
    classes = torch.tensor([[[0.0, -50.0, 0.0], [-50.0, 0.0, -50.0]]])
    masks = torch.tensor([[[[0.0]], [[50.0]]]])
    half = mask_sums(classes.bfloat16(), masks.bfloat16())
    assert half.dtype == torch.float32
    assert_near(half.flatten(), [0.25, 1.0])


def step(model, data):
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    model.train().train_step(copy.deepcopy(data), OptimWrapper(optimizer))


def test_only_what_trains_is_changed():
    parts = ['decode_head.conv_seg', 'decode_head.convs.0.bn.weight']
    model, _ = build('fcn', ['energy'], pixel_losses=[HINGE], trains=parts)
    model.load_state_dict(model.state_dict())
    before = {k: v.clone() for k, v in model.state_dict().items()}
    step(model, labelled())
    changed = {
        name
        for name, value in model.state_dict().items()
        if 'threshold' not in name and not torch.equal(value, before[name])
    }
    changed.remove('outlier_pixels.count')
    assert changed >= {f'{parts[0]}.weight', f'{parts[0]}.bias', parts[1]}
    # The layer of which the weight learns is in training mode.
    running = {f'decode_head.convs.0.bn.running_{n}' for n in ('mean', 'var')}
    running.add('decode_head.convs.0.bn.num_batches_tracked')
    assert changed - running == {
        f'{parts[0]}.weight', f'{parts[0]}.bias', parts[1],
    }  # fmt: skip
    assert not any(m.training for m in model.backbone.modules())
    assert not model.eval().decode_head.conv_seg.training


def test_a_frozen_decode_head_wants_its_weights():
    options = dict(pixel_losses=[HINGE], trains=['decode_head.conv_seg'])
    with pytest.raises(RuntimeError, match='no trained weights: pass load_f'):
        losses_of(build_unloaded(**options), labelled())
    model, _ = build('fcn', ['energy'], pixel_losses=[HINGE])
    weights = model.state_dict()
    loaded = build_unloaded(**options)
    loaded.load_state_dict(weights)
    assert losses_of(loaded, labelled())['loss_energy_hinge'] > 0
    # What learns may be new.
    weights.pop('decode_head.conv_seg.weight')
    loaded.load_state_dict(weights, strict=False)
    losses_of(loaded, labelled())
    weights.pop('decode_head.convs.0.conv.weight')
    loaded.load_state_dict(weights, strict=False)
    with pytest.raises(RuntimeError, match='convs.0.conv.weight'):
        losses_of(loaded, labelled())


def build_unloaded(**options):
    cfg = dict(FAMILIES['fcn'], type='mmood.OODEncoderDecoder')
    cfg.update(scores=['energy'], test_cfg=dict(mode='whole'), **options)
    cfg['data_preprocessor'] = build('fcn', ['energy'])[1].data_preprocessor
    return MODELS.build(cfg)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(pixel_losses=[dict(type='mmood.RbALoss')]),
         'RbALoss is defined for mask logits, and .* are of softmax'),
        (dict(pixel_losses=[HINGE], outlier_label=3),
         'outlier_label=3 is a class: there are 4, 0 to 3'),
        (dict(pixel_losses=[HINGE], outlier_label=255),
         'outlier_label=255 is also ignore_index'),
        (dict(pixel_losses=[HINGE], outlier_label=256), r'0\.\.255.*got 256'),
        (dict(trains=['decode_head.cls']),
         r"trains has 'decode_head.cls'.*'decode_head.conv_seg'"),
        (dict(trains='backbone'), r"is a text: one part is \['backbone'\]"),
        (dict(pixel_losses=[HINGE], decode_head=dict(
            FAMILIES['fcn']['decode_head'],
            loss_decode=dict(type='CrossEntropyLoss', class_weight=[1.0] * 4),
        )), 'decode_head.loss_decode has class_weight.*class_weight=None'),
        (dict(losses=[HINGE]), 'EnergyHingeLoss is a loss on pixels'),
    ],
)  # fmt: skip
def test_what_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        build('fcn', ['energy'], **options)


def test_the_energy_is_not_of_masks():
    with pytest.raises(ValueError, match='EnergyHingeLoss is defined for sof'):
        build_masks(['max_logit'], pixel_losses=[HINGE])


def test_losses_of_two_ranks_are_those_of_one(monkeypatch):
    """One rank has no outlier, and more ignored pixels."""
    model, _ = build('segmenter', ['energy'], pixel_losses=[HINGE])
    data = labelled()
    data['data_samples'][0].gt_sem_seg.data[:, :8] = 0
    data['data_samples'][1].gt_sem_seg.data[:, 20:] = 255

    def part(which):
        own = {k: v[which] for k, v in data.items()}
        return lambda: losses_of(model, own)['loss_energy_hinge']

    one, two = part(slice(0, 1)), part(slice(1, 2))
    found = as_ranks(monkeypatch, one, two)
    assert_near(sum(found) / 2, part(slice(0, 2))(), 1e-4, 1e-4)


def test_autocast_leaves_the_loss_in_float32():
    model, _ = build('fcn', ['energy'], pixel_losses=[HINGE])
    with torch.autocast('cpu', torch.bfloat16):
        half = losses_of(model, labelled())['loss_energy_hinge']
    full = losses_of(model, labelled())['loss_energy_hinge']
    assert half.dtype == torch.float32
    assert_near(half, full, 0.05, 0.05)


def test_a_checkpoint_of_the_plain_segmentor_is_complete():
    model, _ = build('fcn', ['energy'], pixel_losses=[HINGE])
    plain, _ = build('fcn', ['energy'])
    missing, unexpected = model.load_state_dict(
        plain.state_dict(), strict=False
    )
    assert not missing and not unexpected
    model.outlier_pixels.add(torch.tensor(7))
    again, _ = build('fcn', ['energy'], pixel_losses=[HINGE])
    again.load_state_dict(model.state_dict())
    assert again.outlier_pixels.count == 7


def test_branches_with_losses_of_their_own(spy):
    """The sum of DANet's is the prediction."""
    head = dict(
        type='DAHead', in_channels=64, in_index=3, channels=16,
        pam_channels=8, dropout_ratio=0.0, num_classes=4,
        norm_cfg=dict(type='BN'),
    )  # fmt: skip
    model, _ = build('fcn', ['energy'], decode_head=head, pixel_losses=[spy])
    outputs = []
    model.decode_head.conv_seg.register_forward_hook(
        lambda _, __, out: outputs.append(out)
    )
    losses_of(model, labelled())
    assert model.pixel_losses['SpyPixelLoss'].batch.logits is outputs[-1]
