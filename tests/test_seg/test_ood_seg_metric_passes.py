"""OODSegMetric: passes, folds, components and files."""

import json
import math

import numpy as np
import pytest
from sklearn.metrics import precision_recall_curve

from mmood.metrics import component_metrics
from mmood.seg.evaluation import ood_seg_metric
from seg_helpers import (
    evaluate_pixels,
    noisy_sample,
    pixel_metric,
    pixel_sample,
    random_label,
)

COLUMNS = ('AP', 'AUROC', 'FPR95', 'Fmax')
SMALL = dict(min_prediction_size=4, min_object_size=2)
COMPONENTS = (
    *('sIoU', 'PPV', 'F1*', 'sIoU_pred'),
    *(f'{k}@{t}' for t in (25, 50, 75) for k in ('F1', 'TP', 'FN', 'FP')),
)


def test_a_second_pass_starts_fresh():
    metric = pixel_metric(resample=True)
    first = [
        noisy_sample('far', 'a.png', fold=1),
        noisy_sample('far', 'b.png', fold=2),
    ]
    second = [
        noisy_sample('near', 'c.png', fold=1),
        noisy_sample('near', 'd.png', fold=4),
    ]
    evaluate_pixels(first, metric=metric)
    again = evaluate_pixels(second, metric=metric)
    assert again == evaluate_pixels(second, resample=True)
    assert not any('far' in name for name in again)


def test_components_of_a_score_that_is_not_there():
    metric = pixel_metric(components=dict(score='nothing'))
    with pytest.raises(ValueError, match="'nothing'; there are"):
        evaluate_pixels([noisy_sample('far', 'a.png')], metric=metric)


def test_the_surplus_image_of_a_padded_sampler_is_not_counted(monkeypatch):
    """Three images, two processes: the second one's last is a repetition."""
    samples = [noisy_sample('far', f'{i}.png') for i in range(3)]
    alone = evaluate_pixels(samples[1:2])
    assert evaluate_pixels([samples[1], samples[0]], size=1) == alone
    monkeypatch.setattr(ood_seg_metric, 'get_world_size', lambda: 2)
    monkeypatch.setattr(ood_seg_metric, 'get_rank', lambda: 1)
    assert evaluate_pixels([samples[1], samples[0]], size=3) == alone
    monkeypatch.setattr(ood_seg_metric, 'get_rank', lambda: 0)
    both = evaluate_pixels([samples[0], samples[2]], size=3)
    monkeypatch.undo()
    assert both == evaluate_pixels([samples[0], samples[2]])


@pytest.mark.parametrize(
    ('kwargs', 'message'),
    [
        (dict(protocol='coco'), "protocol 'coco'"),
        (dict(save_maps=True), 'save_maps needs out_dir'),
    ],
)
def test_bad_arguments(kwargs, message):
    with pytest.raises(ValueError, match=message):
        pixel_metric(**kwargs)


def test_resampling_leaves_one_fold_out_at_a_time():
    """Folds 0, 1, 2 and 5 of images; also where the folds are uneven."""
    folds = [0, 1, 2, 5, 1, 0]
    samples = [
        noisy_sample('far', f'{i}.png', fold=fold)
        for i, fold in enumerate(folds)
    ]
    result = evaluate_pixels(samples, resample=True)
    parts = [
        evaluate_pixels([one for one in samples if one['fold'] != fold])
        for fold in (0, 1, 2, 5)
    ]
    whole = evaluate_pixels(samples)
    for score in ('energy', 'diffusion', 'compound'):
        for column in COLUMNS:
            name = f'ood/far/{score}/{column}'
            values = [part[name] for part in parts]
            assert result[name] == whole[name]
            assert result[f'{name}_mean'] == pytest.approx(np.mean(values))
            assert result[f'{name}_std'] == pytest.approx(np.std(values))
    assert result['ood/far/energy/AP_std'] > 0


def test_resampling_without_folds_is_nan():
    samples = [noisy_sample('far', f'{i}.png') for i in range(3)]
    result = evaluate_pixels(samples, resample=True)
    assert np.isnan(result['ood/far/compound/AP_mean'])
    assert 0 < result['ood/far/compound/AP'] < 1


