"""Drawings of a test: which file, which boxes, which names."""

from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from mmengine.logging import MMLogger
from mmengine.structures import BaseDataElement, InstanceData
from torch import nn

from mmood.hooks import OODVisualizationHook
from mmood.scores import ScoreSet


class Recorder:
    """In the place of a visualizer."""

    def __init__(self):
        self.dataset_meta = dict(classes=('zebra',), palette=[[1, 2, 3]])
        self._vis_backends = dict(local=1)
        self.calls = []

    def add_datasample(self, name, image, data_sample, out_file, **options):
        self.calls.append(
            SimpleNamespace(
                name=name, image=image, sample=data_sample, file=out_file,
                **options,
            )
        )  # fmt: skip


@pytest.fixture
def runner():
    model = nn.Module()
    model.register_buffer('score_threshold', torch.tensor(0.25))
    return SimpleNamespace(
        model=model,
        visualizer=Recorder(),
        logger=MMLogger.get_current_instance(),
        iter=3,
    )


@pytest.fixture
def sample(tmp_path):
    """Function: a sample of a set with a picture of one colour."""

    def make(name, value=0, origin='id', **fields):
        path = tmp_path / 'data' / name
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), np.full((4, 6, 3), (value, 0, 0), np.uint8))
        meta = dict(img_path=str(path), origin=origin)
        one = BaseDataElement(metainfo=meta)
        one.pred_instances = InstanceData(scores=torch.ones(2), **fields)
        return one

    return make


def run(hook, runner, samples, metrics=None, meta=None):
    hook.after_load_checkpoint(runner, dict(meta=dict(dataset_meta=meta)))
    hook.before_test(runner)
    for i, one in enumerate(samples):
        hook.after_test_iter(runner, i, {}, [one])
    early = len(runner.visualizer.calls)
    hook.after_test_epoch(runner, metrics)
    return early, runner.visualizer.calls


def test_each_set_has_a_folder_and_each_image_a_file(runner, sample, tmp_path):
    hook = OODVisualizationHook(draw=True, test_out_dir=str(tmp_path / 'out'))
    samples = [
        sample('a/1.png', 10),
        sample('b/1.png', 20),
        sample('a/1.ppm', 30, 'far'),
        sample('a/1.jpg', 40, 'far'),
        sample('c/1.png', 50, ''),
    ]
    _, calls = run(hook, runner, samples)
    files = ['id/1.png', 'id/1_2.png', 'far/1.png', 'far/1_2.jpg', '1.png']
    assert [c.file for c in calls] == [
        str(tmp_path / 'out' / f) for f in files
    ]
    assert [round(c.image[0, 0, 2] / 10) for c in calls] == [1, 2, 3, 4, 5]
    assert [c.sample.img_path for c in calls] == [s.img_path for s in samples]


@pytest.mark.parametrize(
    ('options', 'metrics', 'expected'),
    [
        ({}, {'ood/score_threshold': 0.5}, 0.5),
        ({}, {}, 0.25),
        (dict(score_thr=0.1), {'ood/score_threshold': 0.5}, 0.1),
    ],
)
def test_boxes_are_drawn_from_the_confidence_that_counts(
    runner, sample, tmp_path, options, metrics, expected
):
    """The test's own is known after it only."""
    hook = OODVisualizationHook(True, test_out_dir=str(tmp_path), **options)
    early, calls = run(hook, runner, [sample('1.png')], metrics)
    assert [c.pred_score_thr for c in calls] == [expected]
    assert early == len(options)


def test_nothing_says_from_where_boxes_count(runner, sample, tmp_path):
    runner.model.score_threshold.fill_(float('nan'))
    hook = OODVisualizationHook(True, test_out_dir=str(tmp_path))
    _, calls = run(hook, runner, [sample('1.png')])
    assert calls[0].pred_score_thr == 0.3


def test_masks_and_maps_do_not_wait(runner, sample, tmp_path):
    hook = OODVisualizationHook(True, test_out_dir=str(tmp_path))
    with_masks = sample('1.png', masks=torch.ones(2, 4, 6).bool())
    maps = sample('2.png')
    del maps.pred_instances
    early, calls = run(hook, runner, [with_masks, maps])
    assert early == 2
    assert calls[0].pred_score_thr == 0.25
    assert not hasattr(calls[1], 'pred_score_thr')


def test_names_are_those_of_the_training(runner, sample):
    """The test's loop hands over those of its first set."""
    meta = dict(classes=('cat', 'dog'), palette=None)
    run(OODVisualizationHook(True), runner, [], meta=meta)
    assert runner.visualizer.dataset_meta['classes'] == ('cat', 'dog')
    runner.visualizer = Recorder()
    run(OODVisualizationHook(True), runner, [])
    assert runner.visualizer.dataset_meta['classes'] == ('zebra',)


def test_to_the_backends_and_windows(runner, sample):
    hook = OODVisualizationHook(True, show=True, wait_time=2)
    _, calls = run(hook, runner, [sample('1.png', origin='far')])
    (call,) = calls
    assert (call.name, call.file, call.show) == ('far_1', None, True)
    assert call.wait_time == 2
    assert runner.visualizer._vis_backends == {}


def test_a_drawing_does_not_overwrite_its_image(runner, sample, tmp_path):
    hook = OODVisualizationHook(True, test_out_dir=str(tmp_path / 'data'))
    with pytest.raises(ValueError, match='1.png would overwrite it'):
        run(hook, runner, [sample('id/1.png')])


def test_without_draw_nothing_happens(runner, sample):
    _, calls = run(OODVisualizationHook(), runner, [sample('1.png')])
    assert calls == []


def test_every_so_many_validation_batches(runner, sample):
    """The same images under the same names in each validation."""
    hook = OODVisualizationHook(True, interval=2)
    samples = [
        sample(name, origin=origin)
        for name, origin in (('a/1.png', 'id'), ('2.png', 'id'),
                             ('b/1.png', 'id'), ('3.png', 'id'),
                             ('1.png', 'far'))
    ]  # fmt: skip
    for epoch in (3, 4):
        runner.iter = epoch
        for batch, one in enumerate(samples):
            hook.after_val_iter(runner, batch, {}, [one])
    calls = runner.visualizer.calls
    names = ['val_id_1', 'val_id_1_2', 'val_far_1']
    assert [c.name for c in calls] == names * 2
    assert [c.step for c in calls] == [3] * 3 + [4] * 3
    assert [c.file for c in calls] == [None] * 6


def test_the_limit_is_said(runner, sample):
    """Name and threshold of the score that judges."""
    part = nn.Module()
    part.scores = ScoreSet(
        ['energy', 'msp'], num_classes=3, channels=None, kind='softmax'
    )
    part.scores.thresholds['energy'].fill_(-2.5)
    runner.model.head = part
    (call,) = run(OODVisualizationHook(True), runner, [sample('1.png')])[1]
    assert call.sample.score_name == 'energy'
    assert call.sample.ood_threshold == -2.5
