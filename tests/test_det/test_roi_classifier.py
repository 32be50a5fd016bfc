"""Scores that read the last layer of a RoI head, against numpy.

Shapes: n boxes of an image, C = 32 features, K = 4 classes.
"""

import copy

import numpy as np
import pytest
import torch

from det_fit_helpers import Detector, Loader, batches, names_of
from det_helpers import K, box_head, build_head, proposals
from helpers import assert_near
from mmood.det.models.roi_tools import fit_labels, record_calls
from mmood.hooks import fit_scores
from mmood.registry import SCORES
from mmood.scores import (
    Samples,
    ash,
    energy,
    fit_temperature,
    gen,
    gradnorm,
    largest_contributions,
    msp,
    register_score,
    scale,
)

ALL = [
    'gen',
    'gradnorm',
    'temperature',
    'react',
    'scale',
    dict(type='dice', percentile=50),
    *(dict(type='ash', kind=kind, name=f'ash_{kind}') for kind in 'SPB'),
    dict(type='react', name='both', score=dict(type='dice', percentile=50)),
]


@pytest.fixture
def seen():
    """A score that keeps the samples that it gets."""
    kept = []

    @register_score('seen', reads=('features', 'logits', 'classifier'))
    def seen(samples):
        kept.append(samples)
        return -samples.logits.amax(1)

    yield kept
    SCORES.module_dict.pop('seen')


@pytest.mark.parametrize('kind', ['standard', 'agnostic', 'c4', 'cascade'])
def test_features_classifier_and_logits_go_together(seen, kind):
    """Of the last stage, without the background's row."""
    model = Detector(kind, scores=['seen']).eval()
    model.test_step(batches(1)[0])
    (samples,) = seen
    assert samples.classifier.weight.shape == (K, model.roi_head.channels)
    assert len(samples) > 0
    assert_near(samples.classifier(samples.features), samples.logits)


def sigmoid_head():
    loss = dict(type='CrossEntropyLoss', use_sigmoid=True)
    return box_head(loss_cls=loss)


def test_a_classifier_without_bias_and_one_without_background(seen):
    layer = dict(type='Linear', bias=False)
    for head in (box_head(cls_predictor_cfg=layer), sigmoid_head()):
        model = Detector(scores=['seen'], bbox_head=head).eval()
        model.test_step(batches(1)[0])
        samples = seen.pop()
        assert_near(samples.classifier(samples.features), samples.logits)


@pytest.mark.parametrize(
    'kind', ['mmood.DecomposedLinear', 'NormedLinear', 'SubLinear']
)
def test_a_classifier_that_is_no_linear_layer_is_refused(kind):
    from mmdet.registry import MODELS

    class SubLinear(torch.nn.Linear):
        """What it computes cannot be known."""

    if kind == 'SubLinear':
        MODELS.register_module(module=SubLinear, force=True)
    head = box_head(cls_predictor_cfg=dict(type=kind))
    build_head(scores=['energy', 'knn'], bbox_head=head)
    name = kind.split('.')[-1]
    message = f"'react' reads the last linear layer .* is a {name}, no nn"
    with pytest.raises(ValueError, match=message):
        build_head(scores=['energy', 'react'], bbox_head=head)


def kept_rows(model, batch):
    """Kept boxes, and the features and logits of the RoIs, (R, .)."""
    with record_calls(model.roi_head.bbox_head.fc_cls) as calls:
        kept = model.test_step(copy.deepcopy(batch))[0].pred_instances
    return kept, *calls[0]


def fitted(scores=ALL, **kwargs):
    model, data = Detector(scores=list(scores), **kwargs).eval(), batches()
    validation = batches(8)
    fit_scores(
        model, Loader(data), None, Loader(label_half(model, validation))
    )
    return model


def label_half(model, data):
    """Every second annotated object is what the model takes it for."""
    for maps, props, samples in data:
        boxes = props[0].bboxes
        rois = torch.cat([torch.zeros(len(boxes), 1), boxes], 1)
        seen = model.roi_head.view(model.roi_head.pool(maps, rois))
        said = seen.logits.argmax(1).tolist()
        for one, label in [*zip(samples[0].instances, said)][::2]:
            one['bbox_label'] = label
    return data


