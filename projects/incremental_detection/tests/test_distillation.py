"""Distillation losses against loops over single elements."""

import numpy as np
import pytest
import scipy.special
import torch
from torch.distributions import Categorical, kl_divergence

from projects.incremental_detection.incremental_detection.distillation import (
    adaptive_feature_distillation,
    adaptive_rpn_distillation,
    centred_logit_distillation,
    kl_distillation,
    squared_distillation,
)

# Each of one student tensor and one teacher tensor.
PAIRED = [
    kl_distillation,
    squared_distillation,
    centred_logit_distillation,
    adaptive_feature_distillation,
]


def pair(*shape):
    return torch.randn(shape, requires_grad=True), torch.randn(shape)


def arrays(*tensors):
    return [t.detach().double().numpy() for t in tensors]


def looped_kl(student, teacher, temperature, clamp):
    """In numpy, element by element."""
    total = 0.0
    for s, t in zip(*arrays(student, teacher)):
        log_s = scipy.special.log_softmax(s / temperature)
        log_t = scipy.special.log_softmax(t / temperature)
        for a, b in zip(log_s, log_t):
            element = np.exp(b) * (b - a)
            total += max(element, 0) if clamp else element
    return total * temperature**2 / len(student)


@pytest.mark.parametrize('temperature', [1.0, 6.0])
@pytest.mark.parametrize('clamp', [False, True])
def test_kl_is_the_loop_over_elements(temperature, clamp):
    student, teacher = pair(5, 4)
    expected = looped_kl(student, teacher, temperature, clamp)
    loss = kl_distillation(student, teacher, temperature, clamp)
    assert loss.item() == pytest.approx(expected, rel=1e-5)


def test_kl_without_clamp_is_the_divergence_from_the_teacher():
    student, teacher = pair(6, 5)
    expected = kl_divergence(
        Categorical(logits=teacher), Categorical(logits=student)
    ).mean()
    torch.testing.assert_close(kl_distillation(student, teacher), expected)


def test_clamped_kl_exceeds_the_divergence():
    """Two classes by hand: p_t = (3/4, 1/4), p_s = (1/2, 1/2)."""
    student = torch.zeros(1, 2)
    teacher = torch.tensor([[3.0, 1.0]]).log()
    below, above = 0.25 * np.log(0.5), 0.75 * np.log(1.5)
    assert kl_distillation(student, teacher).item() == pytest.approx(
        above + below, rel=1e-5
    )
    assert kl_distillation(student, teacher, clamp=True).item() == (
        pytest.approx(above, rel=1e-5)
    )


def test_cut_elements_pass_no_gradient():
    """d/dz_s of -p_0 log softmax(z_s)_0 alone, at p_0 = 3/4."""
    student = torch.zeros(1, 2, requires_grad=True)
    teacher = torch.tensor([[3.0, 1.0]]).log()
    kl_distillation(student, teacher, clamp=True).backward()
    np.testing.assert_allclose(student.grad, [[-0.375, 0.375]], rtol=1e-5)


def test_squared_is_numpys_mean_of_rows_and_of_maps():
    for shape in ((5, 3), (2, 3, 4, 5)):
        student, teacher = pair(*shape)
        a, b = arrays(student, teacher)
        assert squared_distillation(student, teacher).item() == (
            pytest.approx(np.mean((a - b) ** 2), rel=1e-5)
        )


def test_centred_logits_are_those_less_their_rows_mean():
    student, teacher = pair(5, 4)
    total = 0.0
    for s, t in zip(*arrays(student, teacher)):
        for a, b in zip(s, t):
            total += ((a - s.mean()) - (b - t.mean())) ** 2
    loss = centred_logit_distillation(student, teacher)
    assert loss.item() == pytest.approx(total / 20, rel=1e-5)
    shifted = student + torch.arange(5.0)[:, None]
    assert centred_logit_distillation(shifted, teacher).item() == (
        pytest.approx(total / 20, rel=1e-4)
    )


def test_features_count_where_the_teachers_are_larger():
    student, teacher = pair(2, 3, 4, 5)
    total = 0.0
    for s, t in zip(*arrays(student, teacher)):
        for a, b in zip(s.ravel(), t.ravel()):
            total += max((b - t.mean()) - (a - s.mean()), 0)
    loss = adaptive_feature_distillation(student, teacher)
    assert loss.item() == pytest.approx(total / student.numel(), rel=1e-5)


def test_features_of_an_image_do_not_depend_on_its_batch():
    student, teacher = pair(3, 2, 4, 4)
    each = [
        adaptive_feature_distillation(student[i : i + 1], teacher[i : i + 1])
        for i in range(3)
    ]
    whole = adaptive_feature_distillation(student, teacher)
    torch.testing.assert_close(whole, sum(each) / 3)


