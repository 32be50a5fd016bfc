"""What a test is turned into for SegmentMeIfYouCan."""

import json

import cv2
import numpy as np
import pytest
from mmengine.config import Config

from mmood.seg.submission.frames import frame_path, write_frame
from mmood.seg.submission.pipeline import without_labels
from mmood.seg.submission.smiyc import prepare

SPLIT = 'AnomalyTrack-all'
PIPELINE = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(32, 32)),
    dict(type='mmood.LoadOODAnnotations'),
    dict(type='mmseg.LoadAnnotations'),
    dict(type='mmseg.PackSegInputs'),
]


def config(**model):
    sets = [
        dict(type='mmood.OODSegDataset', name=name, pipeline=PIPELINE)
        for name in ('near', 'far')
    ]
    dataset = dict(type='ConcatDataset', datasets=sets)
    return Config(
        dict(
            model=dict(dict(type='X', scores=['energy', 'msp']), **model),
            test_dataloader=dict(batch_size=1, dataset=dataset),
            test_evaluator=dict(type='mmood.OODSegMetric'),
        )
    )


@pytest.fixture
def tree(tmp_path):
    """Three frames of 6 x 4 pixels, and a checkpoint."""
    (tmp_path / 'track/images').mkdir(parents=True)
    for name in ('a', 'b', 'c'):
        picture = np.zeros((4, 6, 3), np.uint8)
        cv2.imwrite(str(tmp_path / f'track/images/{name}.jpg'), picture)
    (tmp_path / 'model.pth').write_bytes(b'weights')
    return tmp_path


def run(tree, cfg=None, **options):
    cfg = cfg or config()
    frames = {SPLIT: str(tree / 'track')}
    options = dict(dict(method='ours'), **options)
    checkpoint = str(tree / 'model.pth')
    return prepare(cfg, checkpoint, frames, str(tree / 'out'), **options), cfg


def finish(tree, frame, shape=(4, 6)):
    path = frame_path(tree / 'out', 'ours', SPLIT, frame)
    write_frame(path, np.zeros(shape, np.float32), frame)


def test_frames_take_the_place_of_the_sets(tree, log):
    count, cfg = run(tree)
    assert count == 3
    (frames,) = cfg.test_dataloader.dataset.datasets
    assert frames.type == 'mmood.SMIYCFramesDataset'
    assert (frames.split, list(frames.skipped)) == (SPLIT, [])
    kinds = [step.type for step in frames.pipeline]
    assert kinds == ['LoadImageFromFile', 'Resize', 'mmseg.PackSegInputs']
    assert cfg.test_dataloader.batch_size == 1
    assert cfg.test_evaluator == dict(
        type='mmood.SMIYCFrameWriter',
        folder=str(tree / 'out'),
        method='ours',
        score='energy',
    )
    expected = f'3 frames of {SPLIT}, and the benchmark has 110'
    assert expected in log['warning'][0]
    assert f'{SPLIT}: 0 of 3 frames are there already' in log['info']


def test_whole_frames_of_the_size_are_done(tree, log):
    run(tree)
    finish(tree, 'a')
    finish(tree, 'b', (6, 4))
    count, cfg = run(tree)
    assert count == 2
    assert cfg.test_dataloader.dataset.datasets[0].skipped == ['a']
    finish(tree, 'b')
    finish(tree, 'c')
    assert run(tree)[0] == 0


@pytest.mark.parametrize(
    ('change', 'what'),
    [
        (dict(score='msp'), 'score'),
        (dict(cfg=config(depth=2)), 'model'),
        (dict(weights=b'others'), 'checkpoint'),
        (dict(score='msp', weights=b'others'), 'score and checkpoint'),
    ],
)
def test_files_that_something_else_made(tree, change, what):
    run(tree)
    if 'weights' in change:
        (tree / 'model.pth').write_bytes(change.pop('weights'))
    with pytest.raises(ValueError, match=f'of another {what}: choose'):
        run(tree, **change)
    assert run(tree, method='other', **change)[0] == 3


def test_files_of_which_nothing_is_said(tree):
    finish(tree, 'a')
    with pytest.raises(ValueError, match='ours has frames, and .*ours.json'):
        run(tree)


def test_one_process_of_several_writes_what_it_is(tree):
    run(tree, writes=False)
    assert not (tree / 'out').exists()
    run(tree)
    about = json.loads((tree / 'out/ours.json').read_text())
    assert set(about) == {'score', 'checkpoint', 'model'}


def test_what_cannot_be(tree):
    for options, message in (
        (dict(score='knn'), "'knn' is not predicted"),
        (dict(method='a/b'), "got 'a/b'"),
    ):
        with pytest.raises(ValueError, match=message):
            run(tree, **options)
    with pytest.raises(ValueError, match='no frames: give --frames'):
        prepare(config(), 'a.pth', {}, str(tree), method='a')
    assert not (tree / 'out').exists()


def test_labels_are_not_loaded():
    assert [s['type'] for s in without_labels(PIPELINE)] == [
        *('LoadImageFromFile', 'Resize', 'mmseg.PackSegInputs')
    ]
