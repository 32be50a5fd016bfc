"""OODEncoderDecoder: what it predicts, beside mmseg's predictions."""

import copy

import pytest
import torch
from mmseg.models.segmentors import EncoderDecoder

from helpers import assert_near
from mmood.scores import energy
from seg_helpers import (
    assert_best_classes,
    build_segmentor,
    seg_batch,
    tiny_segmentor,
)

SLIDE = dict(mode='slide', crop_size=(24, 24), stride=(16, 16))


def plain(model, **options):
    """mmseg's own segmentor with the same weights."""
    cfg = tiny_segmentor(**options)
    for name in ('ood_head', 'type'):
        del cfg[name]
    cfg['data_preprocessor'] = None
    stock = EncoderDecoder(**cfg).eval()
    missing, _ = stock.load_state_dict(model.state_dict(), strict=False)
    assert not missing
    return stock


def predict(model, images, samples=None):
    with torch.no_grad():
        return model.predict(images, copy.deepcopy(samples))


@pytest.mark.parametrize('test_cfg', [dict(mode='whole'), SLIDE])
@pytest.mark.parametrize('size', [(32, 32), (45, 37)])
def test_classes_and_logits_are_mmsegs(test_cfg, size):
    model = build_segmentor(test_cfg=test_cfg)
    images, samples = seg_batch(size=size)
    for one in samples:
        one.set_metainfo(dict(ori_shape=(50, 61)))
    ours = predict(model, images, samples)
    stock = predict(plain(model, test_cfg=test_cfg), images, samples)
    for mine, other in zip(ours, stock):
        assert_near(mine.seg_logits.data, other.seg_logits.data)
        classes = mine.pred_sem_seg.data[0]
        assert_best_classes(classes, other.seg_logits.data)
        assert mine.pred_sem_seg.data.unique().numel() > 1
        assert mine.pred_ood.data.shape == (1, 50, 61)
    assert_near(model(images), plain(model)(images))  # mode 'tensor'


def test_score_maps_are_the_heads():
    model = build_segmentor()
    images, samples = seg_batch()
    keys = ['0.png', '1.png']
    expected = model.ood_head.score_maps(model.extract_features(images), keys)
    for i, one in enumerate(predict(model, images, samples)):
        found = one.pred_ood.diffusion
        blocks = torch.kron(expected[i], torch.ones(8, 8))  # nearest
        assert_near(found[0], blocks)
        uncertainty = energy(one.seg_logits.data, dim=0)
        compound = (2 * (uncertainty - 1) + 2 * (found - 1)) / 2
        assert_near(one.pred_ood.compound, compound)
        assert torch.equal(one.pred_ood.data, one.pred_ood.compound)


def test_without_compound_the_diffusion_score_is_all():
    """And no statistics are needed."""
    model = build_segmentor(compound=False)
    model.ood_head.score_std.fill_(float('nan'))
    one = predict(model, *seg_batch(1))[0]
    assert sorted(one.pred_ood.keys()) == ['data', 'diffusion', 'is_ood']
    assert torch.equal(one.pred_ood.data, one.pred_ood.diffusion)
    model.compound = True
    with pytest.raises(RuntimeError, match='tools/fit_scores.py'):
        predict(model, *seg_batch(1))


def test_sliding_windows_are_averaged_where_they_overlap():
    """Crops of 24 at 0, 16 and 21 (the last one is moved in) of 45 x 24."""
    model = build_segmentor(test_cfg=SLIDE, compound=False)
    images, samples = seg_batch(1, (45, 24))
    total, count = torch.zeros(45, 24), torch.zeros(45, 24)
    for top in (0, 16, 21):
        crop = images[:, :, top : top + 24]
        features = model.extract_features(crop)
        score = model.ood_head.score_maps(features, ['0.png'])[0]
        total[top : top + 24] += torch.kron(score, torch.ones(8, 8))
        count[top : top + 24] += 1
    found = predict(model, images, samples)[0].pred_ood.diffusion[0]
    assert count.max() == 3
    assert_near(found, total / count)


def test_bilinear_upsampling():
    model = build_segmentor(upsample='bilinear', compound=False)
    images, samples = seg_batch(1)
    features = model.extract_features(images)
    score = model.ood_head.score_maps(features, ['0.png'])
    found = predict(model, images, samples)[0].pred_ood.diffusion[0]
    # Cell centres lie at 3.5, 11.5, ...: pixel 4 is 1/16 of the way.
    rows = 15 / 16 * score[0, 0] + 1 / 16 * score[0, 1]
    assert found[4, 4].item() == pytest.approx(
        (15 / 16 * rows[0] + 1 / 16 * rows[1]).item(), abs=1e-4
    )
    assert_near(found[0, 0], score[0, 0, 0])


