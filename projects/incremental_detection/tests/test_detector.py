"""The incremental detector, its teacher, and the steps without one."""

import pytest
import torch
from mmengine.structures import InstanceData

from helpers import assert_near
from projects.incremental_detection.tests.tiny_detector import (
    AGNOSTIC,
    FASTER_ILOD,
    IOD,
    OLD,
    WITH_DFDD,
    K,
    batch,
    build_detector,
    losses_of,
    two_steps,
)


@pytest.mark.parametrize('task_weight', [1.0, 0.8])
def test_task_losses_are_the_plain_detectors_times_the_weight(
    tmp_path, task_weight
):
    _, student = two_steps(tmp_path, IOD, task_weight=task_weight)
    plain = build_detector(K, **AGNOSTIC)
    plain.load_state_dict(student.state_dict())
    data = batch(labels=K)
    losses, _ = losses_of(student, data)
    expected, _ = losses_of(plain, data)
    assert set(losses) - set(expected) == {
        'loss_distill_backbone',
        'loss_distill_roi',
    }
    for name in ('loss_cls', 'loss_bbox'):
        assert_near(losses[name], task_weight * expected[name])
    for name in ('loss_rpn_cls', 'loss_rpn_bbox'):
        torch.testing.assert_close(
            losses[name], expected[name], rtol=1e-4, atol=1e-5
        )


def test_the_student_learns_and_its_teacher_does_not(tmp_path):
    before, student = two_steps(tmp_path, {**IOD, **FASTER_ILOD}, WITH_DFDD)
    (teacher,) = student._teacher
    student.train()
    losses, _ = losses_of(student, batch(labels=K))
    loss, _ = student.parse_losses(losses)
    loss.backward()
    assert not teacher.training and not teacher.backbone.training
    state = teacher.state_dict()
    for name, value in before.state_dict().items():
        assert torch.equal(state[name], value) or value.isnan().all(), name
    assert all(p.grad is None for p in teacher.parameters())
    assert not any(p.requires_grad for p in teacher.parameters())
    missing = [n for n, p in student.named_parameters() if p.grad is None]
    assert missing == []


def test_the_teacher_is_outside_of_the_model(tmp_path):
    before, student = two_steps(tmp_path, IOD)
    (teacher,) = student._teacher
    assert set(student.state_dict()) == set(before.state_dict())
    assert teacher not in student.modules()
    own = {id(parameter) for parameter in student.parameters()}
    assert own.isdisjoint(map(id, teacher.parameters()))
    assert teacher.roi_head.bbox_head.fc_cls.num_seen == OLD
    assert student.roi_head.bbox_head.fc_cls.num_seen == K


def test_images_without_objects_have_finite_losses(tmp_path):
    _, student = two_steps(tmp_path, {**IOD, **FASTER_ILOD})
    student._teacher = ()  # a loop of one's own may never init_weights
    losses, _ = losses_of(student, batch(boxes=0))
    loss, _ = student.parse_losses(losses)
    loss.backward()
    gradient = student.backbone.conv1.weight.grad
    assert torch.isfinite(loss) and torch.isfinite(gradient).all()


def test_fine_tuning_and_first_steps_are_the_plain_detector():
    data = batch(labels=OLD)
    weights = build_detector(OLD).state_dict()
    results = []
    for more in (
        dict(),
        dict(distillation=IOD, task_weight=0.8),
        dict(num_old=2, teacher='/no/such/file', task_weight=0.8),
    ):
        detector = build_detector(OLD, **more)
        detector.init_weights()
        detector.load_state_dict(weights)
        results.append(losses_of(detector, data)[0])
    for other in results[1:]:
        torch.testing.assert_close(other, results[0], rtol=1e-4, atol=1e-5)


def test_a_test_needs_no_teacher():
    student = build_detector(
        K, num_old=OLD, teacher='/no/such/file', distillation=IOD
    ).eval()
    with torch.no_grad():
        results = student.predict(*batch())
    assert all(isinstance(r.pred_instances, InstanceData) for r in results)


def test_a_missing_teacher_shows_when_the_training_starts():
    student = build_detector(
        K, num_old=OLD, teacher='/no/such/file', distillation=IOD
    )
    message = "teacher='/no/such/file' does not exist.*run the step before"
    with pytest.raises(ValueError, match=message):
        student.init_weights()
    with pytest.raises(ValueError, match=message):
        student.loss(*batch(labels=K))


def test_a_teacher_of_another_model_is_refused(tmp_path):
    path = tmp_path / 'other.pth'
    state = build_detector(OLD, **WITH_DFDD).state_dict()
    torch.save(dict(state_dict=state), path)
    student = build_detector(
        K, num_old=OLD, teacher=str(path), distillation=IOD
    )
    with pytest.raises(ValueError, match='not a checkpoint of this model'):
        student.init_weights()


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(num_old=K + 1), f'num_old .* the {K} classes seen, got {K + 1}'),
        (dict(num_old=-1), 'got -1'),
        (dict(teacher='a.pth'), "num_old=0 is a first step.*'a.pth'"),
        (dict(num_old=2, distillation=IOD), 'num_old=2 needs a teacher'),
        (dict(distillation={}), 'distillation has no term'),
    ],
)
def test_refuses_what_cannot_be(options, message):
    with pytest.raises(ValueError, match=message):
        build_detector(K, **options)
