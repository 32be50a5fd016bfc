"""Segmentors with queries: what their scores see, whole and in windows.

Shapes: B = 2 images of 64 x 48, K = 4 classes, N = 7 queries.
"""

import copy

import pytest
import torch
from mmengine.structures import PixelData
from torch.nn.functional import interpolate

from helpers import assert_near
from mask_segmentors import BACKBONES, K, N, build, config
from mmood.hooks import fit_scores
from mmood.registry import MODELS
from mmood.scores import mask_anomaly, rba
from mmood.seg.export import plan
from mmood.seg.models.mask_heads import metas_of_window, record_queries
from seg_families import FAMILIES
from seg_helpers import assert_best_classes, seg_batch, stock_segmentor

SIZE = (64, 48)
SLIDE = dict(mode='slide', crop_size=(32, 32), stride=(32, 16))
WINDOWS = [(0, 0), (0, 16), (32, 0), (32, 16)]
HEADS = ['Mask2FormerHead', 'MaskFormerHead']
FLAT = dict(type='mask2anomaly', flip=False)
MASKOMALY = dict(type='maskomaly', mask_threshold=0.5, min_iou=0.02)
SCORES = ['rba', 'eam', 'mask2anomaly', 'msp', 'entropy', 'energy']


def batch(count=2, seed=1, size=SIZE):
    torch.manual_seed(seed)
    images, samples = seg_batch(count, size)
    images = (127.5 + 60 * images).clamp(0, 255)
    return dict(inputs=list(images), data_samples=samples)


def with_outliers(data):
    for i, sample in enumerate(data['data_samples']):
        sample.gt_sem_seg.data[:, 8 : 40 + i, 10:30] = 254
        sample.gt_sem_seg.data[:, :, :3] = 255
    return data


@torch.no_grad()
def predicted(model, data):
    return model.test_step(copy.deepcopy(data))


@torch.no_grad()
def looked_at(model, data, top=0, left=0, crop=SIZE):
    """Logits of a window and its queries' probabilities and masks."""
    images = model.data_preprocessor(copy.deepcopy(data))['inputs']
    window = images[:, :, top : top + crop[0], left : left + crop[1]]
    metas = [dict(img_shape=crop, pad_shape=crop, img_path='a')] * len(images)
    head = model.decode_head
    features = model.extract_feat(window)
    with record_queries(head) as found:
        logits = head.predict(features, metas, model.test_cfg)
    (own,) = found
    masks = interpolate(own.mask_logits, crop, mode='bilinear').sigmoid()
    return logits, own.class_logits.softmax(-1), masks


def by_loop(p, masks):
    """EAM of probabilities (B, N, K + 1) and masks (B, N, H, W)."""
    total = torch.zeros(len(p), *masks.shape[2:])
    for n in range(p.shape[1]):
        total -= p[:, n, :-1].amax(-1)[:, None, None] * masks[:, n]
    return total


@pytest.mark.parametrize('kind', HEADS)
@pytest.mark.parametrize('backbone', BACKBONES)
def test_scores_on_any_backbone(request, backbone, kind):
    if backbone == 'timm':
        request.getfixturevalue('timm')
    model, data = build(SCORES, backbone, kind), batch()
    logits, p, masks = looked_at(model, data)
    assert p.shape == (2, N, K + 1) and masks.shape == (2, N, *SIZE)
    maps = torch.einsum('bnk,bnhw->bkhw', p[..., :-1], masks)
    assert_near(logits, maps)
    for i, sample in enumerate(predicted(model, data)):
        found = sample.pred_ood
        assert found.score_names == tuple(SCORES)
        assert_near(sample.seg_logits.data, maps[i])
        assert_near(found.rba, rba(maps[i : i + 1]))
        assert_near(found.eam[0], by_loop(p, masks)[i])
        mixed = (maps[i] / maps[i].sum(0)).clamp(min=1e-30)
        assert_near(found.msp[0], 1 - mixed.amax(0))
        assert_near(
            found.entropy[0], -(mixed * mixed.log()).sum(0), 1e-3, 1e-3
        )
        assert_near(found.energy[0], -maps[i].sum(0).log(), 1e-3, 1e-3)
        assert found.eam.std() > 0 and found.rba.std() > 0


@pytest.mark.parametrize('test_cfg', [dict(mode='whole'), SLIDE])
@pytest.mark.parametrize('kind', HEADS)
def test_classes_are_mmsegs(kind, test_cfg):
    scores = ['eam', 'mask2anomaly']
    model = build(scores, 'r18', kind, test_cfg=test_cfg)
    stock = stock_segmentor(
        model, config('r18', kind, scores=scores, test_cfg=test_cfg)
    )
    stock.data_preprocessor, data = model.data_preprocessor, batch()
    if test_cfg['mode'] == 'slide':  # where mmseg looks at the whole's size
        for sample in data['data_samples']:
            sample.set_metainfo(dict(pad_shape=(32, 32)))
    for own, other in zip(predicted(model, data), predicted(stock, data)):
        assert_near(own.seg_logits.data, other.seg_logits.data)
        classes = own.pred_sem_seg.data[0]
        assert_best_classes(classes, other.seg_logits.data)


