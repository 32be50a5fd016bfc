"""What a test of pixels leaves, against the pixels themselves."""

import json

import numpy as np
import pytest
import torch

from mmood.metrics import ScoreHistogram
from mmood.seg.evaluation import cases
from mmood.seg.evaluation.cases import CaseKeeper
from mmood.seg.evaluation.details import thinned
from seg_helpers import evaluate_pixels, noisy_sample, pixel_sample


def test_thinned_edges_are_exact_and_near_every_quantile():
    rng = np.random.default_rng(0)
    scores = rng.normal(size=40_000).astype(np.float32)
    is_ood = rng.random(40_000) < 0.05
    histogram = ScoreHistogram()
    histogram.add(scores, is_ood)
    edges, known, unknown = thinned(histogram, tpr=0.9501)
    assert 2000 < len(edges) <= 4003
    places = np.arange(0, len(edges), 97)
    for side, counts in ((~is_ood, known), (is_ood, unknown)):
        own, below = scores[side], counts.cumsum()
        assert below[-1] == side.sum()
        assert [below[i] for i in places] == [
            (own <= edges[i]).sum() for i in places
        ]
    assert known.max() <= np.ceil((~is_ood).sum() / 2000)
    assert histogram.quantile(0.9501) in edges


def test_thinned_of_few_and_of_none():
    histogram = ScoreHistogram()
    assert [part.size for part in thinned(histogram)] == [0, 0, 0]
    histogram.add([1.0, 2.0, 2.0], [False, False, False])
    edges, known, unknown = thinned(histogram)
    assert edges.tolist() == [1, 2]
    assert (known.tolist(), unknown.tolist()) == ([1, 2], [0, 0])


@pytest.fixture
def samples():
    np.random.seed(0)
    found = [noisy_sample('far', f'{i}.png', (20, 16)) for i in range(5)]
    for one in found:
        classes = torch.randint(3, (1, 20, 16))
        one['pred_sem_seg'] = dict(data=classes)
    return found


def pixels(sample, score):
    """Values, labels and classes of the pixels that count."""
    label = sample['gt_sem_seg']['data'][0].numpy()
    valid = label != 255
    values = sample['pred_ood'][score][0].numpy()
    classes = sample['pred_sem_seg']['data'][0].numpy()
    return values[valid], label[valid], classes[valid]


def test_counts_by_class_are_those_of_the_pixels(samples, tmp_path):
    evaluate_pixels(samples, out_dir=str(tmp_path))
    parts = [pixels(one, 'diffusion') for one in samples]
    values, labels, classes = map(np.concatenate, zip(*parts))
    with np.load(tmp_path / 'pixels.npz') as file:
        for number in range(3):
            start = f'far/diffusion/{number}'
            edges = file[f'{start}/edges']
            for name, wanted in (('id', 0), ('ood', 1)):
                chosen = (classes == number) & (labels == wanted)
                expected = [(values[chosen] <= e).sum() for e in edges]
                assert file[f'{start}/{name}'].cumsum().tolist() == expected


def test_cases_are_the_extremes(samples, tmp_path):
    evaluate_pixels(samples, out_dir=str(tmp_path))
    content = json.loads((tmp_path / 'details.json').read_text())
    assert content['task'] == 'segmentation' and content['sets'] == ['far']
    found = {}
    for number, case in enumerate(content['cases']):
        key = case['score'], case['kind']
        found.setdefault(key, []).append((number, case))
    medians, highs = {}, {}
    for one in samples:
        values, labels, _ = pixels(one, 'energy')
        name = one['img_path']
        medians[name] = np.sort(values[labels == 1])
        medians[name] = medians[name][len(medians[name]) // 2]
        highs[name] = np.quantile(values[labels == 0], 0.99, method='higher')
    order = [case['image'] for _, case in found['energy', 'miss']]
    assert [medians[n] for n in order] == sorted(medians.values())
    values = [case['value'] for _, case in found['energy', 'alarm']]
    assert values == pytest.approx(sorted(highs.values(), reverse=True))
    number, case = found['energy', 'miss'][0]
    (one,) = [s for s in samples if s['img_path'] == case['image']]
    values, labels, classes = pixels(one, 'energy')
    assert case['number'] == np.bincount(classes[labels == 1]).argmax()
    with np.load(tmp_path / 'cases.npz') as file:
        kept = file[f'{number}/map']
        label = file[f'{number}/label']
    assert (label == one['gt_sem_seg']['data'][0].numpy()).all()
    assert (kept == one['pred_ood']['energy'][0].numpy()).all()


def test_known_images_have_alarms_alone(tmp_path):
    """There 1 is a class."""
    one = pixel_sample(np.eye(6, dtype=int), 'id', energy=np.eye(6))
    far = pixel_sample(np.zeros((4, 4), int), name='b.png', energy=np.eye(4))
    evaluate_pixels([one, far], out_dir=str(tmp_path))
    content = json.loads((tmp_path / 'details.json').read_text())
    kinds = [(case['set'], case['kind']) for case in content['cases']]
    assert kinds == [('id', 'alarm'), ('far', 'alarm')]
    assert content['cases'][0]['number'] is None


def test_a_map_with_nan_is_no_case(tmp_path):
    bad = np.full((4, 4), np.nan)
    label = np.eye(4, dtype=int)
    one = pixel_sample(label, energy=bad, other=np.eye(4))
    evaluate_pixels([one], out_dir=str(tmp_path))
    content = json.loads((tmp_path / 'details.json').read_text())
    assert {case['score'] for case in content['cases']} == {'other'}


def test_the_best_of_all_ranks_stay(monkeypatch):
    keepers = []
    for rank in range(2):
        keeper = CaseKeeper(limit=3)
        for value in range(5):
            values = np.full((2, 2), 2.0 * value + rank)
            record = dict(
                maps=dict(a=values),
                name=f'{value}_{rank}',
                label=np.ones((2, 2), int),
            )
            yes, no = np.ones((2, 2), bool), np.zeros((2, 2), bool)
            keeper.add(('far', 'a'), record, yes, no, None)
        keepers.append(keeper)
    monkeypatch.setattr(
        cases, 'all_gather_object', lambda own: [k._cases for k in keepers]
    )
    found = keepers[0].gather()
    values = {
        kind: [case['value'] for case in found if case['kind'] == kind]
        for kind in ('miss', 'find')
    }
    assert values == dict(miss=[0, 1, 2], find=[9, 8, 7])


def test_large_maps_are_kept_small():
    keeper = CaseKeeper()
    label = np.zeros((300, 600), int)
    record = dict(
        maps=dict(a=np.arange(180_000.0).reshape(300, 600)),
        name='a.png',
        label=label,
    )
    keeper.add(('far', 'a'), record, label == 1, label == 0, None)
    (case,) = keeper.gather()
    assert case['map'].shape == case['label'].shape == (100, 200)
    assert case['map'][1, 1] == 3 * 600 + 3
