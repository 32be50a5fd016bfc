"""Score lists of the RoI head: fits, errors, degenerate inputs.

Shapes: K classes, 16-channel maps of a 64 px image.
"""

import copy
import re
from types import SimpleNamespace

import pytest
import torch

from det_fit_helpers import CLASSES, Detector, Loader, batches, names_of
from det_helpers import K, box_head, build_head, predict, proposals, samples
from helpers import assert_near
from mmood.det.models.roi_tools import correct_boxes, record_calls
from mmood.hooks import FitScoresHook, fit_scores
from mmood.scores import Samples, energy, msp

LOGIT = ['energy', 'msp', 'max_logit', 'entropy']
KNN = dict(name='knn', k=2)
FITTED = ['mahalanobis', 'gram', KNN]


def fitted(scores=None, **kwargs):
    model = Detector(scores=scores or ['energy', *FITTED], **kwargs).eval()
    fit_scores(model, Loader(batches()))
    return model


def test_all_scores_of_one_pass_are_of_the_same_boxes():
    model = fitted([*LOGIT, 'odin', *FITTED])
    batch = batches(1)[0]
    with record_calls(model.roi_head.bbox_head.fc_cls) as calls:
        kept = model.test_step(batch)[0].pred_instances
    features, logits = calls[0]
    assert names_of(kept) == {*LOGIT, 'odin', 'mahalanobis', 'gram', 'knn'}
    assert torch.equal(kept.ood_scores, kept.ood_scores_energy)
    expected = energy(logits[:, :K])
    rois = (kept.ood_scores_energy[:, None] - expected).abs().argmin(1)
    torch.testing.assert_close(kept.ood_scores_msp, msp(logits[rois, :K]))
    scores, rows = model.roi_head.scores.fitted, Samples(features=features)
    for name in ('mahalanobis', 'knn'):
        expected = scores[name](rows)[rois]
        assert_near(kept[f'ood_scores_{name}'], expected)


@pytest.mark.parametrize('kind', ['standard', 'agnostic', 'cascade'])
def test_the_fit_takes_correct_boxes_alone(kind):
    model = Detector(kind, scores=['energy', 'mahalanobis']).eval()
    data = batches()
    fit_scores(model, Loader(data))
    count = torch.zeros(K)
    for batch in data:
        sample = model.test_step(batch)[0]
        mask = correct_boxes(sample.pred_instances, sample.instances)
        assert 0 < mask.sum() < len(mask)
        count += sample.pred_instances.labels[mask].bincount(minlength=K)
    score = model.roi_head.scores.fitted['mahalanobis']
    assert torch.equal(score.count.float(), count)


def test_correct_boxes_need_overlap_and_class():
    predicted = proposals(3)
    predicted.bboxes = torch.tensor(
        [[0.0, 0, 10, 10], [0, 0, 10, 10], [0, 0, 10, 4.9]]
    )
    predicted.labels = torch.tensor([1, 2, 1])
    objects = [dict(bbox=[0, 0, 10, 10], bbox_label=1)]
    assert correct_boxes(predicted, objects).tolist() == [True, False, False]
    objects[0]['ignore_flag'] = 1
    for none in ([], objects):
        assert correct_boxes(predicted, none).tolist() == [False] * 3
    assert correct_boxes(predicted[:0], objects).shape == (0,)


@pytest.mark.parametrize('score', ['mahalanobis', 'gram', KNN])
def test_unfitted_scores_are_an_error_that_says_how(score):
    model = Detector(scores=['energy', score]).eval()
    with pytest.raises(RuntimeError, match=r'not fitted.*fit_scores\.py'):
        model.test_step(batches(1)[0])


def test_checkpoint_brings_the_fit_along():
    model, batch = fitted(), batches(1)[0]
    other = Detector(scores=['energy', *FITTED]).eval()
    other.load_state_dict(copy.deepcopy(model.state_dict()))
    mine, theirs = (
        one.test_step(batch)[0].pred_instances for one in (model, other)
    )
    for name in ('mahalanobis', 'gram', 'knn'):
        key = f'ood_scores_{name}'
        assert_near(mine[key], theirs[key])


