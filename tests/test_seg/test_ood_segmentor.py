"""OODEncoderDecoder: what it predicts, beside mmseg's predictions."""

import copy

import pytest
import torch

from helpers import assert_near
from mmood.scores import Samples, energy, entropy
from mmood.seg.models import windows
from seg_helpers import (
    SCORES,
    assert_best_classes,
    build_segmentor,
    seg_batch,
    stock_segmentor,
    tiny_segmentor,
)

SLIDE = dict(mode='slide', crop_size=(24, 24), stride=(16, 16))
DIFFUSION = [SCORES[1]]


def plain(model, **options):
    """mmseg's own segmentor with the same weights."""
    return stock_segmentor(model, tiny_segmentor(**options))


def diffusion_map(model, images, keys):
    """The score of the features of images, (B, h, w)."""
    features = model.extract_features(images)
    return model.scores(Samples(features=features, keys=keys), ['diffusion'])[
        'diffusion'
    ]


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


def test_score_maps_are_those_of_the_scores():
    model = build_segmentor(scores=[*SCORES, 'entropy'])
    images, samples = seg_batch()
    expected = diffusion_map(model, images, ['0.png', '1.png'])
    for i, one in enumerate(predict(model, images, samples)):
        maps = one.pred_ood
        blocks = torch.kron(expected[i], torch.ones(8, 8))  # nearest
        assert_near(maps.diffusion[0], blocks)
        logits = one.seg_logits.data
        assert_near(maps.energy[0], energy(logits, dim=0))
        assert_near(maps.entropy[0], entropy(logits, dim=0))
        compound = (2 * (maps.energy - 1) + 2 * (maps.diffusion - 1)) / 2
        assert_near(maps.compound, compound)
        assert torch.equal(maps.data, maps.compound)
        names = ('compound', 'diffusion', 'energy', 'entropy')
        assert maps.score_names == names


def test_rows_are_scored_some_at_a_time(monkeypatch):
    """None is lost where they do not divide evenly."""
    model = build_segmentor()
    images, samples = seg_batch(size=(45, 37))
    whole = predict(model, images, samples)
    monkeypatch.setattr(windows, '_TILE', dict(cpu=7 * 4 * 37))
    for one, other in zip(predict(model, images, samples), whole):
        for name in other.pred_ood.score_names:
            assert_near(one.pred_ood.get(name), other.pred_ood.get(name))


def test_the_first_score_decides():
    model = build_segmentor(scores=DIFFUSION)
    one = predict(model, *seg_batch(1))[0]
    assert sorted(one.pred_ood.keys()) == ['data', 'diffusion', 'is_ood']
    assert torch.equal(one.pred_ood.data, one.pred_ood.diffusion)


def test_an_unfitted_compound_is_refused_or_left_out():
    model = build_segmentor()
    model.scores.fitted['compound'].forget()
    with pytest.raises(RuntimeError, match='tools/fit_scores.py'):
        predict(model, *seg_batch(1))
    model.scores.skips_unfitted = True
    maps = predict(model, *seg_batch(1))[0].pred_ood
    assert maps.score_names == ('diffusion', 'energy')
    assert torch.equal(maps.data, maps.diffusion)


def test_sliding_windows_are_averaged_where_they_overlap():
    """Crops of 24 at 0, 16 and 21 (the last one is moved in) of 45 x 24."""
    model = build_segmentor(test_cfg=SLIDE, scores=DIFFUSION)
    images, samples = seg_batch(1, (45, 24))
    total, count = torch.zeros(45, 24), torch.zeros(45, 24)
    for top in (0, 16, 21):
        crop = images[:, :, top : top + 24]
        score = diffusion_map(model, crop, ['0.png'])[0]
        total[top : top + 24] += torch.kron(score, torch.ones(8, 8))
        count[top : top + 24] += 1
    found = predict(model, images, samples)[0].pred_ood.diffusion[0]
    assert count.max() == 3
    assert_near(found, total / count)


def test_bilinear_upsampling():
    model = build_segmentor(upsample='bilinear', scores=DIFFUSION)
    images, samples = seg_batch(1)
    score = diffusion_map(model, images, ['0.png'])
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
    model = build_segmentor(scores=DIFFUSION)
    images, samples = seg_batch(1, (40, 48))
    samples[0].set_metainfo(
        {
            key: (8, 16, 8, 0),
            'flip': True,
            'flip_direction': direction,
            'ori_shape': (64, 48),
        }
    )
    score = diffusion_map(model, images, ['0.png'])[0]
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
    model = build_segmentor(data_preprocessor=preprocessor, scores=DIFFUSION)
    image = torch.randint(256, (3, 27, 40), dtype=torch.uint8)
    data = dict(inputs=[image], data_samples=seg_batch(1, (27, 40))[1])
    one = model.test_step(data)[0]
    padded = torch.zeros(1, 3, 32, 64)
    padded[..., :27, :40] = (image[[2, 1, 0]].float() - 127.5) / 127.5
    score = diffusion_map(model, padded, ['0.png'])[0]
    expected = torch.kron(score, torch.ones(8, 8))[:27, :40]
    assert_near(one.pred_ood.diffusion[0], expected)


def test_is_ood_above_the_threshold():
    model = build_segmentor()
    images, samples = seg_batch(1)
    one = predict(model, images, samples)[0]
    assert not one.pred_ood.is_ood.any()  # there is none yet
    scores = one.pred_ood.data
    threshold = model.scores.thresholds['compound']
    threshold.fill_(scores.flatten().sort().values[500])
    one = predict(model, images, samples)[0].pred_ood
    mask = one.is_ood
    assert mask.dtype == torch.bool
    assert torch.equal(mask, one.data > threshold)
    assert 0 < mask.sum() < mask.numel()
    stored = model.state_dict()['scores.thresholds.compound']
    assert stored == threshold


def test_half_precision_of_the_segmentor():
    """Logits stay as they are, scores are float32."""
    model = build_segmentor()
    images, samples = seg_batch(1)
    exact = predict(model, images, samples)[0].pred_ood
    with torch.autocast('cpu', torch.bfloat16):
        half = predict(model, images, samples)[0]
        stock = predict(plain(model), images, samples)[0]
    for name in exact.score_names:
        assert half.pred_ood.get(name).dtype == torch.float32
    assert half.seg_logits.data.dtype == stock.seg_logits.data.dtype
    assert (half.pred_ood.energy - exact.energy).abs().max() < 0.3
    assert (half.pred_ood.diffusion - exact.diffusion).abs().max() < 0.1


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
