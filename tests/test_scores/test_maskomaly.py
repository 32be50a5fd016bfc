"""Maskomaly against numbers worked out by hand, and its fit of queries.

Shapes: B images, N queries, K = 2 classes, H x W pixels.
"""

import sys

import numpy as np
import pytest
import torch

from helpers import assert_near, run_script
from mmood.scores import (
    Maskomaly,
    MaskQueries,
    NotFittedError,
    Samples,
    ScoreSet,
)

OUTLIER = 254


def seen(p, masks):
    """Samples of probabilities (B, N, K + 1) and masks (B, N, H, W)."""
    p, masks = (torch.as_tensor(x, dtype=torch.float64) for x in (p, masks))
    own = MaskQueries(
        p.log().float(),
        (masks / (1 - masks)).log().float(),
        tuple(masks.shape[-2:]),
    )
    return Samples(kind='mask', queries=own)


def ready(kept, count, **options):
    """As if these queries of so many were fitted."""
    score = Maskomaly(**options)
    score.kept = torch.tensor(kept)
    score.mean_iou = torch.zeros(count, dtype=torch.float64)
    score.fitted_for.copy_(score._settings())
    score.is_fitted.fill_(True)
    return score


def noise(images, count=6, size=(5, 7), seed=0):
    generator = torch.Generator().manual_seed(seed)
    p = torch.randn(images, count, 3, generator=generator).mul(2).softmax(-1)
    shape = (images, count, *size)
    return seen(p, torch.rand(shape, generator=generator) * 0.98 + 0.01)


