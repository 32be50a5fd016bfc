"""OODSegMetric against scikit-learn on the pixels of all images together."""

import numpy as np
import pytest
import torch
from sklearn.metrics import (
    auc,
    average_precision_score,
    precision_recall_curve,
    roc_auc_score,
    roc_curve,
)

from mmood.metrics import PROTOCOLS, fpr_at_tpr
from mmood.seg.evaluation import pixel_counts
from seg_helpers import (
    evaluate_pixels,
    noisy_sample,
    pixel_metric,
    pixel_sample,
    random_label,
)

ID_POSITIVE = ('vos', 'dreambox', 'quantile')
TRAPEZOIDS = ('openood', 'pytorch_ood')


def pixels(samples, score, origin='far'):
    """Valid scores and what they are, of all images of a set."""
    scores, is_ood = [], []
    for one in samples:
        if one.get('origin') != origin:
            continue
        truth = one['gt_sem_seg']['data'][0].numpy()
        values = one['pred_ood'][score][0]
        scores.append(values.numpy()[truth != 255])
        is_ood.append(truth[truth != 255] == 1)
    return np.concatenate(scores), np.concatenate(is_ood)


def measures(scores, is_ood, protocol='dood', tpr=0.95):
    if protocol in ID_POSITIVE:
        scores, is_ood = -scores, ~is_ood
    precision, recall, _ = precision_recall_curve(is_ood, scores)
    with np.errstate(invalid='ignore'):
        f1 = 2 * precision * recall / (precision + recall)
    area = average_precision_score(is_ood, scores)
    if protocol in TRAPEZOIDS:
        area = auc(recall, precision)
    return dict(
        AP=area,
        AUROC=roc_auc_score(is_ood, scores),
        FPR95=fpr_at_tpr(scores, is_ood, tpr, protocol),
        Fmax=np.nanmax(f1),
    )


def check(result, samples, scores, protocol='dood', tpr=0.95, origin='far'):
    for score in scores:
        row = measures(*pixels(samples, score, origin), protocol, tpr)
        for name, value in row.items():
            found = result[f'ood/{origin}/{score}/{name}']
            assert found == pytest.approx(value, abs=3e-3), (score, name)


TAILS = ('mean', '_std')
SMALL = dict(min_prediction_size=4, min_object_size=2)
ALL = ('compound', 'diffusion', 'energy')


@pytest.mark.parametrize('protocol', sorted(PROTOCOLS))
def test_pixels_of_a_set_are_pooled(protocol):
    """Images of different sizes, two sets, every score."""
    samples = [
        noisy_sample('far', 'a.png'),
        noisy_sample('near', 'b.png'),
        noisy_sample('far', 'c.png', (5, 31)),
        noisy_sample('near', 'd.png', (1, 40)),
    ]
    result = evaluate_pixels(samples, protocol=protocol)
    for origin in ('far', 'near'):
        check(result, samples, ALL, protocol, origin=origin)
    assert len(result) == 2 * 3 * 4


def test_golden_numbers():
    """PROTOCOLS.md, section 2b, fixture F2: known to the field's codes."""
    scores = [.1, .2, .3, .4, .5, .6, .7, .8, .9, .95,
              .15, .35, .55, .65, .75, .85, .97, .98, .99, .92]  # fmt: skip
    truth = np.repeat([0, 1], 10).reshape(4, 5)
    one = pixel_sample(truth, diffusion=np.array(scores).reshape(4, 5))
    for protocol, expected in (('dood', 0.7), ('fishyscapes', 0.9)):
        row = evaluate_pixels([one], protocol=protocol)
        assert row['ood/far/diffusion/FPR95'] == expected
        assert row['ood/far/diffusion/AP'] == pytest.approx(0.7521516422)
        assert row['ood/far/diffusion/AUROC'] == pytest.approx(0.69)
        assert row['ood/far/diffusion/Fmax'] == pytest.approx(0.6956521739)


def test_false_positives_at_another_rate():
    samples = [noisy_sample('far', 'a.png', (40, 40))]
    result = evaluate_pixels(samples, protocol='openood', tpr=0.5)
    check(result, samples, ['energy'], 'openood', tpr=0.5)
    scores, is_ood = pixels(samples, 'energy')
    fprs, tprs, _ = roc_curve(is_ood, scores)
    expected = fprs[np.searchsorted(tprs, 0.5)]
    assert result['ood/far/energy/FPR95'] == pytest.approx(expected)


