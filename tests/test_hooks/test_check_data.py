"""Model, data and weights are compared before the first iteration."""

from types import SimpleNamespace

import pytest
import torch
from mmcv.transforms import Resize
from mmdet.evaluation import CocoMetric
from torch import nn

from helpers import write_coco
from mmood.det.evaluation import OODDetMetric
from mmood.hooks import CheckDataHook
from mmood.hooks.check_data import head_classes, pipeline_differences

ABC = ('a', 'b', 'c')


def part(count=None, **children):
    """A module with a number of classes and parts."""
    module = nn.Module()
    if count is not None:
        module.num_classes = count
    module.register_buffer('weight', torch.zeros(1))
    for name, child in children.items():
        setattr(module, name, child)
    return module


def dataset(classes=ABC, pipeline=(), **more):
    return SimpleNamespace(
        metainfo={} if classes is None else dict(classes=classes),
        pipeline=SimpleNamespace(transforms=list(pipeline)),
        **more,
    )


def concat(*datasets):
    return SimpleNamespace(datasets=datasets, metainfo=datasets[0].metainfo)


def run(
    model,
    train=None,
    val=None,
    test=None,
    learned=None,
    time='train',
    metrics=(),
):
    """Call the hook as a runner does; returns the warnings."""
    notes = []
    loaders = {
        f'{name}_dataloader': SimpleNamespace(dataset=loaded)
        for name, loaded in (('train', train), ('val', val), ('test', test))
    }
    runner = SimpleNamespace(
        model=model,
        val_loop=val,
        val_evaluator=SimpleNamespace(metrics=metrics),
        test_evaluator=SimpleNamespace(metrics=metrics),
        logger=SimpleNamespace(warning=notes.append),
        **loaders,
    )
    hook = CheckDataHook()
    if learned is not None:
        meta = dict(dataset_meta=dict(classes=learned))
        weights = dict(state_dict=model.state_dict(), meta=meta)
        hook.after_load_checkpoint(runner, weights)
    getattr(hook, f'before_{time}')(runner)
    return notes


def cascade(*counts):
    heads = nn.ModuleList(part(count) for count in counts)
    return part(rpn_head=part(1), roi_head=part(bbox_head=heads))


def test_which_numbers_are_those_of_classes():
    detector = part(
        rpn_head=part(1),
        roi_head=part(3, bbox_head=part(3), mask_head=part(80)),
    )
    detector.roi_head.mask_head.class_agnostic = True
    assert head_classes(detector) == {'roi_head': 3, 'roi_head.bbox_head': 3}
    assert head_classes(cascade(3, 4)) == {
        'roi_head.bbox_head.0': 3,
        'roi_head.bbox_head.1': 4,
    }
    # The last of four classes is 'unknown', which no object has.
    open_set = part(roi_head=part(3, bbox_head=part(4)))
    open_set.roi_head.unknown_class = True
    assert head_classes(open_set) == {'roi_head': 3}
    edges = part(2)
    edges.boundary_threshold = 0.1
    heads = nn.ModuleList([part(19), edges])
    segmentor = part(decode_head=part(19), auxiliary_head=heads)
    assert head_classes(segmentor) == {
        'decode_head': 19,
        'auxiliary_head.0': 19,
    }
    words = part(language_model=part(), bbox_head=part(256))
    assert head_classes(words) == {}
    assert head_classes(part(backbone=part(1000), bbox_head=part(7))) == {
        'bbox_head': 7
    }


@pytest.mark.parametrize(
    'model',
    [
        part(bbox_head=part(2)),
        part(decode_head=part(2)),
        part(roi_head=part(bbox_head=part(2))),
        cascade(3, 2),
        part(decode_head=part(3), auxiliary_head=part(2)),
    ],
)
def test_another_number_of_classes_is_refused(model):
    message = r'has 2 classes \(num_classes\) and the {} set 3 .*a, b, c'
    for wrapped in (
        dataset(),
        SimpleNamespace(dataset=dataset(), metainfo={}),
        concat(dataset(None), dataset()),
    ):
        with pytest.raises(ValueError, match=message.format('train')):
            run(model, train=wrapped)
        for time in ('val', 'test'):
            with pytest.raises(ValueError, match=message.format(time)):
                run(model, time=time, **{time: wrapped})


def test_the_validation_set_is_compared_before_the_training():
    model = cascade(3, 3)
    assert run(model, train=dataset(), val=dataset()) == []
    with pytest.raises(ValueError, match='3 classes.*the val set 2'):
        run(model, train=dataset(), val=dataset('ab'))
    with pytest.raises(ValueError, match='give metainfo.classes the same ord'):
        run(model, train=dataset(), val=dataset('bac'))
    (note,) = run(model, train=dataset(), val=dataset('abx'))
    assert 'label by label the same' in note