def blobs(origin, name, shift=0):
    """Two objects, one well covered, and a false region."""
    truth = np.zeros((20, 24), int)
    truth[2:8, 2:8] = 1
    truth[10:14, 12:22] = 1
    truth[18:] = 255
    scores = np.random.randn(20, 24) / 9
    scores[3:9, 2 + shift : 8 + shift] += 3
    scores[10:12, 12:22] += 2
    scores[2:6, 18:22] += 2.5
    return pixel_sample(truth, origin, name, other=-scores, diffusion=scores)


def best_threshold(samples, score):
    """Of the largest F1, the strictest, on all valid pixels."""
    scores, is_ood = [], []
    for one in samples:
        truth = one['gt_sem_seg']['data'][0].numpy()
        scores.append(one['pred_ood'][score][0].numpy()[truth != 255])
        is_ood.append(truth[truth != 255] == 1)
    precision, recall, thresholds = precision_recall_curve(
        np.concatenate(is_ood), np.concatenate(scores)
    )
    with np.errstate(invalid='ignore'):
        f1 = 2 * precision * recall / (precision + recall)
    best = np.nanmax(f1[:-1])
    return thresholds[np.flatnonzero(f1[:-1] >= best - 1e-12)[-1]]


@pytest.mark.parametrize('score', ['diffusion', 'other'])
def test_components_at_the_best_pixel_threshold(score):
    samples = [blobs('far', 'a.png'), blobs('far', 'b.png', 2)]
    truth, scores = random_label((30, 30)), np.random.randn(30, 30)
    more = [
        pixel_sample(truth, 'near', 'c.png', other=-scores, diffusion=scores)
    ]
    args = dict(SMALL, score=score)
    result = evaluate_pixels(samples + more, components=args)
    for origin, images in (('far', samples), ('near', more)):
        threshold = best_threshold(images, score)
        expected = component_metrics(
            [one['pred_ood'][score][0].numpy() >= threshold for one in images],
            [one['gt_sem_seg']['data'][0].numpy() for one in images],
            **SMALL,
        )
        for name in COMPONENTS:
            found = result[f'ood/{origin}/{score}/{name}']
            assert found == pytest.approx(expected[name], nan_ok=True)


@pytest.mark.parametrize('order', [['id', 'far'], ['far', 'id']])
def test_components_of_the_first_score_wherever_the_id_images_stand(order):
    sets = dict(id=blobs('id', 'i.png'), far=blobs('far', 'f.png'))
    found = evaluate_pixels(
        [sets[origin] for origin in order], components=SMALL
    )
    args = dict(SMALL, score='other')
    expected = evaluate_pixels([sets['far']], components=args)
    for name in COMPONENTS:
        key = f'ood/far/other/{name}'
        assert found[key] == expected[key]


def test_components_of_a_set_without_ood_pixels():
    one = blobs('far', 'a.png')
    one['gt_sem_seg']['data'].fill_(0)
    result = evaluate_pixels([one, blobs('near', 'b.png')], components=SMALL)
    assert np.isnan(result['ood/far/other/sIoU'])
    assert 0 <= result['ood/near/other/sIoU'] <= 1


def test_images_of_one_name_in_two_folders(tmp_path):
    """Each keeps its own map until the threshold is known."""
    first, second = blobs('far', 'city/0.png'), blobs('far', 'town/0.png', 4)
    args = dict(components=dict(SMALL, score='diffusion'))
    result = evaluate_pixels([first, second], **args)
    args.update(save_maps=True, out_dir=str(tmp_path))
    with pytest.raises(ValueError, match='town/0.png: the map of another'):
        evaluate_pixels([first, second], **args)
    second['img_path'] = 'town/1.png'
    again = evaluate_pixels([first, second], **args)
    assert result == pytest.approx(again, abs=1e-3, nan_ok=True)


def test_the_order_of_the_scores_is_the_models(log):
    """A PixelData has none: it may change from process to process."""
    one = blobs('far', 'a.png')  # its first map is ``other``
    maps = one['pred_ood']
    tables = []
    for order in (sorted(maps), sorted(maps)[::-1]):
        one['pred_ood'] = {key: maps[key] for key in order}
        result = evaluate_pixels([one], components=SMALL)
        tables.append(log['info'].copy())
        log['info'].clear()
        assert 'ood/far/other/sIoU' in result
    assert tables[0] == tables[1]
    assert tables[0][0].index('other') < tables[0][0].index('diffusion')