def test_nothing_is_wrong_with_many_pixels(monkeypatch):
    """Counted in blocks, in any order of the images."""
    samples = [noisy_sample('far', f'{i}.png') for i in range(9)]
    whole = evaluate_pixels(samples)
    monkeypatch.setattr(pixel_counts, '_BLOCK', 250)
    found = evaluate_pixels(samples[::-1])
    assert found == pytest.approx(whole, abs=1e-3)


def test_batches_of_several_images():
    samples = [noisy_sample('far', f'{i}.png') for i in range(5)]
    metric = pixel_metric()
    metric.process({}, samples[:3])
    metric.process({}, samples[3:])
    found = metric.evaluate(5)
    assert found == pytest.approx(evaluate_pixels(samples), abs=1e-3)


@pytest.mark.parametrize('mode', ['nearest', 'bilinear'])
def test_labels_larger_than_the_scores(mode):
    """The scores are resized, the label never."""
    truth = random_label((8, 12))
    small = np.random.randn(4, 6)
    one = pixel_sample(truth, diffusion=small)
    result = evaluate_pixels([one], upsample=mode)
    large = torch.nn.functional.interpolate(
        torch.from_numpy(small)[None, None], (8, 12), mode=mode
    )
    if mode == 'nearest':
        blocks = np.kron(small, np.ones((2, 2)))
        np.testing.assert_array_equal(large[0, 0], blocks)
    one['pred_ood']['diffusion'] = large[0].float()
    check(result, [one], ['diffusion'])


def test_label_of_another_aspect_ratio():
    one = pixel_sample(
        random_label((8, 12)), name='x/7.png', diffusion=np.ones((8, 8))
    )
    message = 'x/7.png: the label is 8 x 12, the diffusion map 8 x 8'
    with pytest.raises(ValueError, match=message):
        evaluate_pixels([one])


def test_sizes_that_rounding_made():
    """A 1333 x 750 label of a 667 x 375 map shows the same."""
    truth = random_label((13, 133))
    one = pixel_sample(truth, diffusion=np.random.randn(26, 265))
    result = evaluate_pixels([one])
    assert 0 < result['ood/far/diffusion/AUROC'] < 1


@pytest.mark.parametrize('score', ['energy', 'diffusion', 'compound'])
def test_nan_spoils_one_score_of_one_set(log, score):
    """Its rows are nan, whatever the fold, and the log names the image."""
    bad = noisy_sample('far', 'folder/bad.png', fold=1)
    good = [noisy_sample('far', f'{i}.png', fold=i % 3) for i in range(4)]
    good.append(noisy_sample('near', 'near.png'))
    bad['pred_ood'][score][0, 3, 4] = float('nan')
    bad['gt_sem_seg']['data'][0, 3, 4] = 0
    args = dict(resample=True, components=SMALL)
    found = evaluate_pixels([*good, bad], **args)
    spoilt = {key for key, value in found.items() if np.isnan(value)}
    near = {key for key in found if key.startswith('ood/near')}
    of_score = {key for key in found if key.startswith(f'ood/far/{score}/')}
    # One image in one fold has no resampling.
    expected = of_score | {key for key in near if key[-4:] in TAILS}
    assert spoilt == expected
    row = f'far/{score} is nan: folder/bad.png: the {score} map has 1 nan'
    assert row in log['warning']
    assert not any('no valid pixel' in line for line in log['warning'])


def test_nan_where_nothing_counts_does_not_matter():
    one = noisy_sample('far', 'a.png')
    expected = pytest.approx(evaluate_pixels([one]))
    truth = one['gt_sem_seg']['data'][0]
    y, x = (truth == 255).nonzero()[0]
    one['pred_ood']['diffusion'][0, y, x] = float('nan')
    assert evaluate_pixels([one]) == expected


def test_nan_leaves_no_threshold(log):
    one = noisy_sample('id', 'a.png')
    one['pred_ood']['data'][0, 0, 0] = float('nan')
    one['gt_sem_seg']['data'][0, 0, 0] = 0
    found = evaluate_pixels([one, noisy_sample('id', 'b.png')])
    assert np.isnan(found['ood/ood_threshold'])
    assert np.isnan(found['ood/ood_threshold/compound'])
    assert np.isfinite(found['ood/ood_threshold/energy'])
    reason = 'ood_threshold/compound is nan: a.png: the compound map has 1 nan'
    assert reason in log['warning']


