"""Scores of masks against loops over queries and pixels.

Shapes: B images, N queries, K classes, masks h x w, images H x W.
"""

import math

import numpy as np
import pytest
import torch
from torch.nn.functional import interpolate

from helpers import assert_near
from mmood.scores import (
    MaskQueries,
    Samples,
    ScoreSet,
    ensemble_of_masks,
    mask_anomaly,
    mixture,
    mixture_energy,
    rba,
)

NAMES = ('rba', 'eam', 'mask2anomaly', 'msp', 'energy', 'entropy', 'max_logit')


def sigmoid(x):
    return 1 / (1 + np.exp(-np.asarray(x, float)))


def softmax(x):
    e = np.exp(np.asarray(x, float))
    return e / e.sum(-1, keepdims=True)


def logit(p):
    """Class logits of probabilities, mask logits of masks."""
    p = torch.as_tensor(p)
    return (p / (1 - p)).log()


def samples(class_logits, mask_logits, size=None):
    """Maps L as the head sums them, and the queries that they are of."""
    size = size or mask_logits.shape[-2:]
    masks = mask_logits.new_zeros(*mask_logits.shape[:2], *size)
    if masks.numel():
        masks = interpolate(mask_logits, size, mode='bilinear').sigmoid()
    p = class_logits.softmax(-1)[..., :-1]
    maps = torch.einsum('bnk,bnhw->bkhw', p, masks)
    own = MaskQueries(class_logits, mask_logits, tuple(size))

    def view(images):
        """The masks of a flipped image, but not quite: they are smaller."""
        return Samples(0.5 * maps.flip(-1), kind='mask')

    inputs = torch.zeros(len(maps), 3, *size)
    return Samples(maps, kind='mask', queries=own, inputs=inputs, view=view)


def noise(images=2, count=6, classes=3, cells=(3, 4), size=(6, 8), seed=2):
    torch.manual_seed(seed)
    return samples(
        2 * torch.randn(images, count, classes + 1),
        4 * torch.randn(images, count, *cells),
        size,
    )


def scores(*configs, classes=3):
    return ScoreSet(list(configs), num_classes=classes, kind='mask')


def test_without_a_query_nothing_claims_a_pixel():
    seen = noise(count=0)
    found = scores(*NAMES)(seen)
    expected = dict(rba=0, eam=0, mask2anomaly=1, msp=2 / 3, max_logit=0)
    expected.update(entropy=math.log(3))
    expected.update(energy=-math.log(3 * torch.finfo(torch.float32).tiny))
    for name, value in expected.items():
        assert_near(found[name], torch.full((2, 6, 8), float(value)))


def test_empty_masks_claim_nothing_either():
    """Logits so low that the sigmoid is 0."""
    seen = noise()
    low = torch.full_like(seen.queries.mask_logits, -200.0)
    found = scores(*NAMES)(samples(seen.queries.class_logits, low))
    assert not found['rba'].any() and not found['eam'].any()
    assert (found['mask2anomaly'] == 1).all()
    assert_near(found['entropy'], torch.full((2, 3, 4), math.log(3)))
    assert torch.isfinite(found['energy']).all()


def test_no_image():
    found = scores(*NAMES)(noise(images=0))
    assert {value.shape for value in found.values()} == {(0, 6, 8)}


def test_one_query_of_one_class():
    """p = (0.8, 0.2): its class with 0.8. Masks 0.5 and 0.25."""
    seen = samples(
        torch.tensor([[[0.8, 0.2]]]).log(), logit([[[[0.5, 0.25]]]])
    )
    known = [0.4, 0.2]
    found = scores('rba', 'eam', 'mask2anomaly', 'energy', classes=1)(seen)
    expected = dict(
        rba=[-math.tanh(x) for x in known],
        eam=[-x for x in known],
        energy=[-math.log(x) for x in known],
        # The other view has half of it: 1 - (0.4 + 0.2) / 2.
        mask2anomaly=[0.7, 0.85],
    )
    for name, value in expected.items():
        assert_near(found[name], torch.tensor([[value]]))