def runner(model, classes=CLASSES, **more):
    lines = []
    logger = SimpleNamespace(info=lines.append, warning=lines.append)
    loader = SimpleNamespace(dataset=SimpleNamespace(metainfo={}))
    if classes:
        loader.dataset.metainfo['classes'] = classes
    return SimpleNamespace(
        model=model, test_dataloader=loader, cfg={}, logger=logger,
        lines=lines, hooks=[], **more,
    )  # fmt: skip


def test_fit_on_one_class_order_and_test_on_another():
    model, hook = fitted(), FitScoresHook()
    hook.before_test_epoch(runner(model))
    with pytest.raises(ValueError, match='other classes, or in another order'):
        hook.before_test_epoch(runner(model, CLASSES[::-1]))
    hook.before_test_epoch(runner(model, None))  # nothing known of them


def test_training_without_images_to_fit_on_stops_before_it_begins():
    hook = FitScoresHook()
    hook.before_train(runner(Detector(scores=['energy'])))
    with pytest.raises(ValueError, match='set its dataloader, or fit_data'):
        hook.before_train(runner(Detector(scores=['energy', 'gram'])))


def test_a_fit_that_fails_in_training_does_not_end_it():
    """k is larger than the bank: the other scores go on."""
    model = Detector(scores=['energy', dict(name='knn', k=20000)])
    hook, run = FitScoresHook(Loader(batches())), runner(model)
    hook.before_train(run)
    hook.before_val_iter(run, 0)
    message = 'knn: k must be in.*fit_scores.py before'
    assert re.search(message, run.lines[-1])
    kept = model.eval().test_step(batches(1)[0])[0].pred_instances
    assert names_of(kept) == {'energy'}
    with pytest.raises(ValueError, match='20000'):
        fit_scores(model, Loader(batches()))


def test_a_fit_that_fails_leaves_the_others_fitted():
    model = Detector(scores=[dict(name='knn', k=20000), 'gram'])
    with pytest.raises(ValueError, match='knn: k must be in'):
        fit_scores(model, Loader(batches()))
    scores = model.roi_head.scores.fitted
    assert not scores['knn'].is_fitted and scores['gram'].is_fitted


def test_a_compound_is_the_mean_of_standardised_scores():
    """Of fitted scores too, in a second pass; ID boxes are about 0 +- 1."""
    compound = dict(type='compound', of=['energy', 'mahalanobis', 'knn'])
    model = fitted([compound, 'energy', 'mahalanobis', KNN])
    assert model.roi_head.scores.stages()[1] == ['compound']
    parts, found = [], []
    for batch in batches():
        for sample in model.test_step(batch):
            kept = sample.pred_instances
            kept = kept[correct_boxes(kept, sample.instances)]
            names = [f'ood_scores_{name}' for name in compound['of']]
            parts.append(torch.stack([kept[name] for name in names]))
            found.append(kept.ood_scores_compound)
    score = model.roi_head.scores.fitted['compound']
    parts, found = torch.cat(parts, 1).double(), torch.cat(found)
    assert_near(score.mean, parts.mean(1))
    assert_near(score.std, parts.std(1))
    z = (parts - parts.mean(1, keepdim=True)) / parts.std(1, keepdim=True)
    assert_near(found.double(), z.mean(0), atol=1e-3)


def test_a_fit_leaves_compounds_of_what_failed_out():
    """And those alone."""
    scores = [
        'energy',
        dict(name='knn', k=20000),
        'mahalanobis',
        dict(type='compound', name='lost', of=['energy', 'knn']),
        dict(type='compound', name='kept', of=['energy', 'mahalanobis']),
    ]
    model = Detector(scores=scores)
    model.roi_head.scores.fitted['lost'].is_fitted.fill_(True)  # as before
    hook, run = FitScoresHook(Loader(batches())), runner(model)
    hook.before_train(run)
    hook.before_val_iter(run, 0)
    kept = model.eval().test_step(batches(1)[0])[0].pred_instances
    assert names_of(kept) == {'energy', 'mahalanobis', 'kept'}
    fitted = model.roi_head.scores.fitted
    assert fitted['kept'].is_fitted and not fitted['lost'].is_fitted


