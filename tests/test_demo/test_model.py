"""Models that are asked once and judged often."""

import math

import numpy as np
import pytest
import torch

from mmood.demo.model import striped
from mmood.ops.drawing import PAPER


@pytest.fixture
def asked(monkeypatch):
    """Function: how often a model has been asked since."""

    def watch(model):
        count, forward = [], model._ask.forward

        def watched(*args, **kwargs):
            count.append(1)
            return forward(*args, **kwargs)

        monkeypatch.setattr(model._ask, 'forward', watched)
        return count

    return watch


def test_what_is_known_of_a_detector(detector):
    assert detector.names == ['energy', 'msp']
    assert detector.limits['energy'] == pytest.approx(-2.1)
    assert math.isnan(detector.limits['msp'])
    assert detector.confidence == pytest.approx(0.346)
    assert detector.classes[1] == 'bar'


def test_boxes_are_judged_without_the_model(detector, picture, asked):
    count = asked(detector)
    answer = detector(picture)
    boxes = answer.sample.pred_instances
    energies = boxes.ood_scores_energy.numpy()
    assert len(energies) > 4 and energies.std() > 0
    assert answer.notes == ()
    pictures = []
    for limit in (energies.min() - 1, np.median(energies), energies.max()):
        judged = answer.judged('energy', float(limit), 0.0)
        unknown = int((energies > limit).sum())
        known = len(energies) - unknown
        assert f'<b>{known}</b> known' in judged.counts
        assert f'<b>{unknown}</b> unknown' in judged.counts
        assert judged.table.count('<tr class="unknown">') == unknown
        assert judged.table.count('<tr class="known">') == known
        pictures += judged.pictures
    assert not (pictures[0] == pictures[-1]).all()
    assert count == [1]


def test_only_confident_boxes_are_listed(detector, picture):
    answer = detector(picture)
    confidences = answer.sample.pred_instances.scores.numpy()
    least = float(np.median(confidences))
    judged = answer.judged('energy', 0.0, least)
    assert judged.table.count('</tr>') - 1 == (confidences >= least).sum()
    judged = answer.judged('energy', 0.0, 1.1)
    assert judged.table == '' and 'no object' in judged.counts


def test_another_score(detector, picture):
    answer = detector(picture)
    scores = answer.sample.pred_instances.ood_scores_msp.numpy()
    limit = float(np.median(scores))
    judged = answer.judged('msp', limit, 0.0)
    unknown = int((scores > limit).sum())
    assert f'<b>{unknown}</b> unknown' in judged.counts
    assert '>msp</th>' in judged.table
    slider = answer.span('msp')
    assert slider.low < scores.min() and scores.max() < slider.high
    # Without a limit nothing is unknown.
    judged = answer.judged('msp', math.nan, 0.0)
    assert '<b>0</b> unknown' in judged.counts


def test_a_rule_of_its_own_is_told(detector, picture):
    answer = detector(picture)
    flags = answer.sample.pred_instances.is_ood
    answer.sample.pred_instances.is_ood = ~flags
    again = type(answer)(detector, answer.image, answer.sample)
    judged = again.judged('energy', -2.1, 0.0)
    assert 'rule of its own' in judged.counts


def test_pixels_are_judged_without_the_model(segmentor, picture, asked):
    count = asked(segmentor)
    answer = segmentor(picture)
    name = segmentor.names[0]
    scores = answer.scores(name)
    assert name == 'compound' and segmentor.confidence is None
    assert scores.shape == picture.shape[:2] and answer.notes == ()
    for limit in (float(np.quantile(scores, q)) for q in (0.1, 0.6)):
        judged = answer.judged(name, limit, 0.0)
        share = (scores > np.float32(limit)).mean()
        assert f'<b>{100 * share:.1f} %</b> unknown' in judged.counts
        seen = answer.sample.pred_sem_seg.data.unique()
        assert judged.table.count('</tr>') - 1 == len(seen)
    assert count == [1]
    assert [drawn.shape[1] for drawn in judged.pictures] == [512, 512]


def test_of_logits_only_their_number_is_kept(segmentor, picture):
    sample = segmentor(picture).sample
    assert sample.seg_logits.data.numel() == len(segmentor.classes)
    assert sample.seg_logits.data.untyped_storage().nbytes() < 100


def test_stripes_lie_on_the_unknown_alone():
    is_unknown = np.zeros((400, 400), bool)
    is_unknown[100:300, 50:200] = True
    panel = np.full((480, 400, 3), 90, np.uint8)
    panel[400:] = PAPER
    panel[420:430, 5:50] = 0
    drawn = striped(panel, is_unknown)
    changed = (drawn[:400] != panel[:400]).any(-1)
    assert not changed[~is_unknown].any()
    assert 0.2 < changed[is_unknown].mean() < 0.6
    assert changed[100, 50:200].all()  # the outline
    assert 430 < len(drawn) < 480
    nothing = striped(panel, np.zeros_like(is_unknown))
    np.testing.assert_array_equal(nothing, panel[: len(nothing)])


def test_answers_stay_on_the_cpu(detector, picture):
    boxes = detector(picture).sample.pred_instances
    assert boxes.bboxes.device == torch.device('cpu')
