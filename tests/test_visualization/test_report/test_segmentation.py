"""The numbers of pixels on the page against the pixels."""

import base64
import json

import cv2
import numpy as np
import pytest
from sklearn.metrics import roc_curve

from report_helpers import write_picture
from seg_helpers import evaluate_pixels, noisy_sample


def picture(uri):
    code = np.frombuffer(base64.b64decode(uri.split(',')[1]), np.uint8)
    return cv2.imdecode(code, cv2.IMREAD_COLOR)


@pytest.fixture
def tested(pixel_test, read):
    """A test of two sets: its samples, and what the page reads."""
    folder, samples = pixel_test()
    content, _ = read(folder)
    return samples, content, folder


def pixels(samples, score, origin):
    values, labels, classes = [], [], []
    for one in samples:
        if one['origin'] == origin:
            label = one['gt_sem_seg']['data'][0].numpy()
            valid = label != 255
            values.append(one['pred_ood'][score][0].numpy()[valid])
            labels.append(label[valid])
            classes.append(one['pred_sem_seg']['data'][0].numpy()[valid])
    return map(np.concatenate, (values, labels, classes))


@pytest.mark.parametrize('score', ['compound', 'diffusion', 'energy'])
@pytest.mark.parametrize('origin', ['far', 'near'])
def test_counts_are_those_of_the_pixels(tested, score, origin):
    samples, content, _ = tested
    (run,) = content['runs']
    assert run['task'] == 'segmentation' and run['sets'] == ['far', 'near']
    values, labels, classes = pixels(samples, score, origin)
    grid = np.array(run['counted'][score]['thresholds'])
    found = run['counted'][score]['sets'][origin]
    for side, label in (('id', 0), ('ood', 1)):
        expected = [(values[labels == label] > t).sum() for t in grid]
        assert found[side] == expected
    fpr, tpr, thresholds = roc_curve(labels, values, drop_intermediate=False)
    point = (thresholds > grid[30]).sum() - 1
    assert found['id'][30] / found['num_id'] == pytest.approx(fpr[point])
    assert found['ood'][30] / found['num_ood'] == pytest.approx(tpr[point])
    names = [row['name'] for row in found['classes']]
    assert names == ['cat', 'dog', 'horse', 'class 3']
    for number, row in enumerate(found['classes']):
        own = values[(classes == number) & (labels == 0)]
        left = row['num_id'] - np.cumsum(row['id'])
        assert left.tolist() == [(own > t).sum() for t in grid]


def test_it_starts_where_the_known_pixels_of_all_sets_are_kept(tested):
    samples, content, _ = tested
    known = []
    for origin in ('far', 'near'):
        values, labels, _ = pixels(samples, 'energy', origin)
        known.append(values[labels == 0])
    counted = content['runs'][0]['counted']['energy']
    start = counted['thresholds'][counted['start']]
    known = np.sort(np.concatenate(known))
    assert start == known[int(np.ceil(0.95 * len(known))) - 1]


def test_pictures_know_which_pixels_are_above(tested):
    samples, content, _ = tested
    (run,) = content['runs']
    grid = np.array(run['counted']['energy']['thresholds'])
    cases = [c for c in run['cases'] if c['score'] == 'energy']
    assert {c['kind'] for c in cases} == {'miss', 'find', 'alarm'}
    for case in cases[:4]:
        path = run['scenes'][case['scene']]['path']
        (one,) = [s for s in samples if s['img_path'] == path]
        values = one['pred_ood']['energy'][0].numpy()
        drawn = picture(content['levels'][case['levels']])
        label = one['gt_sem_seg']['data'][0].numpy()
        assert (drawn[..., 1] == label).all()
        for place in (0, 40, len(grid) - 1):
            above = drawn[..., 2].astype(int) > place
            assert (above == (values > grid[place])).all()
    # Of six images, in three kinds; compound, the cube of diffusion, has the
    # same pixels above its thresholds.
    assert len(content['levels']) == 2 * 6
    shown = content['pictures'][0]
    assert (shown['width'], shown['height']) == (64, 48)
    assert picture(shown['uri']).shape == (48, 64, 3)


def test_a_score_with_nan_is_left_out(tmp_path, read):
    path = write_picture(tmp_path / 'a.png')
    one = noisy_sample('far', path, (6, 6))
    for key in ('compound', 'data'):
        one['pred_ood'][key] = one['pred_ood'][key] * float('nan')
    evaluate_pixels([one], out_dir=str(tmp_path / 'ood'))
    (run,) = read(tmp_path)[0]['runs']
    assert sorted(run['scores']) == ['diffusion', 'energy']
    details = json.loads((tmp_path / 'ood/details.json').read_text())
    assert sorted(details['scores']) == ['compound', 'diffusion', 'energy']
