"""Gaussian mixtures in mmseg's decode heads."""

import pytest
import torch
from mmengine.config import ConfigDict
from mmseg.models.segmentors import EncoderDecoder

from mmood.registry import MODELS
from mmood.seg.models.gmmseg_head import Embedding
from seg_families import FAMILIES, HEAD, batch, build
from seg_helpers import lively, seg_batch, tiny_segmentor

MIXTURES = dict(channels=8, num_components=3, queue_size=50, interval=1)
HEADS = ('fcn', 'deeplabv3plus', 'segformer', 'cgnet')


def gmmseg_head(family, mixtures=MIXTURES, **options):
    head = dict(FAMILIES[family]['decode_head'])
    of = f'mmseg.{head["type"]}'
    own = dict(type='mmood.GMMSegHead', of=of, mixtures=mixtures)
    return {**head, **own, **options}


def gmmseg(family, scores=('gmmseg', 'energy'), mixtures=MIXTURES, **options):
    """A segmentor in eval mode whose mixtures have all seen something."""
    head = gmmseg_head(family, mixtures)
    more = dict(decode_head=head, probe=None, **options)
    model, cfg = build(family, list(scores), **more)
    found = model.decode_head.conv_seg.mixtures
    found.deviations.uniform_(0.2, 1.0)
    found.queues.seen.fill_(1)
    return model, cfg


def train_step(model):
    return model.loss(**model.data_preprocessor(batch(), True))


@pytest.mark.parametrize('family', HEADS)
def test_the_score_is_the_density_and_the_map_the_logits(family):
    model, _ = gmmseg(family)
    found = model.test_step(batch())
    classifier = model.decode_head.conv_seg
    with torch.no_grad(), model.probe.record(model) as maps:
        inputs = model.data_preprocessor(batch())['inputs']
        logits = model._forward(inputs)
    mu, sigma = classifier.mixtures.means, classifier.mixtures.deviations
    one = torch.distributions.Independent(torch.distributions.Normal(
        mu.double(), sigma.double()), 1)  # fmt: skip
    x = maps[-1].movedim(1, -1)[..., None, None, :].double()
    densities = one.log_prob(x)  # (B, h, w, K, M)
    best = densities.amax(-1)
    expected = classifier.norm(best.float()).movedim(-1, 1)
    torch.testing.assert_close(logits, expected, atol=2e-3, rtol=1e-3)
    for i, sample in enumerate(found):
        score = sample.pred_ood.gmmseg[0]
        low = -best[i].amax(-1).float()
        size = tuple(score.shape)
        own = torch.nn.functional.interpolate(low[None, None], size)[0, 0]
        torch.testing.assert_close(score, own, atol=2e-3, rtol=1e-3)
        classes = sample.seg_logits.data.argmax(0)
        assert torch.equal(sample.pred_sem_seg.data[0], classes)


@pytest.mark.parametrize('family', HEADS)
def test_training_moves_all_parts(family):
    model, _ = gmmseg(family)
    model.train()
    mixtures = model.decode_head.conv_seg.mixtures
    mixtures.queues.seen.zero_()
    before = mixtures.deviations.clone()
    losses = train_step(model)
    assert set(losses) == {'decode.loss_ce', 'decode.acc_seg',
                           'decode.loss_contrast'}  # fmt: skip
    assert mixtures.iteration == 1 and mixtures.seen.any()
    assert (mixtures.deviations != before).any()
    sum(v for k, v in losses.items() if 'loss' in k).backward()
    for name, parameter in model.decode_head.named_parameters():
        assert parameter.grad.abs().sum() > 0, name


def test_other_losses_are_the_heads_own():
    """Of the classifier's logits, as mmseg weighs them."""
    head = gmmseg_head('fcn', loss_decode=[
        dict(type='mmseg.CrossEntropyLoss', loss_name='loss_ce'),
        dict(type='mmseg.DiceLoss', loss_name='loss_dice'),
    ])  # fmt: skip
    model, _ = build('fcn', ['gmmseg'], decode_head=head, probe=None)
    model.train()
    losses = train_step(model)
    assert {'decode.loss_ce', 'decode.loss_dice'} < set(losses)


def test_a_checkpoint_of_the_plain_segmentor_loads():
    """But for the last layer, which is another one."""
    model, cfg = gmmseg('deeplabv3plus')
    head = FAMILIES['deeplabv3plus']['decode_head']
    plain = ConfigDict(cfg, decode_head=head)
    for key in ('type', 'scores', 'probe'):
        plain.pop(key)
    plain.data_preprocessor = None
    stock = lively(EncoderDecoder(**plain))
    missing, extra = model.load_state_dict(stock.state_dict(), strict=False)
    assert set(extra) == {f'decode_head.conv_seg.{n}'
                          for n in ('weight', 'bias')}  # fmt: skip
    own = ('decode_head.conv_seg.', 'scores.', 'ood_threshold')
    assert all(name.startswith(own) for name in missing)
    weight = model.decode_head.sep_bottleneck[1].pointwise_conv.conv.weight
    head = stock.decode_head.sep_bottleneck[1].pointwise_conv.conv
    assert torch.equal(weight, head.weight)