def test_with_nothing_fitted_the_energy_stands_in():
    model = Detector(scores=['mahalanobis']).eval()
    model.roi_head.scores.skips_unfitted = True
    kept = model.test_step(batches(1)[0])[0].pred_instances
    assert names_of(kept) == {'energy'}


def test_features_with_nan_are_refused():
    model, data = Detector(scores=['mahalanobis']).eval(), batches(1)
    head = model.roi_head.bbox_head

    def spoil(module, inputs, output):
        return torch.full_like(output, float('nan'))

    head.shared_fcs[-1].register_forward_hook(spoil)
    head.fc_cls.register_forward_hook(lambda m, i, o: torch.zeros_like(o))
    head.fc_reg.register_forward_hook(lambda m, i, o: torch.zeros_like(o))
    # relu keeps nan
    with pytest.raises(ValueError, match='nan or infinite features'):
        fit_scores(model, Loader(data))


def test_images_without_annotations_are_refused():
    model = Detector(scores=['mahalanobis']).eval()
    with pytest.raises(ValueError, match=r'0\.png.*IDCocoDataset'):
        fit_scores(model, Loader(batches(1, annotated=False)))
    kept = build_head().eval()  # and the model predicts as before
    assert not model.roi_head.keeps_samples and not kept.keeps_samples


def test_nothing_to_fit():
    with pytest.raises(ValueError, match='has no score to fit'):
        fit_scores(Detector(scores=['energy']), Loader(batches(1)))


@pytest.mark.parametrize('counts', [(0, 0), (0, 9)])
def test_all_scores_at_zero_detections(counts):
    model = fitted([*LOGIT, 'odin', *FITTED])
    maps, data = (torch.randn(2, 16, 8, 8),), samples(2)
    props = [proposals(count) for count in counts]
    kept = predict(model.roi_head, maps, props, data)
    for instances, count in zip(kept, counts):
        assert (len(instances) > 0) == (count > 0)
        for name in names_of(kept[0]):
            values = instances[f'ood_scores_{name}']
            assert values.shape == (len(instances),)
            assert torch.isfinite(values).all()


def test_one_class():
    """A softmax over it says nothing; the other scores do."""
    cfg = box_head(num_classes=1)
    for score in ('msp', 'entropy', 'odin'):
        with pytest.raises(ValueError, match='softmax over one class'):
            build_head(scores=[score], bbox_head=cfg)
    scores = ['energy', 'max_logit', *FITTED]
    model = Detector(scores=scores, bbox_head=cfg).eval()
    fit_scores(model, Loader(batches(classes=1)))
    kept = model.test_step(batches(1, classes=1)[0])[0].pred_instances
    assert len(kept) > 0
    assert torch.isfinite(kept.ood_scores_mahalanobis).all()
    assert_near(kept.ood_scores_energy, kept.ood_scores_max_logit)


def test_half_precision_logits_rank_as_their_float32_values():
    model = fitted([*LOGIT, *FITTED])
    model.roi_head.test_cfg.max_per_img = 100  # rounding may change the order
    batch = batches(1)[0]

    fc_cls, found = model.roi_head.bbox_head.fc_cls, []
    for raise_again in (True, False):

        def halve(module, inputs, output, raise_again=raise_again):
            half = output.half()
            return half.float() if raise_again else half

        handle = fc_cls.register_forward_hook(halve)
        kept = model.test_step(batch)[0].pred_instances
        kept = kept[kept.bboxes[:, 0].argsort()]
        names = sorted(names_of(kept))
        found.append([kept[f'ood_scores_{n}'] for n in names])
        assert len(names) == 7
        handle.remove()
    for first, second in zip(*found):
        assert_near(first, second)


def test_arguments_of_a_listed_score():
    model = Detector(scores=[dict(name='energy', temperature=2.0)]).eval()
    with record_calls(model.roi_head.bbox_head.fc_cls) as calls:
        kept = model.test_step(batches(1)[0])[0].pred_instances
    every = energy(calls[0][1][:, :K], temperature=2.0)
    gap = (kept.ood_scores[:, None] - every).abs().amin(1)
    assert (gap < 1e-4).all()