def labelled(images, size=(5, 7), seed=1):
    """Two classes, outliers in most of the images, pixels without label."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(2, (images, *size), generator=generator)
    labels[::2, 1:4, 2:5] = OUTLIER
    labels[1::4, 2, 2] = OUTLIER
    labels[:, :, 0] = -1
    return labels


def fitted(samples, labels, step=1, **options):
    score = Maskomaly(**options)
    score.reset()
    for i in range(0, len(samples), step):
        score.update(samples[i : i + step], labels[i : i + step])
    score.finish()
    return score


def test_by_hand():
    """Three queries and four pixels.

    The first is surely class 0 (0.8), the second no object (0.6), the third
    class 1 with a doubt (0.5). A = 1 - 0.8 m_1, and 0 where the first and
    the third overlap; B, of the second and the third, max(0.6 m_2, 0.5 m_3).
    """
    p = [[[0.8, 0.1, 0.1], [0.3, 0.1, 0.6], [0.2, 0.5, 0.3]]]
    masks = [[[[0.9, 0.5, 0.05, 0.2]],
              [[0.1, 0.4, 0.9, 0.1]],
              [[0.2, 0.05, 0.1, 0.08]]]]  # fmt: skip
    a = [0, 1 - 0.8 * 0.5, 1 - 0.8 * 0.05, 1 - 0.8 * 0.2]
    b = [0.5 * 0.2, 0.6 * 0.4, 0.6 * 0.9, 0.6 * 0.1]
    for weight in (0, 0.3, 0.6, 1):
        score = ready([1, 2], 3, weight=weight)
        expected = [weight * x + (1 - weight) * y for x, y in zip(a, b)]
        assert_near(score(seen(p, masks)), torch.tensor([[expected]]))
    # The first alone is as sure as that: nothing is, and A is 1.
    score = ready([0], 3, weight=1, confidence=0.85, overlap=0.25)
    assert_near(score(seen(p, masks)), torch.ones(1, 1, 4))


def test_one_query():
    p, masks = [[[0.1, 0.9]]], [[[[0.25, 0.75]]]]
    found = ready([0], 1)(seen(p, masks))
    assert_near(found, torch.tensor([[[0.69, 0.87]]]))
    p = [[[0.9, 0.1]]]
    a, b = (1 - 0.225, 1 - 0.675), (0.225, 0.675)
    expected = [0.6 * x + 0.4 * y for x, y in zip(a, b)]
    assert_near(ready([0], 1)(seen(p, masks)), torch.tensor([[expected]]))


def test_no_image_and_empty_masks():
    score = ready([0], 6)
    assert score(noise(2)[:0]).shape == (0, 5, 7)
    samples = noise(2)
    samples.queries.mask_logits.fill_(-200)
    assert_near(score(samples), torch.full((2, 5, 7), 0.6))


@pytest.mark.parametrize('pixels', [1, 80, 10**6])
def test_loops_over_queries_and_pixels(monkeypatch, pixels):
    """Whatever masks are looked at at once; each image has its own."""
    chunk = sys.modules['mmood.scores.queries']._CHUNK
    monkeypatch.setitem(chunk, 'cpu', pixels)
    samples, kept = noise(3), [1, 4, 5]
    own = samples.queries
    p = own.class_logits.double().softmax(-1).numpy()
    masks = own.mask_logits.double().sigmoid().numpy()
    found = ready(kept, 6, confidence=0.5, overlap=0.4)(samples)
    sure = 0
    for image, y, x in np.ndindex(3, 5, 7):
        m = masks[image, :, y, x]
        known = [n for n in range(6) if p[image, n].argmax() < 2]
        claims = [m[n] * p[image, n].max() for n in known
                  if p[image, n].max() > 0.5]  # fmt: skip
        a = 1 - max(claims, default=0)
        if sum(m[n] > 0.4 for n in known) > 1:
            a = 0
        b = max(m[n] * p[image, n].max() for n in kept)
        sure += a not in (0, 1)
        value = 0.6 * a + 0.4 * b
        assert float(found[image, y, x]) == pytest.approx(value, rel=1e-4)
    assert sure > 5


def test_the_fit_by_hand():
    """IoUs of two images with outliers; the third one has none.

    Above 0.9 the first query has two of three outlying pixels in the first
    image, and one pixel more: 2 / 4; in the second 1 / 1. The second one
    has no pixel there and 0 / 3, then one of two, 1 / 2, as the other lies
    where nothing is known. The third misses all.
    """
    on, off = 0.95, 0.85
    labels = torch.tensor(
        [[[254, 254, 254, 0, 1]], [[0, 254, 1, 0, -1]], [[0, 1, 0, 1, 1]]]
    )
    masks = [
        [[[on, on, off, on, off]], [[off] * 5], [[off, off, off, on, on]]],
        [[[off, on, off, off, on]], [[on, on, off, off, off]], [[off] * 5]],
        [[[on] * 5], [[on] * 5], [[on] * 5]],
    ]
    samples = seen(np.full((3, 3, 3), 1 / 3), masks)
    score = fitted(samples, labels)
    expected = torch.tensor([(0.5 + 1) / 2, 0.25, 0], dtype=torch.float64)
    assert_near(score.mean_iou, expected, 1e-9, 1e-9)
    assert score.kept.tolist() == [0, 1] and score.is_fitted
    assert fitted(samples, labels, min_iou=0.26).kept.tolist() == [0]
    assert fitted(samples, labels, min_iou=0).kept.tolist() == [0, 1, 2]
    # Above 0.8 all is in the masks; above 0.99 nothing.
    assert fitted(samples, labels, mask_threshold=0.8).mean_iou.max() < 0.5
    with pytest.raises(ValueError, match='no query of 3'):
        fitted(samples, labels, mask_threshold=0.99)
    other = labels.where(labels != 254, torch.tensor(7))
    score = fitted(samples, other, outlier_label=7)
    assert_near(score.mean_iou, expected, 1e-9, 1e-9)


@pytest.mark.parametrize('step', [1, 2, 8])
def test_the_fit_against_a_loop(step):
    """In any batches, in either order, to the bit."""
    samples, labels = noise(8), labelled(8)
    score = fitted(samples, labels, step, mask_threshold=0.4, min_iou=0.2)
    masks = samples.queries.mask_logits.double().sigmoid().numpy() > 0.4
    values = []
    for image, label in zip(masks, labels.numpy()):
        if not (label == OUTLIER).any():
            continue
        image = image & (label >= 0)
        both = (image & (label == OUTLIER)).sum((1, 2))
        values.append(both / (image | (label == OUTLIER)).sum((1, 2)))
    assert len(values) == 6
    mean = np.mean(values, 0)
    assert_near(score.mean_iou, torch.from_numpy(mean), 1e-9, 1e-9)
    assert score.kept.tolist() == np.flatnonzero(mean >= 0.2).tolist()
    assert 0 < len(score.kept) < 6
    backwards = torch.arange(7, -1, -1)
    other = fitted(
        samples[backwards], labels[backwards], 3, mask_threshold=0.4,
        min_iou=0.2,
    )  # fmt: skip
    assert torch.equal(other.mean_iou, score.mean_iou)


def test_no_outlier_in_any_image():
    samples, labels = noise(3), labelled(3).clamp(max=1)
    message = r'none of 3 images .* label 254: .* ood.outlier_fit'
    with pytest.raises(ValueError, match=message):
        fitted(samples, labels)
    with pytest.raises(ValueError, match='none of 0 images'):
        fitted(samples[:0], labels[:0])


def test_no_query_finds_the_outliers():
    samples, labels = noise(4), labelled(4)
    score = Maskomaly(min_iou=0.9)
    score.reset()
    score.update(samples, labels)
    message = r'no query of 6 .* is 0\.\d+, of query \d, and min_iou is 0.9\.'
    with pytest.raises(ValueError, match=message + ' Lower it, paste larger'):
        score.finish()
    assert not score.is_fitted and not len(score.kept)
    with pytest.raises(NotFittedError, match='run tools/fit_scores.py'):
        score(samples)


def test_masks_that_are_no_numbers():
    samples = noise(2)
    samples.queries.mask_logits[1, 0, 0, 0] = float('nan')
    score = Maskomaly()
    score.reset()
    with pytest.raises(ValueError, match='1 samples with nan .* queries'):
        score.update(samples, labelled(2))


@pytest.mark.parametrize('name', ['mask_threshold', 'min_iou'])
def test_settings_of_another_fit(name):
    """Those that no kept query depends on may change."""
    score = fitted(noise(8), labelled(8), mask_threshold=0.4, min_iou=0.1)
    score.weight, score.confidence, score.overlap = 0.5, 0.2, 0.3
    score(noise(2))
    setattr(score, name, 0.3)
    message = 'fitted for mask_threshold=0.4 and min_iou=0.1, and they are'
    with pytest.raises(ValueError, match=message):
        score(noise(2))


def test_another_number_of_queries():
    score = fitted(noise(8), labelled(8), mask_threshold=0.4, min_iou=0.1)
    with pytest.raises(ValueError, match='on 6 queries, and there are 5: run'):
        score(noise(2, count=5))


@pytest.mark.parametrize(
    'name', ['weight', 'confidence', 'overlap', 'mask_threshold', 'min_iou']
)
def test_settings_out_of_range(name):
    for value in (-0.1, 1.5, float('nan')):
        with pytest.raises(ValueError, match=rf'{name} must be in \[0, 1\]'):
            Maskomaly(**{name: value})


def test_a_checkpoint_restores_it():
    """In a new list; without the buffers it is unfitted."""
    options = dict(mask_threshold=0.4, min_iou=0.2)
    samples = noise(8)
    score = fitted(samples, labelled(8), **options)
    config = dict(type='maskomaly', **options)
    scores = ScoreSet([config, 'rba'], num_classes=2, kind='mask')
    state = {f'maskomaly.{k}': v for k, v in score.state_dict().items()}
    scores.load_state_dict(state, strict=False)
    found = scores(samples, ['maskomaly'])['maskomaly']
    assert_near(found, score(samples))
    assert torch.equal(scores.fitted['maskomaly'].kept, score.kept)
    del state['maskomaly.kept']
    scores.load_state_dict(state, strict=False)
    assert not scores.fitted['maskomaly'].is_fitted
    scores.skips_unfitted = True
    samples.logits = torch.rand(8, 2, 5, 7)
    assert list(scores(samples)) == ['rba']


def test_it_has_a_pass_of_its_own():
    configs = [
        dict(type='compound', of=['maskomaly', 'rba']),
        'rba',
        'maskomaly',
    ]
    scores = ScoreSet(configs, num_classes=2, kind='mask')
    assert scores.stages() == [['maskomaly'], ['compound']]
    assert scores.fitted_on == ''
    scores.start(['maskomaly'])
    assert scores.fitted_on == 'outliers'
    scores.start(['compound'])
    assert scores.fitted_on == 'training'


OPTIONS = dict(mask_threshold=0.4, min_iou=0.2)


def test_two_ranks_agree_with_one_process(tmp_path):
    """To the bit; also where one rank has no image, or no outlier."""
    run_script(__file__, tmp_path, ranks=2)
    alone = fitted(noise(8), labelled(8), **OPTIONS).state_dict()
    for rank in range(2):
        for found in torch.load(tmp_path / f'{rank}.pth'):
            assert found.keys() == alone.keys()
            for name, value in alone.items():
                assert torch.equal(found[name], value), name


def main(folder):
    torch.distributed.init_process_group('gloo')
    rank = torch.distributed.get_rank()
    samples, labels = noise(8), labelled(8)
    empty = [i for i in range(8) if not (labels[i] == OUTLIER).any()]
    states = []
    for first in ([0, 3, 5], [], empty):
        rest = [i for i in range(8) if i not in first]
        own = torch.tensor((first, rest)[rank], dtype=torch.int64)
        score = fitted(samples[own], labels[own], **OPTIONS)
        states.append(score.state_dict())
    torch.save(states, f'{folder}/{rank}.pth')
    torch.distributed.destroy_process_group()


if __name__ == '__main__':
    main(*sys.argv[1:])