@pytest.mark.parametrize(
    ('more', 'message'),
    [
        ({}, "image 'a.png' is there twice in the set 'far'"),
        (
            dict(img_path='b.png', source='y'),
            "'far' of y and the set 'far' of",
        ),
        (dict(origin='Far'), "the set 'Far' of x and the set 'far' of x"),
    ],
)
def test_populations_are_not_mixed(more, message):
    one = {**noisy_sample('far', 'a.png'), 'source': 'x'}
    with pytest.raises(ValueError, match=message):
        evaluate_pixels([one, {**one, **more}])


def test_a_sample_of_an_unknown_set():
    one = noisy_sample('far', 'a.png')
    del one['origin']
    with pytest.raises(ValueError, match="'a.png' does not say which set"):
        evaluate_pixels([one])


def test_infinite_scores_are_the_most_extreme():
    truth = np.array([[0, 0, 1, 1]])
    inf = float('inf')
    one = pixel_sample(truth, diffusion=[[-inf, 1.0, 0.5, inf]])
    assert evaluate_pixels([one])['ood/far/diffusion/AUROC'] == 0.75


def test_no_image():
    assert evaluate_pixels([]) == {}


def test_everything_is_ignored(log):
    one = noisy_sample('far', 'a.png')
    one['gt_sem_seg']['data'].fill_(255)
    result = evaluate_pixels([one], resample=True)
    assert len(result) == 3 * 12
    assert all(np.isnan(value) for value in result.values())
    warnings = {'far has no valid pixel: its measures are nan'}
    assert set(log['warning']) == warnings


@pytest.mark.parametrize(('value', 'side'), [(0, 'OOD'), (1, 'ID')])
def test_a_set_of_one_side(log, value, side):
    one = noisy_sample('far', 'a.png')
    one['gt_sem_seg']['data'].fill_(value)
    result = evaluate_pixels([one, noisy_sample('near', 'b.png')])
    assert np.isnan(result['ood/far/energy/AP'])
    assert 0 < result['ood/near/energy/AP'] < 1
    assert f'far has no {side} pixel: its measures are nan' in log['warning']
    assert not any(line.startswith('near') for line in log['warning'])


def test_an_image_without_ood_pixels_still_counts():
    samples = [noisy_sample('far', 'a.png'), noisy_sample('far', 'b.png')]
    samples[1]['gt_sem_seg']['data'].fill_(0)
    with_it = evaluate_pixels(samples)
    check(with_it, samples, ALL)
    assert with_it != evaluate_pixels(samples[:1])


def test_a_plain_segmentor_is_refused():
    one = noisy_sample('far', 'x/a.png')
    del one['pred_ood']
    message = "x/a.png: .* no OOD scores: set model.type='mmood.OODEncoderD"
    with pytest.raises(ValueError, match=message):
        evaluate_pixels([one])


@pytest.mark.parametrize('tpr', [0.95, 0.8, 1.0])
def test_threshold_is_the_quantile_of_the_id_pixels(tpr):
    """In ID images the label 1 is a class."""
    samples = [noisy_sample('id', f'{i}.png') for i in range(3)]
    values = []
    for one in samples:
        truth = one['gt_sem_seg']['data'][0].numpy()
        values.append(one['pred_ood']['data'][0].numpy()[truth != 255])
    values = np.sort(np.concatenate(values))
    expected = values[int(np.ceil(tpr * len(values) - 1e-9)) - 1]
    far = noisy_sample('far', 'far.png')
    result = evaluate_pixels([*samples, far], tpr=tpr)
    assert result['ood/ood_threshold'] == expected
    assert (values <= expected).mean() >= tpr
    assert {k.split('/')[1] for k in result} == {'far', 'ood_threshold'}
    alone = evaluate_pixels(samples, tpr=tpr)
    # That of each score by its name beside it.
    assert alone['ood/ood_threshold/compound'] == expected
    assert set(alone) == {k for k in result if 'ood_threshold' in k}
    assert len(alone) == 4


def test_id_images_without_valid_pixels():
    one = noisy_sample('id', 'a.png')
    one['gt_sem_seg']['data'].fill_(255)
    assert np.isnan(evaluate_pixels([one])['ood/ood_threshold'])


def test_an_inverted_score_is_named(log):
    truth = np.array([[0, 1]])
    map_ = np.array([[2.0, 1.0]])
    one = pixel_sample(truth, diffusion=map_)
    evaluate_pixels([one])
    (remark,) = (line for line in log['info'] if 'AUROC below' in line)
    assert 'below 50 of diffusion (0.0): unknown pixels score' in remark
