from types import SimpleNamespace

import pytest
import torch

from mmood.hooks import FiniteLossHook

INF = float('inf')
RUNNER = SimpleNamespace(iter=41, work_dir='work_dirs/x')


def after(**losses):
    return FiniteLossHook().after_train_iter(RUNNER, 0, outputs=losses)


def test_the_guilty_losses_are_named():
    with pytest.raises(FloatingPointError) as error:
        after(
            loss=float('nan'),
            loss_cls=torch.tensor(1.0),
            loss_bbox=torch.tensor(float('nan')),
            loss_uncertainty=torch.tensor(float('inf')),
        )
    message = str(error.value)
    assert 'iteration 42: loss_bbox, loss_uncertainty not finite' in message
    assert 'loss_cls' not in message
    assert 'work_dirs/x' in message


@pytest.mark.parametrize(
    'losses', [{}, dict(loss=1.0, loss_cls=torch.tensor(1.0), grad_norm=INF)]
)
def test_finite_losses_pass_and_other_outputs_do_not_matter(losses):
    assert after(**losses) is None


def test_a_total_without_parts_is_named_itself():
    with pytest.raises(FloatingPointError, match='iteration 42: loss not'):
        after(loss=float('inf'))