def test_two_queries_by_hand():
    """Two classes and no object; a pixel each of both, one and no mask.

    p = (0.7, 0.1, 0.2) and (0.2, 0.5, 0.3), so that L = (0.7 m + 0.2 n,
    0.1 m + 0.5 n).
    """
    seen = samples(
        torch.tensor([[[0.7, 0.1, 0.2], [0.2, 0.5, 0.3]]]).log(),
        logit([[[[0.9, 0.9, 1e-7]], [[0.8, 1e-7, 1e-7]]]]),
    )
    both, one = (0.79, 0.49), (0.63, 0.09)
    assert_near(seen.logits[0, :, 0, :2].T, torch.tensor([both, one]))
    flat = dict(type='mask2anomaly', flip=False)
    found = scores('rba', 'eam', flat, 'msp', 'energy', classes=2)(seen)

    def near(name, *values):
        assert_near(found[name][0, 0], torch.tensor(values), 1e-5, 1e-5)

    near('rba', *(-math.tanh(a) - math.tanh(b) for a, b in (both, one)), 0)
    # Masks times the largest class: 0.9 * 0.7 + 0.8 * 0.5.
    near('eam', -1.03, -0.63, 0)
    near('mask2anomaly', 0.21, 0.37, 1)
    near('msp', 0.49 / 1.28, 0.09 / 0.72, 0.6 / 1.5)
    near('energy', -math.log(1.28), -math.log(0.72), -math.log(1.5e-7))


@pytest.mark.parametrize('size', [(3, 4), (6, 8), (7, 5)])
def test_loops_over_queries_and_pixels(size):
    seen = noise(size=size)
    p = softmax(seen.queries.class_logits)[..., :-1]
    logits = seen.queries.mask_logits.double()
    masks = sigmoid(interpolate(logits, size, mode='bilinear'))
    found = scores(*NAMES, dict(type='mask2anomaly', name='one', flip=False))(
        seen
    )
    for place in np.ndindex(2, *size):
        image, y, x = place
        m = masks[image, :, y, x]
        maps = [sum(p[image, :, k] * m) for k in range(3)]
        mixed = [value / sum(maps) for value in maps]
        expected = dict(
            rba=-sum(math.tanh(value) for value in maps),
            eam=-sum(m * p[image].max(1)),
            one=1 - max(maps),
            mask2anomaly=1 - 0.75 * max(maps),
            msp=1 - max(mixed),
            energy=-math.log(sum(maps)),
            entropy=-sum(v * math.log(v) for v in mixed),
            max_logit=-max(maps),
        )
        for name, value in expected.items():
            assert float(found[name][place]) == pytest.approx(
                value, rel=1e-4, abs=1e-6
            )


def test_the_flipped_view_is_turned_back():
    """Mean of a map and of what the flipped image says of the same place."""
    seen = noise(images=1)
    bright = torch.zeros(1, 3, 6, 8)
    bright[..., 1] = 0.8
    asked = []

    def view(images):
        asked.append(images)
        return Samples(bright.flip(-1), kind='mask')

    seen.logits, seen.view = torch.zeros(1, 3, 6, 8), view
    seen.inputs = torch.rand(1, 3, 6, 8)
    found = scores('mask2anomaly')(seen)['mask2anomaly']
    assert_near(asked[0], seen.inputs.flip(-1))
    expected = torch.ones(1, 6, 8)
    expected[..., 1] = 0.6
    assert_near(found, expected)


def test_parts_of_the_mixture():
    maps = torch.rand(2, 3, 4, 5) + 0.1
    logits = maps.log()
    assert_near(mixture(maps), logits.softmax(1))
    assert_near(mixture_energy(maps), -logits.logsumexp(1))
    assert_near(
        mixture(maps.movedim(1, -1), -1), logits.softmax(1).movedim(1, -1)
    )


def test_rows_and_maps_are_scored_alike():
    rows = torch.rand(20, 3)
    maps = rows.view(2, 2, 5, 3).permute(0, 3, 1, 2)
    for score in (rba, mask_anomaly, mixture_energy):
        assert_near(score(maps).flatten(), score(rows))
        assert_near(score(rows.T, 0), score(rows))


def test_halves_have_the_digits_of_floats():
    seen = noise()
    own = seen.queries
    own.class_logits = own.class_logits.bfloat16()
    own.mask_logits = own.mask_logits.bfloat16()
    whole = MaskQueries(
        own.class_logits.float(), own.mask_logits.float(), own.size
    )
    expected = ensemble_of_masks(whole)
    with torch.autocast('cpu', torch.bfloat16):
        found = ensemble_of_masks(own)
    assert found.dtype == torch.float32
    assert_near(found, expected)


def test_a_temperature_has_no_meaning():
    for kind in ('mask', 'sigmoid'):
        hot = dict(type='energy', temperature=2)
        own = ScoreSet([hot], num_classes=3, kind=kind)
        with pytest.raises(ValueError, match=f'of {kind} logits has no temp'):
            own(Samples(torch.rand(2, 3), kind=kind))


def test_no_class():
    for score in (rba, mask_anomaly, mixture, mixture_energy):
        with pytest.raises(ValueError, match='have no class'):
            score(torch.zeros(2, 0, 3, 3))
    with pytest.raises(ValueError, match='have no class'):
        ensemble_of_masks(noise(classes=0).queries)