def test_rpn_counts_anchors_that_the_teacher_rates_higher():
    own, its = pair(40)
    deltas, target = pair(40, 4)
    with torch.no_grad():  # differences on both sides of the threshold
        own[:3] = its[:3] - torch.tensor([0.05, 0.15, -0.5])
    total = 0.0
    for o, t, d, e in zip(*arrays(own, its, deltas, target)):
        total += max(t - o, 0) ** 2
        if t - o > 0.1:
            total += sum((a - b) ** 2 for a, b in zip(d, e))
    loss = adaptive_rpn_distillation(own, deltas, its, target)
    assert loss.item() == pytest.approx(total / 40, rel=1e-5)
    loss.backward()
    moved = deltas.grad.abs().amax(1) > 0
    assert moved.tolist() == (its - own > 0.1).tolist()
    assert moved[:3].tolist() == [False, True, False]
    assert (own.grad < 0).tolist() == (its > own).tolist()


def test_rpn_threshold_is_an_argument():
    own, its, deltas = torch.zeros(1), torch.ones(1), torch.zeros(1, 4)
    two = torch.full((1, 4), 2.0)
    for threshold, expected in ((0.9, 17.0), (1.0, 1.0), (1.1, 1.0)):
        loss = adaptive_rpn_distillation(own, deltas, its, two, threshold)
        assert loss.item() == expected


@pytest.mark.parametrize('loss', PAIRED)
def test_a_student_like_its_teacher_costs_nothing(loss):
    student, _ = pair(2, 3, 4, 4)
    assert loss(student, student.detach()).item() == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize('loss', PAIRED)
@pytest.mark.parametrize('factor', [None, 0.0, 3.0])
def test_no_samples_are_zero_with_a_gradient(loss, factor):
    student, teacher = pair(0, 3, 4, 4)
    value = loss(student, teacher, avg_factor=factor)
    assert value.item() == 0
    value.backward()
    assert student.grad.shape == student.shape


@pytest.mark.parametrize('loss', PAIRED[:3])
def test_no_classes_are_zero_with_a_gradient(loss):
    student, teacher = pair(3, 0)
    value = loss(student, teacher)
    assert value.item() == 0
    value.backward()


def test_no_anchors_are_zero_with_a_gradient():
    own, its = pair(0)
    deltas, target = pair(0, 4)
    loss = adaptive_rpn_distillation(own, deltas, its, target)
    assert loss.item() == 0
    loss.backward()
    assert own.grad.shape == (0,) and deltas.grad.shape == (0, 4)


@pytest.mark.parametrize('loss', PAIRED)
def test_parts_with_a_common_factor_add_up_to_the_whole(loss):
    student, teacher = pair(5, 3, 4, 4)
    rows = 5 * 4 * 4
    parts = [
        loss(student[part], teacher[part], avg_factor=rows)
        for part in (slice(2), slice(2, 5))
    ]
    torch.testing.assert_close(sum(parts), loss(student, teacher))


def test_parts_of_the_anchors_add_up_to_the_whole():
    own, its = pair(9)
    deltas, target = pair(9, 4)
    whole = adaptive_rpn_distillation(own, deltas, its, target)
    parts = [
        adaptive_rpn_distillation(
            own[p], deltas[p], its[p], target[p], avg_factor=torch.tensor(9.0)
        )
        for p in (slice(2), slice(2, 9))
    ]
    torch.testing.assert_close(sum(parts), whole)


@pytest.mark.parametrize('loss', PAIRED)
def test_the_teacher_gets_no_gradient(loss):
    student, teacher = pair(2, 3, 4, 4)
    teacher.requires_grad_()
    loss(student, teacher).backward()
    assert teacher.grad is None
    assert student.grad.abs().max() > 0


def test_half_precision_does_not_overflow():
    student = torch.full((2, 3), 300.0, dtype=torch.float16)
    teacher = torch.zeros(2, 3, dtype=torch.float16)
    loss = squared_distillation(student, teacher)
    assert loss.dtype == torch.float32
    assert loss.item() == 300.0**2


@pytest.mark.parametrize('loss', PAIRED)
def test_refuses_other_shapes(loss):
    with pytest.raises(ValueError, match=r'\(2, 3, 1, 1\) and \(2, 4, 1, 1\)'):
        loss(torch.zeros(2, 3, 1, 1), torch.zeros(2, 4, 1, 1))


@pytest.mark.parametrize('temperature', [0.0, -1.0])
def test_refuses_a_temperature_that_is_not_positive(temperature):
    with pytest.raises(ValueError, match=f'positive, got {temperature}'):
        kl_distillation(*pair(2, 3), temperature=temperature)