def test_the_set_that_scores_are_fitted_on():
    hook = CheckDataHook()
    fits = SimpleNamespace(dataloader=SimpleNamespace(dataset=dataset()))
    runner = SimpleNamespace(
        model=cascade(3),
        hooks=[hook, SimpleNamespace(dataloader=dict()), fits],
        train_dataloader=SimpleNamespace(dataset=dataset()),
        val_loop=None,
    )
    hook.before_train(runner)
    hook.before_train_epoch(runner)
    fits.dataloader.dataset = dataset('cab')
    with pytest.raises(ValueError, match='the fit set has .*the same order'):
        hook.before_train_epoch(runner)


def test_objects_that_a_dino_would_denoise_are_refused():
    """Flagged ones among the known, behind a wrapper too."""
    dino, other = part(head=part(3)), part(head=part(3))
    dino.dn_query_generator = object()
    for apart in (True, False):
        step = SimpleNamespace(apart=apart)
        flags = dataset(pipeline=[step], has_flags=True)
        run(other, concat(dataset(), flags))
        if apart:
            run(dino, concat(dataset(), flags))
        else:
            message = 'flagged OOD: .*PackOODInputs.*apart=True'
            with pytest.raises(ValueError, match=message):
                run(dino, concat(dataset(), flags))
    run(dino, dataset(pipeline=[SimpleNamespace(apart=False)]))


def test_sets_with_classes_of_their_own_do_not_matter():
    own = dataset('xy', own_classes=True)
    assert run(cascade(3), test=concat(dataset(), own), time='test') == []
    assert run(cascade(3), test=own, time='test', learned=ABC) == []


def test_weights_that_learned_another_order():
    model = cascade(3)
    assert run(model, test=dataset(), time='test', learned=list(ABC)) == []
    with pytest.raises(ValueError, match="learned the classes .'c', 'b', 'a"):
        run(model, test=dataset(), time='test', learned='cba')
    (note,) = run(model, test=dataset(), time='test', learned='xyz')
    assert "['x', 'y', 'z'], the test set has ['a', 'b', 'c']" in note
    # Weights to start a training from may have any.
    assert run(model, train=dataset(), learned='cba') == []


def test_pipelines_that_change_images_differently():
    class Load:
        """Says nothing of itself."""

    class LoadAnnotations(Resize):
        pass

    def resized(scale, origin):
        steps = [Load(), Resize(scale), LoadAnnotations(scale)]
        return dataset(pipeline=steps, origin=origin)

    small, large = resized((64, 64), 'id'), resized((96, 96), 'far')
    assert pipeline_differences([small, resized((64, 64), 'near')]) == []
    (text,) = pipeline_differences([small, large])
    assert "of the sets 'id' and 'far' differ: ['Resize(scale=(64, 64)" in text
    test = concat(small, large)
    assert run(cascade(3), test=test, time='test') == [text]


@pytest.mark.parametrize('time', ['train', 'val', 'test'])
def test_a_metric_that_numbers_classes_in_another_way(tmp_path, time):
    """mmdet's own goes by its file; labels of our sets by name."""
    path = str(write_coco(tmp_path, [[[4, 4, 20, 20]]], ABC))
    stock, ours = CocoMetric(path), OODDetMetric(path)
    model = cascade(3)

    def measured_by(metric, loaded):
        sets = dict.fromkeys(('train', 'val', 'test'), loaded)
        return run(model, time=time, metrics=[metric], **sets)

    abc, cab = dataset(origin='id'), dataset('cab', origin='id')
    for metric, loaded in ((stock, abc), (ours, abc), (ours, cab)):
        assert measured_by(metric, loaded) == []
    with pytest.raises(ValueError, match='CocoMetric .*use mmood.OODDetM'):
        measured_by(stock, concat(cab))
    # mmdet's own sets go by the file, too.
    assert measured_by(stock, dataset('cab')) == []
    with pytest.raises(ValueError, match='ann_file of OODDetMetric'):
        measured_by(ours, dataset('abx', origin='id'))


def learner(label=254, losses=('RbALoss',)):
    """A segmentor with losses on pixels."""
    model = part(decode_head=part(3))
    model.pixel_losses = nn.ModuleDict({name: SimpleLoss() for name in losses})
    model.outlier_label = label
    return model


class SimpleLoss(nn.Module):
    needs_outliers = True


PASTE = SimpleNamespace(outlier_label=254)


def test_outliers_are_pasted_for_a_loss():
    assert run(learner(), dataset(pipeline=[PASTE])) == []
    assert run(part(decode_head=part(3)), dataset()) == []
    (note,) = run(learner(), dataset())
    assert 'RbALoss learn from outliers, and no transform' in note
    both = concat(dataset(), dataset(pipeline=[PASTE]))
    assert run(learner(), both) == []
    quiet = learner()
    quiet.pixel_losses['RbALoss'].needs_outliers = False
    assert run(quiet, dataset()) == []


def test_outliers_that_no_loss_is_for():
    message = r'labels outliers \[254\].*list pixel_losses, or leave out Pas'
    for model in (part(decode_head=part(3)), learner(losses=())):
        with pytest.raises(ValueError, match=message):
            run(model, dataset(pipeline=[PASTE]))
    message = r'\[254\], and the model has outlier_label=253: give both'
    with pytest.raises(ValueError, match=message):
        run(learner(253), dataset(pipeline=[PASTE]))