@pytest.mark.parametrize('kind', HEADS)
def test_windows_are_averaged_where_they_overlap(kind):
    """Whatever the meta says of the whole image's padding."""
    model, data = build(SCORES, 'r18', kind, test_cfg=SLIDE), batch()
    eam, maps = torch.zeros(2, *SIZE), torch.zeros(2, K, *SIZE)
    flipped, count = torch.zeros(2, *SIZE), torch.zeros(SIZE)
    turned = copy.deepcopy(data)
    for top, left in WINDOWS:
        logits, p, masks = looked_at(model, data, top, left, (32, 32))
        place = (..., slice(top, top + 32), slice(left, left + 32))
        eam[place] += by_loop(p, masks)
        maps[place] += logits
        count[place[1:]] += 1
        turned['inputs'] = [x.clone() for x in data['inputs']]
        for x in turned['inputs']:
            x[place] = x[place].flip(-1)
        other, _, _ = looked_at(model, turned, top, left, (32, 32))
        both = mask_anomaly(logits) + mask_anomaly(other).flip(-1)
        flipped[place] += both / 2
    for i, sample in enumerate(predicted(model, data)):
        assert_near(sample.seg_logits.data, (maps / count)[i])
        assert_near(sample.pred_ood.rba, rba((maps / count)[i : i + 1]))
        assert_near(sample.pred_ood.eam[0], (eam / count)[i])
        assert_near(sample.pred_ood.mask2anomaly[0], (flipped / count)[i])


def test_one_window_is_the_whole_image():
    scores = [*SCORES, MASKOMALY]
    whole = build(scores)
    slide = build(
        scores, test_cfg=dict(mode='slide', crop_size=SIZE, stride=SIZE)
    )
    data = with_outliers(batch(4))
    said = [fit_scores(m, [], outliers=[copy.deepcopy(data)])
            for m in (whole, slide)]  # fmt: skip
    assert said == ['maskomaly fitted on 4 samples a rank'] * 2
    fits = [m.scores.fitted['maskomaly'] for m in (whole, slide)]
    assert_near(fits[0].mean_iou, fits[1].mean_iou)
    assert fits[0].kept.tolist() == fits[1].kept.tolist()
    for one, other in zip(predicted(whole, data), predicted(slide, data)):
        for name in one.pred_ood.score_names:
            assert_near(one.pred_ood.get(name), other.pred_ood.get(name))


def test_flipped_once_is_the_mean_of_two_views():
    model, data = build(['mask2anomaly', dict(FLAT, name='one')]), batch()
    turned = copy.deepcopy(data)
    turned['inputs'] = [image.flip(-1) for image in data['inputs']]
    for own, other in zip(predicted(model, data), predicted(model, turned)):
        mean = (own.pred_ood.one + other.pred_ood.one.flip(-1)) / 2
        assert_near(own.pred_ood.mask2anomaly, mean)
        assert (mean - own.pred_ood.one).abs().max() > 0.01


def test_maps_of_the_original_size_are_smooth():
    """As the logits: resized bilinearly, whatever features' scores are."""
    model, data = build(['eam', dict(FLAT, name='one')]), batch()
    small = predicted(model, data)
    for sample in data['data_samples']:
        sample.set_metainfo(dict(ori_shape=(128, 96)))
    for own, other in zip(predicted(model, data), small):
        expected = interpolate(
            other.pred_ood.eam[None], (128, 96), mode='bilinear'
        )
        assert_near(own.pred_ood.eam, expected[0])
        assert own.pred_ood.one.shape == (1, 128, 96)


def test_padding_is_cut_off():
    """The network sees more than there is of the image."""
    model = build(SCORES)
    data = batch(size=(60, 44))
    for sample in data['data_samples']:
        del sample.pad_shape
    for sample in predicted(model, data):
        assert sample.pred_ood.eam.shape == (1, 60, 44)
        assert sample.seg_logits.shape == (60, 44)
        assert (sample.pred_ood.eam <= 0).all()


def test_the_size_of_the_window_goes_to_the_head():
    window = torch.zeros(2, 3, 8, 6)
    metas = [dict(pad_shape=(80, 60), img_path='a'), dict(img_path='b')]
    assert metas_of_window(metas, window) == [
        dict(pad_shape=(8, 6), img_path='a'),
        dict(img_path='b'),
    ]
    assert metas[0]['pad_shape'] == (80, 60)


def test_maskomaly_is_fitted_on_windows():
    """Against a loop over the windows of images that the head sees."""
    model = build([MASKOMALY, 'rba'], test_cfg=SLIDE)
    data = with_outliers(batch(4))
    labels = [s.gt_sem_seg.data[0] for s in data['data_samples']]
    fit_scores(model, [], outliers=[copy.deepcopy(data)])
    values = []
    for top, left in WINDOWS:
        _, _, masks = looked_at(model, data, top, left, (32, 32))
        for shown, label in zip(masks, labels):
            label = label[top : top + 32, left : left + 32]
            outlier, known = label == 254, label != 255
            if outlier.any():
                inside = (shown > 0.5) & known
                both, either = inside & outlier, inside | outlier
                values.append(both.sum((1, 2)) / either.sum((1, 2)))
    score = model.scores.fitted['maskomaly']
    expected = torch.stack(values).double().mean(0)
    assert len(values) == 16
    # A pixel's mask may round to the other side.
    assert_near(score.mean_iou, expected, 1e-2, 1e-3)
    found = predicted(model, data)[0].pred_ood.maskomaly
    assert found.shape == (1, *SIZE) and 0 <= found.min() < found.max() <= 1