def test_a_checkpoint_restores_queues_and_scores():
    model, cfg = gmmseg('fcn')
    model.train()
    for _ in range(3):
        train_step(model)
    other = MODELS.build(cfg)
    other.load_state_dict(model.state_dict())
    one, two = (m.eval().test_step(batch()) for m in (model, other))
    for name in ('gmmseg', 'energy'):
        torch.testing.assert_close(
            one[0].pred_ood.get(name), two[0].pred_ood.get(name)
        )
    queues = other.decode_head.conv_seg.mixtures.queues
    assert queues.counts.sum() == queues.seen.clamp(max=50).sum() > 0


def test_embeddings_are_of_length_one_and_in_float32():
    embed = lively(Embedding(6, 4, dict(type='BN')))
    x = torch.randn(2, 6, 5, 3)
    with torch.autocast('cpu', torch.bfloat16):
        found = embed(x)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.norm(dim=1), torch.ones(2, 5, 3))
    torch.testing.assert_close(found, embed(x), atol=0.05, rtol=0)


def test_a_head_of_the_embeddings_width_has_no_projection():
    model, _ = gmmseg('cgnet', mixtures=dict(MIXTURES, channels=32))
    embed = model.decode_head.conv_seg.embed
    assert list(embed.state_dict()) == ['norm.weight', 'norm.bias']


def test_initial_weights_leave_the_norms_alone():
    """A head's init_cfg draws the weights of all that is in conv_seg."""
    model, _ = gmmseg('segformer')
    model.init_weights()
    classifier = model.decode_head.conv_seg
    for norm in (classifier.norm, classifier.embed.norm,
                 classifier.embed.projection.bn):  # fmt: skip
        assert (norm.weight == 1).all() and (norm.bias == 0).all()
    convolution = classifier.embed.projection.conv.weight
    assert convolution.std() > 0.1  # Kaiming's, of 16 channels


def test_windows_and_other_features():
    """Sliding windows; and neighbours of the embeddings beside it."""
    slide = dict(mode='slide', crop_size=(24, 24), stride=(16, 16))
    scores = ['gmmseg', dict(type='knn', k=2)]
    model, _ = gmmseg('fcn', scores, test_cfg=slide)
    assert model.probe.module == 'decode_head.conv_seg.embed'
    model.scores.skips_unfitted = True
    found = model.test_step(batch())[0].pred_ood
    assert found.gmmseg.shape == (1, 48, 32)
    assert torch.isfinite(found.gmmseg).all()


def test_features_of_another_width_are_refused():
    model, _ = gmmseg('fcn')
    model.probe.module = 'backbone.layer4'
    with pytest.raises(ValueError, match=r'x must be \(N, 8, \*\)'):
        model.test_step(batch())


REFUSED = {
    'is no BaseDecodeHead of mmseg': dict(of='mmseg.ResNet'),
    "of='NoHead' is in no registry": dict(of='NoHead'),
    'SegmenterMaskTransformerHead has no last layer conv_seg': dict(
        FAMILIES['segmenter']['decode_head'],
        of='mmseg.SegmenterMaskTransformerHead',
    ),
    'out_channels=1 for num_classes=2': dict(
        HEAD, of='mmseg.FCNHead', in_channels=4, channels=4, num_convs=0,
        concat_input=False, num_classes=2, out_channels=1, threshold=0.5,
    ),
}  # fmt: skip


@pytest.mark.parametrize('message', REFUSED)
def test_heads_that_it_refuses(message):
    config = dict(REFUSED[message], type='mmood.GMMSegHead')
    with pytest.raises(ValueError, match=message):
        MODELS.build(config)


def test_a_head_that_does_not_run_its_last_layer_is_refused():
    class Silent(MODELS.get('mmseg.FCNHead')):
        def cls_seg(self, feat):
            return feat[:, :4]

    head = dict(gmmseg_head('fcn'), of=Silent)
    model, _ = build('fcn', ['energy'], decode_head=head, probe=None)
    with pytest.raises(RuntimeError, match='does not run its conv_seg'):
        train_step(model.train())


def test_the_score_wants_such_a_head():
    with pytest.raises(ValueError, match='densities of a mmood.GMMSegHead'):
        MODELS.build(tiny_segmentor(scores=['gmmseg'], losses=[]))


def test_ignored_labels_are_no_class():
    """Also where the head ignores a class."""
    head = gmmseg_head('fcn', ignore_index=1)
    model, _ = build('fcn', ['gmmseg'], decode_head=head, probe=None)
    model.train()
    mixtures = model.decode_head.conv_seg.mixtures
    for _ in range(3):
        images, samples = seg_batch(2, (48, 32))
        for sample in samples:
            sample.gt_sem_seg.data[:] = 1
        model.loss(images, samples)
    assert not mixtures.seen.any() and mixtures.iteration == 3