def test_all_scores_of_one_model():
    model, batch = fitted(), batches(1)[0]
    kept, features, logits = kept_rows(model, batch)
    names = {c if isinstance(c, str) else c.get('name', 'dice') for c in ALL}
    assert names_of(kept) == names
    layer, scores = model.roi_head.bbox_head.fc_cls, model.roi_head.scores
    weight, bias = layer.weight[:K].detach(), layer.bias[:K].detach()

    def of(x, w=weight):
        return energy(x @ w.T + bias)

    z, dice, react = (
        logits[:, :K],
        *(scores.fitted[n] for n in ('dice', 'react')),
    )
    mask = largest_contributions(weight, dice.mean, 50)
    cut = features.clamp(max=react.limit.item())
    heat = scores.fitted['temperature'].temperature.item()
    expected = dict(
        gen=gen(z),
        gradnorm=gradnorm(features, z),
        temperature=msp(z / heat),
        react=of(cut),
        scale=of(scale(features)),
        dice=of(features, weight * mask),
        ash_S=of(ash(features, 90)),
        ash_P=of(ash(features, 60, 'P')),
        ash_B=of(ash(features, 65, 'B')),
        both=of(cut, weight * mask),
    )
    places = (kept.ood_scores_gen[:, None] - expected['gen']).abs().argmin(1)
    assert len(kept) > 4 and set(expected) == names
    for name, values in expected.items():
        found = kept[f'ood_scores_{name}']
        assert_near(found, values[places], 1e-3, 1e-4)
        assert found.std() > 0


def test_react_and_dice_see_the_correct_boxes():
    model, data = Detector(scores=['react', 'dice']).eval(), batches()
    model.roi_head.keeps_samples = True
    rows = []
    for batch in copy.deepcopy(data):
        kept = model.test_step(batch)[0]
        labels = fit_labels(kept.pred_instances, kept.instances, False)
        rows.append(kept.pred_instances.samples.features[labels >= 0])
    model.roi_head.keeps_samples = False
    rows = torch.cat(rows).double().numpy()
    fit_scores(model, Loader(data))
    scores = model.roi_head.scores.fitted
    limit = np.percentile(rows, 90)
    assert len(rows) > 3
    assert scores['react'].limit.item() == pytest.approx(limit, rel=1e-5)
    assert_near(scores['dice'].mean, rows.mean(0))


def test_a_temperature_sees_the_wrong_boxes_of_validation_images():
    model = Detector(scores=['temperature']).eval()
    data = label_half(model, batches(8))
    model.roi_head.keeps_samples = True
    rows, classes = [], []
    for batch in copy.deepcopy(data):
        found = model.test_step(batch)[0]
        kept = found.pred_instances
        labels = fit_labels(kept, found.instances, True)
        rows.append(kept.samples.logits[labels >= 0])
        classes.append(labels[labels >= 0])
    model.roi_head.keeps_samples = False
    rows, classes = torch.cat(rows), torch.cat(classes)
    right = (rows.argmax(1) == classes).double().mean()
    assert 0.2 < right < 0.9
    fit_scores(model, Loader(batches(2)), None, Loader(data))
    found = model.roi_head.scores.fitted['temperature'].temperature.item()
    assert found == pytest.approx(fit_temperature(rows, classes), rel=1e-3)


def box(*corners):
    return [float(c) for c in corners]


def test_boxes_that_a_fit_sees():
    """Right ones; or also wrong ones, by the likeliest class of the RoI."""
    predicted = proposals(6)
    predicted.bboxes = torch.tensor(
        [
            box(0, 0, 10, 10),  # right
            box(0, 0, 10, 10),  # the same RoI as another class
            box(0, 0, 10, 9),  # wrong
            box(0, 0, 10, 4),  # half of it is missing
            box(20, 0, 30, 10),  # between two objects, nearer to the second
            box(60, 0, 70, 10),  # on one that is ignored
        ]
    )
    predicted.labels = torch.tensor([1, 2, 0, 1, 0, 1])
    predicted.samples = Samples(torch.eye(K)[[1, 1, 0, 1, 0, 1]])
    objects = [
        dict(bbox=box(0, 0, 10, 10), bbox_label=1),
        dict(bbox=box(18, 0, 28, 10), bbox_label=3),
        dict(bbox=box(21, 0, 31, 10), bbox_label=2),
        dict(bbox=box(60, 0, 70, 10), bbox_label=1, ignore_flag=1),
    ]
    right = fit_labels(predicted, objects, wrong_too=False)
    assert right.tolist() == [1, -1, -1, -1, -1, -1]
    found = fit_labels(predicted, objects, wrong_too=True)
    assert found.tolist() == [1, -1, 1, -1, 2, -1]
    for none in ([], objects[3:]):
        for wrong_too in (False, True):
            found = fit_labels(predicted, none, wrong_too)
            assert found.tolist() == [-1] * 6
    assert fit_labels(predicted[:0], objects, True).shape == (0,)


@pytest.mark.parametrize('counts', [0, 9])
def test_without_a_box(counts):
    model = fitted()
    batch = batches(1)[0]
    batch = (batch[0], [proposals(counts)], batch[2])
    kept = model.test_step(batch)[0].pred_instances
    assert (len(kept) > 0) == (counts > 0)
    for name in names_of(kept):
        values = kept[f'ood_scores_{name}']
        assert values.shape == (len(kept),) and torch.isfinite(values).all()
