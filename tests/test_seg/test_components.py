"""ComponentStore by both protocols, against the functions of the metrics."""

import numpy as np
import pytest

from mmood.metrics import best_f1_threshold, bin_frame, component_metrics
from mmood.seg.evaluation.components import ComponentStore
from seg_helpers import evaluate_pixels, pixel_sample

SMALL = dict(min_prediction_size=4, min_object_size=2)
SHARES = ('sIoU', 'PPV', 'F1*', 'sIoU_pred', 'F1@25', 'F1@50', 'F1@75')
COUNTS = [f'{k}@{t}' for t in (25, 50, 75) for k in ('TP', 'FN', 'FP')]
NAMES = (*SHARES, *COUNTS)


def frame(seed, levels=None):
    """A noisy map over two objects; with ``levels`` it has so many values."""
    rng = np.random.default_rng(seed)
    label = np.zeros((20, 24), np.uint8)
    label[2:8, 2:8] = label[10:14, 12:22] = 1
    label[18:] = 255
    scores = rng.normal(0, 0.4, label.shape) + (label == 1)
    if levels:
        scores = (scores * levels).round() / levels
    return scores.astype(np.float32), label


def theirs(frames):
    """All measures by the evaluator's rule."""
    threshold = best_f1_threshold(
        bin_frame(s[label != 255], label[label != 255] == 1)
        for s, label in frames
    )
    return component_metrics(
        [scores > threshold for scores, _ in frames],
        [label for _, label in frames],
        protocol='smiyc',
        **SMALL,
    )


@pytest.mark.parametrize('levels', [None, 2])
def test_smiyc_finds_its_own_threshold(levels):
    frames = [frame(seed, levels) for seed in range(3)]
    store = ComponentStore(protocol='smiyc', **SMALL)
    for i, (scores, label) in enumerate(frames):
        store.add('far', f'{i}.png', scores, label)
    found = store.measure(dict(far=1e9))['far']  # ours does not matter
    assert found == pytest.approx({k: theirs(frames)[k] for k in NAMES})


def test_without_a_threshold_there_is_no_measure():
    for protocol in ('definition', 'smiyc'):
        store = ComponentStore(protocol=protocol, **SMALL)
        store.add('far', 'a.png', *frame(0))
        found = store.measure(dict(far=float('nan')))['far']
        assert list(found) == list(NAMES) and np.isnan([*found.values()]).all()
    with pytest.raises(ValueError, match="got 'coco'"):
        ComponentStore(protocol='coco')


def samples(levels):
    return [
        pixel_sample(label, 'far', f'{i}.png', diffusion=scores)
        for i, (scores, label) in enumerate(frame(s, levels) for s in range(3))
    ]


def test_the_metrics_protocol_is_that_of_the_components():
    ours, smiyc, mixed = (
        evaluate_pixels(samples(2), protocol=name, components=parts)
        for name, parts in (
            ('dood', SMALL),
            ('smiyc', SMALL),
            ('smiyc', dict(SMALL, protocol='definition')),
        )
    )
    expected = theirs([frame(seed, 2) for seed in range(3)])
    for name in NAMES:
        key = f'ood/far/diffusion/{name}'
        assert smiyc[key] == pytest.approx(expected[name])
        assert mixed[key] == pytest.approx(ours[key])
    assert smiyc['ood/far/diffusion/F1*'] != ours['ood/far/diffusion/F1*']


def test_infinite_scores_have_components_but_by_smiyc(log):
    one = samples(None)[0]
    one['pred_ood']['diffusion'][0, 3, 3] = float('inf')
    args = dict(components=SMALL)
    ours = evaluate_pixels([one], **args)
    smiyc = evaluate_pixels([one], protocol='smiyc', **args)
    for name in NAMES:
        value = ours[f'ood/far/diffusion/{name}']
        assert value >= 0 if name in COUNTS else 0 < value <= 1
        assert np.isnan(smiyc[f'ood/far/diffusion/{name}'])
    area = smiyc['ood/far/diffusion/AP']
    assert area == pytest.approx(ours['ood/far/diffusion/AP'])
    assert any('scores has 1 infinite' in line for line in log['warning'])
