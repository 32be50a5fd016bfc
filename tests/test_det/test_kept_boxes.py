"""Which boxes count."""

import torch

from mmood.det.evaluation.kept_boxes import counting_boxes

OWN, BEST = torch.tensor([0.75, 0.25, 0.5]), torch.tensor([0.75, 0.5, 0.5])


def test_rules_of_the_protocols():
    found = counting_boxes(OWN, BEST, 0.5)
    assert found.tolist() == [True, True, True]
    found = counting_boxes(OWN.numpy(), BEST.numpy(), 0.625)
    assert found.tolist() == [True, False, False]
    found = counting_boxes(OWN, BEST, 0.5, 'dreambox')
    assert found.tolist() == [True, False, False]
    assert counting_boxes(OWN[:0], BEST[:0], 0.5).tolist() == []
