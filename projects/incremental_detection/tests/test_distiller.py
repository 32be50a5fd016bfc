"""Distillation terms, recomputed from two detectors' outputs."""

import numpy as np
import pytest
import scipy.special
import torch
from mmdet.structures.bbox import bbox2roi

from projects.incremental_detection.incremental_detection import Distiller
from projects.incremental_detection.incremental_detection.distiller import (
    least_background,
)
from projects.incremental_detection.tests.tiny_detector import (
    AGNOSTIC,
    FASTER_ILOD,
    IOD,
    OLD,
    PER_CLASS,
    WITH_DFDD,
    K,
    batch,
    losses_of,
    two_steps,
)


@torch.no_grad()
def on_rois(detector, inputs, rois):
    maps = detector.extract_feat(inputs)
    result = detector.roi_head._bbox_forward(maps, rois)
    return (
        result['cls_score'].double().numpy(),
        result['bbox_pred'].double().numpy(),
    )


def looped_kl(student, teacher, temperature=6.0):
    """Elements of the sum cut at 0, one by one."""
    total = 0.0
    for s, t in zip(student, teacher):
        log_s = scipy.special.log_softmax(s / temperature)
        log_t = scipy.special.log_softmax(t / temperature)
        total += sum(max(np.exp(b) * (b - a), 0) for a, b in zip(log_s, log_t))
    return temperature**2 * total / len(student)


def mean_over_levels(function, own, its):
    pairs = zip(own, its)
    return np.mean([function(a, b).double().mean().item() for a, b in pairs])


@pytest.mark.parametrize('options', [AGNOSTIC, PER_CLASS, WITH_DFDD])
def test_terms_of_iod_are_on_the_rois_of_the_training(tmp_path, options):
    before, student = two_steps(tmp_path, IOD, options)
    data = batch(labels=K)
    losses, calls = losses_of(student, data)
    with torch.no_grad():
        own, its = student.backbone(data[0]), before.backbone(data[0])
    expected = mean_over_levels(lambda a, b: (a - b) ** 2, own, its)
    assert losses['loss_distill_backbone'].item() == pytest.approx(
        expected, rel=1e-4
    )
    # Later calls pool DFDD's blurred and deblurred maps.
    assert len(calls) == (3 if options is WITH_DFDD else 1)
    rois = calls[0]
    assert len(rois) == 32
    logits, deltas = on_rois(student.eval(), data[0], rois)
    target, target_deltas = on_rois(before, data[0], rois)
    columns = 4 * OLD if options is PER_CLASS else 4
    boxes = np.mean((deltas - target_deltas)[:, :columns] ** 2)
    expected = looped_kl(logits[:, :OLD], target[:, :OLD]) + boxes
    assert losses['loss_distill_roi'].item() == pytest.approx(
        0.2 * expected, rel=1e-4
    )


def clipped(a, b):
    """Of zero-mean maps, image by image, what the second has more of."""
    return torch.stack(
        [((y - y.mean()) - (x - x.mean())).clamp(min=0) for x, y in zip(a, b)]
    )


def looped_rpn(own, its, threshold):
    """Over levels, images and anchors."""
    values = []
    for a, b, d, e in zip(*own, *its):
        for image in range(len(a)):
            for anchor in range(a.shape[1]):
                place = slice(4 * anchor, 4 * anchor + 4)
                lost = (b - a)[image, anchor]
                moved = ((d - e)[image, place] ** 2).sum(0)
                value = lost.clamp(min=0) ** 2 + moved * (lost > threshold)
                values.append(value.double().flatten().numpy())
    return np.concatenate(values).mean()


def surest(images, logits):
    """Places of the eight RoIs of both images with the least background."""
    background = scipy.special.softmax(logits, axis=1)[:, -1]
    kept = []
    for image in range(2):
        of_image = np.flatnonzero(images == image)
        assert len(of_image) > 8
        kept += list(of_image[background[of_image].argsort()][:8])
    return kept


@pytest.mark.parametrize('options', [AGNOSTIC, PER_CLASS, WITH_DFDD])
def test_terms_of_faster_ilod(tmp_path, options):
    before, student = two_steps(tmp_path, FASTER_ILOD, options)
    data = batch(labels=K)
    losses, calls = losses_of(student, data)
    student.eval()
    with torch.no_grad():
        own, its = student.backbone(data[0]), before.backbone(data[0])
        expected = dict(
            adaptive_backbone=3 * mean_over_levels(clipped, own, its)
        )
        own = student.rpn_head(student.extract_feat(data[0]))
        its = before.rpn_head(before.extract_feat(data[0]))
        expected['adaptive_rpn'] = looped_rpn(
            (own[0], its[0]), (own[1], its[1]), threshold=0.2
        )
        proposals = before.rpn_head.predict(
            before.extract_feat(data[0]), data[1]
        )
    rois = bbox2roi([found.bboxes for found in proposals])
    logits, deltas = on_rois(student, data[0], rois)
    target, target_deltas = on_rois(before, data[0], rois)
    kept = surest(rois[:, 0].numpy(), target)
    assert len(calls[-1]) == 16
    distances = torch.cdist(calls[-1], rois[kept])
    for dim in (0, 1):
        assert distances.amin(dim).max() < 0.01  # pixels
    old = [*range(OLD), K]
    centred = [
        values[kept][:, old] - values[kept][:, old].mean(1, keepdims=True)
        for values in (logits, target)
    ]
    classes = OLD if options is PER_CLASS else 1
    moved = ((deltas - target_deltas)[kept, : 4 * classes] ** 2).sum()
    squared = np.mean((centred[0] - centred[1]) ** 2)
    expected['centred_roi'] = squared + moved / (16 * classes)
    for term, value in expected.items():
        found = losses[f'loss_distill_{term}'].item()
        assert found == pytest.approx(value, rel=1e-4), term


def test_rois_are_drawn_from_those_with_the_least_background():
    background = torch.tensor([0.9, 0.1, 0.5, 0.3, 0.2, 0.8, 0.4])
    seen = [set(), set(), set()]
    for _ in range(60):
        kept = least_background(background, [4, 0, 3], num=2, of=3).tolist()
        assert len(kept) == len(set(kept)) == 4
        for part, index in zip((0, 0, 2, 2), kept):
            seen[part].add(index)
    assert seen == [{1, 2, 3}, set(), {4, 5, 6}]
    everything = least_background(background, [4, 3], num=8, of=9)
    assert sorted(everything.tolist()) == list(range(7))
    none = least_background(torch.zeros(0), [0, 0], num=2, of=3)
    assert none.tolist() == []


@pytest.mark.parametrize(
    ('terms', 'message'),
    [
        ({}, 'no term'),
        (dict(roi=None), 'no term'),
        (dict(neck={}), "term 'neck'; known are"),
        (
            dict(roi=dict(num=64)),
            r"distillation.roi has the arguments \['num'\]; known are "
            r"\['clamp', 'temperature', 'weight'\]",
        ),
    ],
)
def test_refuses_what_it_does_not_know(terms, message):
    with pytest.raises(ValueError, match=message):
        Distiller(**terms)