def test_the_table_is_in_percent_and_in_order(log):
    samples = [
        pixel_sample([[0, 0, 1, 1]], 'near', diffusion=[[0, 2, 1, 3]]),
        pixel_sample([[0, 0, 1, 1]], 'id', diffusion=[[0, 1, 2, 3]]),
        pixel_sample([[0, 0, 1, 1]], 'far', diffusion=[[0, 1, 2, 3]]),
    ]
    evaluate_pixels(samples, components=dict(min_object_size=1))
    first, *table = log['info'][0].split('\n')
    assert first == 'protocol dood, in %'
    cells = [[c.strip() for c in row.split('|')[1:-1]] for row in table]
    assert cells[0] == ['OOD set', 'score', *COLUMNS]
    assert cells[2] == [
        'near',
        'diffusion',
        '83.33',
        '75.00',
        '50.00',
        '80.00',
    ]
    assert cells[3] == [
        'far',
        'diffusion',
        '100.00',
        '100.00',
        '0.00',
        '100.00',
    ]
    assert len(cells) == 4
    note, header, _, *rows = log['info'][1].split('\n')
    cells = [[c.strip() for c in row.split('|')[1:-1]] for row in rows]
    assert note == 'protocol dood, shares in %, numbers of components'
    assert [c.strip() for c in header.split('|')[4:10]] == [
        *('PPV', 'F1*', 'sIoU_pred', 'F1@25', 'F1@50', 'F1@75')
    ]
    # No prediction has 500 pixels: both objects are missed.
    share = ['0.00', 'nan', '0.00', 'nan', '0.00', '0.00', '0.00']
    for origin, row in zip(('near', 'far'), cells):
        assert row == [origin, 'diffusion', *share, *['0 / 1 / 0'] * 3]


def test_files(tmp_path):
    samples = [
        noisy_sample('far', 'a.png'),
        noisy_sample('near', 'b.png'),
        noisy_sample('id', 'c.png'),
    ]
    samples[1]['gt_sem_seg']['data'].fill_(0)  # nothing to draw
    out = tmp_path / 'new' / 'out'
    result = evaluate_pixels(samples, out_dir=str(out))
    assert sorted(path.name for path in out.iterdir()) == [
        'cases.npz',
        'curves_far.png',
        'details.json',
        'metrics.json',
        'pixels.npz',
    ]
    stored = json.loads((out / 'metrics.json').read_text())
    assert {f'ood/{name}' for name in stored} == set(result)
    for name, value in stored.items():
        expected = result[f'ood/{name}']
        assert value == (None if math.isnan(expected) else expected)


@pytest.mark.parametrize(
    ('components', 'score'),
    [(None, 'compound'), (dict(score='energy'), 'energy')],
)
def test_maps_are_kept_in_the_labels_size(tmp_path, components, score):
    one = noisy_sample('far', 'x/a.png', (6, 8))
    for name in one['pred_ood']['score_names']:
        one['pred_ood'][name].resize_(1, 3, 4)
    other = noisy_sample('id', 'y/a.jpg')
    evaluate_pixels(
        [one, other],
        out_dir=str(tmp_path),
        save_maps=True,
        components=components,
    )
    found = {
        str(path.relative_to(tmp_path / 'maps')): np.load(path)
        for path in tmp_path.glob('maps/*/*')
    }
    assert sorted(found) == ['far/a.npy', 'id/a.npy']
    assert all(m.dtype == np.float32 for m in found.values())
    small = one['pred_ood'][score][0].numpy()
    expected = np.kron(small, np.ones((2, 2)))
    whole = other['pred_ood'][score][0].numpy()
    np.testing.assert_allclose(found['far/a.npy'], expected, atol=1e-5)
    np.testing.assert_allclose(found['id/a.npy'], whole, atol=1e-5)


def test_without_save_maps_none_is_left(tmp_path, monkeypatch):
    monkeypatch.setattr('tempfile.tempdir', str(tmp_path / 'tmp'))
    (tmp_path / 'tmp').mkdir()
    out = str(tmp_path / 'out')
    evaluate_pixels([blobs('far', 'a.png')], components=SMALL, out_dir=out)
    assert not list(tmp_path.rglob('*.npy'))