@pytest.mark.parametrize('direction', ['horizontal', 'vertical'])
@pytest.mark.parametrize('key', ['padding_size', 'img_padding_size'])
def test_padding_and_flip_are_undone(direction, key):
    """Left 8, right 16, top 8, bottom 0, then twice the size."""
    model = build_segmentor(compound=False)
    images, samples = seg_batch(1, (40, 48))
    samples[0].set_metainfo(
        {
            key: (8, 16, 8, 0),
            'flip': True,
            'flip_direction': direction,
            'ori_shape': (64, 48),
        }
    )
    features = model.extract_features(images)
    score = model.ood_head.score_maps(features, ['0.png'])[0]
    inside = score[1:, 1:4].flip(1 if direction == 'horizontal' else 0)
    expected = torch.kron(inside, torch.ones(16, 16))
    one = predict(model, images, samples)[0]
    assert_near(one.pred_ood.diffusion[0], expected)
    stock = predict(plain(model), images, samples)[0]
    assert_near(one.seg_logits.data, stock.seg_logits.data)


def test_pads_at_test_and_cuts_it_off():
    """From the raw image, by the preprocessor, through the whole step."""
    preprocessor = dict(
        tiny_segmentor()['data_preprocessor'], test_cfg=dict(size_divisor=32)
    )
    model = build_segmentor(data_preprocessor=preprocessor, compound=False)
    image = torch.randint(256, (3, 27, 40), dtype=torch.uint8)
    data = dict(inputs=[image], data_samples=seg_batch(1, (27, 40))[1])
    one = model.test_step(data)[0]
    padded = torch.zeros(1, 3, 32, 64)
    padded[..., :27, :40] = (image[[2, 1, 0]].float() - 127.5) / 127.5
    features = model.extract_features(padded)
    score = model.ood_head.score_maps(features, ['0.png'])[0]
    expected = torch.kron(score, torch.ones(8, 8))[:27, :40]
    assert_near(one.pred_ood.diffusion[0], expected)


def test_is_ood_above_the_threshold():
    model = build_segmentor()
    images, samples = seg_batch(1)
    one = predict(model, images, samples)[0]
    assert not one.pred_ood.is_ood.any()  # there is none yet
    scores = one.pred_ood.data
    model.ood_threshold.fill_(scores.flatten().sort().values[500])
    one = predict(model, images, samples)[0].pred_ood
    mask = one.is_ood
    assert mask.dtype == torch.bool
    assert torch.equal(mask, one.data > model.ood_threshold)
    assert 0 < mask.sum() < mask.numel()
    assert model.state_dict()['ood_threshold'] == model.ood_threshold


def test_half_precision_of_the_segmentor():
    model = build_segmentor()
    images, samples = seg_batch(1)
    exact = predict(model, images, samples)[0]
    with torch.autocast('cpu', torch.bfloat16):
        half = predict(model, images, samples)[0]
    for name in ('diffusion', 'compound'):
        assert half.pred_ood.get(name).dtype == torch.float32
    assert half.seg_logits.data.dtype == torch.float32
    error = (half.seg_logits.data - exact.seg_logits.data).abs()
    assert 0 < error.max() < 0.3
    assert (half.pred_ood.diffusion - exact.pred_ood.diffusion).abs().max() < (
        0.1
    )


def test_images_without_a_file_have_the_noise_of_their_content():
    model = build_segmentor()
    images, samples = seg_batch()
    found = predict(model, images)
    swapped = predict(model, images.flip(0))
    for a, b in ((0, 1), (1, 0)):
        one, other = found[a].pred_ood, swapped[b].pred_ood
        assert_near(one.diffusion, other.diffusion)
    del samples[0].img_path
    one = predict(model, images, samples)[0].pred_ood
    assert_near(one.diffusion, found[0].pred_ood.diffusion)
    named = predict(model, images, seg_batch()[1])[0].pred_ood
    assert not torch.isclose(named.diffusion, one.diffusion).all()


def test_the_folder_of_a_file_does_not_matter():
    model = build_segmentor()
    images, samples = seg_batch(1)
    maps = []
    for path in ('/a/x.png', 'b/x.png', 'b/y.png'):
        samples[0].set_metainfo(dict(img_path=path))
        maps.append(predict(model, images, samples)[0].pred_ood.data)
    first, second, third = maps
    assert_near(first, second)
    assert not torch.isclose(first, third).all()


def test_bad_upsampling():
    with pytest.raises(ValueError, match="upsample .*'bilinear'.*'cubic'"):
        build_segmentor(upsample='cubic')