def test_labels_of_another_size():
    """Those of the original image, twice as large as what the network sees."""
    model, data = build([MASKOMALY]), with_outliers(batch(4))
    fit_scores(model, [], outliers=[copy.deepcopy(data)])
    expected = model.scores.fitted['maskomaly'].mean_iou.clone()
    for sample in data['data_samples']:
        label = sample.gt_sem_seg.data[0]
        label = torch.kron(label, torch.ones(2, 2)).long()
        sample.gt_sem_seg = PixelData(data=label[None])
        sample.set_metainfo(dict(ori_shape=(128, 96)))
    fit_scores(model, [], outliers=[data])
    assert_near(model.scores.fitted['maskomaly'].mean_iou, expected)


def test_unfitted_maskomaly_is_as_other_scores():
    model, data = build([MASKOMALY]), batch()
    with pytest.raises(RuntimeError, match='Maskomaly is not fitted: run'):
        predicted(model, data)
    model.scores.skips_unfitted = True
    sample = predicted(model, data)[0]
    assert sample.pred_ood.score_names == ('max_logit',)
    assert_near(sample.pred_ood.data[0], -sample.seg_logits.data.amax(0))


def test_what_the_fit_lacks():
    model, data = build([MASKOMALY, 'rba']), batch()
    message = 'maskomaly is fitted on ID validation images with synthetic .* '
    with pytest.raises(ValueError, match=message + 'set ood.outlier_fit'):
        fit_scores(model, [data])
    with pytest.raises(ValueError, match='none of 2 images .* label 254'):
        fit_scores(model, [], outliers=[copy.deepcopy(data)])
    model = build([dict(type='maskomaly', mask_threshold=1.0)])
    with pytest.raises(ValueError, match='no query of 7 .* min_iou is 0.25'):
        fit_scores(model, [], outliers=[with_outliers(data)])
    assert not model.scores.fitted['maskomaly'].is_fitted


def test_a_compound_of_masks():
    """The second pass is over training images, which have no outliers."""
    scores = [dict(type='compound', of=['maskomaly', 'rba']), MASKOMALY, 'rba']
    model, data = build(scores), batch(4)
    said = fit_scores(
        model,
        [copy.deepcopy(data)],
        outliers=[with_outliers(copy.deepcopy(data))],
    )
    assert said == (
        'maskomaly fitted on 4 samples a rank; '
        f'compound fitted on {4 * 64 * 48} samples a rank'
    )
    maps = [sample.pred_ood for sample in predicted(model, data)]
    values = torch.stack([m.get('compound') for m in maps])
    assert abs(values.mean()) < 1e-3


def test_features_and_queries_in_one_list():
    """Cells of the one, pixels of the other."""
    probe = dict(module='backbone.layer4', channels=64)
    scores = ['eam', dict(type='knn', k=1), 'mask2anomaly']
    model, data = build(scores, probe=probe), batch()
    alone = build(['eam', 'mask2anomaly'])
    fit_scores(model, [copy.deepcopy(data)])
    for own, other in zip(predicted(model, data), predicted(alone, data)):
        for name in ('eam', 'mask2anomaly'):
            assert_near(own.pred_ood.get(name), other.pred_ood.get(name))
        assert own.pred_ood.knn.amax() < 1e-2


@pytest.mark.parametrize('name', ['rba', 'eam', 'mask2anomaly', 'maskomaly'])
def test_a_segmentor_without_queries(name):
    cfg = dict(FAMILIES['fcn'], type='mmood.OODEncoderDecoder', scores=[name])
    with pytest.raises(ValueError, match='FCNHead judges|Mask2FormerHead'):
        MODELS.build(cfg)


@pytest.mark.parametrize('name', ['odin', 'gram', 'gen', 'temperature'])
def test_scores_that_want_a_softmax(name):
    with pytest.raises(ValueError, match=r'softmax.* these are of mask: take'):
        build([name], probe=dict(module='backbone.layer4', channels=64))


def test_it_is_not_exported():
    model = build(['rba'])
    model.dataset_meta = dict(classes=list('abcd'))
    with pytest.raises(ValueError, match='Mask2FormerHead cannot be exported'):
        plan(model, [])


def test_no_hook_is_left_behind():
    model = build(['eam'])
    predicted(model, batch())
    assert not any(module._forward_hooks for module in model.modules())
    with (
        pytest.raises(RuntimeError, match='stop'),
        record_queries(model.decode_head),
    ):
        raise RuntimeError('stop')
    assert not model.decode_head._forward_hooks
