"""OODDetInferencer."""

import copy
import json
import warnings
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmcv.transforms import LoadImageFromFile
from mmdet.datasets.transforms import LoadAnnotations, PackDetInputs, Resize
from mmdet.models import FasterRCNN
from mmdet.registry import MODELS

from helpers import ROOT
from mmood.det import OODDetInferencer, visualizer
from mmood.det.datasets import IDCocoDataset
from mmood.det.visualizer import OODDetLocalVisualizer
from mmood.ops import NotWrittenError
from mmood.ops.drawing import enlarge, enlarging
from mmood.recipe import load
from mmood.visualization.words import unknown

CLASSES = ('circle', 'bar', 'star')
LIMIT, COUNTING = -1.25, 0.46


@pytest.fixture(scope='module')
def cfg():
    """Of a small untrained detector of three classes."""
    path = ROOT / 'configs/posthoc/faster-rcnn_r18_fpn_shapes.py'
    cfg = load(path, dict(classes=CLASSES))
    cfg.model.roi_head.scores = ['energy', 'msp']
    cfg.model.roi_head.bbox_head.fc_out_channels = 32
    cfg.model.test_cfg.rcnn.update(score_thr=0.01, max_per_img=25)
    cfg.model.test_cfg.rpn.max_per_img = 20
    cfg.model.backbone.init_cfg = None
    return cfg


@pytest.fixture(scope='module')
def weights(cfg, tmp_path_factory):
    """A checkpoint of it whose thresholds split its boxes."""
    torch.manual_seed(0)
    model = MODELS.build(cfg.model)
    for parameter in model.roi_head.bbox_head.parameters():
        parameter.data.normal_(std=0.2)
    model.roi_head.scores.thresholds['energy'].fill_(LIMIT)
    model.roi_head.score_threshold.fill_(COUNTING)
    path = tmp_path_factory.mktemp('weights') / 'model.pth'
    meta = dict(dataset_meta=dict(classes=CLASSES))
    torch.save(dict(state_dict=model.state_dict(), meta=meta), path)
    return str(path)


@pytest.fixture(scope='module')
def build(cfg, weights):
    """Function: an inferencer, of the config after a change."""

    def build(change=None, weights=weights, **kwargs):
        own = copy.deepcopy(cfg)
        (change or (lambda cfg: None))(own)
        return OODDetInferencer(
            own, weights, device='cpu', show_progress=False, **kwargs
        )

    return build


@pytest.fixture(scope='module')
def inferencer(build):
    return build()


@pytest.fixture
def files(tmp_path):
    """Two pictures of one name and a third one."""
    rng = np.random.default_rng(0)
    paths = [tmp_path / name for name in ('y/1.png', 'x/1.png', 'x/2.jpg')]
    for path in paths:
        path.parent.mkdir(exist_ok=True)
        picture = rng.integers(0, 255, (48, 64, 3), dtype=np.uint8)
        cv2.imwrite(str(path), cv2.GaussianBlur(picture, (9, 9), 3))
    return [str(path) for path in paths]


def boxes(inferencer, *args, **kwargs):
    """The predictions of a call."""
    return inferencer(*args, **kwargs)['predictions']


def test_predictions_say_what_they_mean(inferencer, files):
    found = boxes(inferencer, files)
    assert [one['img_path'] for one in found] == files
    seen = set()
    for one in found:
        assert one['class_names'] == [CLASSES[i] for i in one['labels']]
        assert one['score'] == 'energy'
        assert one['ood_threshold'] == pytest.approx(LIMIT)
        assert one['score_threshold'] == pytest.approx(COUNTING)
        scores = np.array(one['ood_scores'])
        np.testing.assert_array_equal(one['is_ood'], scores > LIMIT)
        seen.update(zip(one['counts'], one['is_ood']))
    assert len(seen) > 2


def test_boxes_count_by_the_best_class_of_their_roi(inferencer, files):
    sample = boxes(inferencer, files[0], return_datasamples=True)[0]
    (one,) = boxes(inferencer, files[0])
    best = sample.pred_instances.max_class_scores.numpy()
    np.testing.assert_array_equal(one['counts'], best >= COUNTING)
    counts = np.array(
        boxes(inferencer, files[0], pred_score_thr=0.5)[0]['counts']
    )
    np.testing.assert_array_equal(counts, best >= 0.5)
    assert counts.sum() != np.sum(one['counts'])


def test_boxes_are_drawn_from_the_threshold(inferencer, files, monkeypatch):
    texts = []
    stock = visualizer.draw_boxes

    def record(image, drawn, line_width):
        texts.extend(one.text for one in drawn)
        return stock(image, drawn, line_width)

    monkeypatch.setattr(visualizer, 'draw_boxes', record)
    for limits in ({}, dict(ood_threshold=-1e9), dict(pred_score_thr=0.0)):
        texts.clear()
        (one,) = boxes(inferencer, files[0], return_vis=True, **limits)
        keys = ('is_ood', 'class_names', 'scores', 'ood_scores')
        rows = zip(*(one[key] for key in keys))
        drawn = [row for row in rows if row[2] >= one['score_threshold']]
        assert drawn
        assert sorted(texts) == sorted(
            unknown(name, value, one['ood_threshold'])
            if is_ood
            else f'{name} {score:.2f}'
            for is_ood, name, score, value in drawn
        )


def test_a_threshold_holds_for_one_call(inferencer, files):
    for limit, expected in ((-1e9, True), (float('inf'), False)):
        for one in boxes(inferencer, files, ood_threshold=limit):
            assert one['is_ood'] == [expected] * len(one['is_ood'])
            assert one['ood_threshold'] == limit
    with pytest.raises(FileNotFoundError):
        inferencer('none.png', ood_threshold=-1e9)
    for one in boxes(inferencer, files):
        assert one['ood_threshold'] == pytest.approx(LIMIT)
        scores = np.array(one['ood_scores'])
        np.testing.assert_array_equal(one['is_ood'], scores > LIMIT)


def test_another_score_has_its_own_threshold(inferencer, files):
    samples = boxes(inferencer, files[:1], return_datasamples=True)
    msp = samples[0].pred_instances.ood_scores_msp.numpy()
    with pytest.warns(UserWarning, match="no threshold of the score 'msp'"):
        (one,) = boxes(inferencer, files[0], score='msp')
    np.testing.assert_allclose(one['ood_scores'], msp, rtol=1e-5)
    assert (one['score'], one['ood_threshold']) == ('msp', None)
    assert not any(one['is_ood'])
    limit = float(np.median(msp))
    (one,) = boxes(inferencer, files[0], score='msp', ood_threshold=limit)
    np.testing.assert_array_equal(
        one['is_ood'], np.array(one['ood_scores']) > limit
    )
    assert 0 < sum(one['is_ood']) < len(msp)
    with pytest.raises(ValueError, match=r"of \['energy', 'msp'\], got 'x'"):
        inferencer(files, score='x')


def test_a_head_with_a_rule_of_its_own(inferencer, files, monkeypatch):
    """As one that rejects boxes above another number."""
    stock = inferencer.part._keep

    def keep(*args):
        kept = stock(*args)
        kept.is_ood = kept.labels == 0
        kept.labels[0] = 3
        return kept

    monkeypatch.setattr(inferencer.part, '_keep', keep)
    with warnings.catch_warnings():
        warnings.filterwarnings('error', message='.*of its own')
        (one,) = boxes(inferencer, files[0])
    assert one['class_names'][0] == 'unknown'  # the label behind the classes
    with pytest.warns(UserWarning, match='OODRoIHead .* a rule of its own'):
        inferencer(files[0], ood_threshold=5.0)


@pytest.mark.parametrize('limit', [float('nan'), 'high', [1, 2]])
def test_a_threshold_that_is_no_number(inferencer, files, limit):
    with pytest.raises(ValueError, match='ood_threshold must be a number'):
        inferencer(files, ood_threshold=limit)


def test_a_checkpoint_without_thresholds(build, weights, tmp_path, files):
    state = torch.load(weights, weights_only=True)
    for name in list(state['state_dict']):
        if 'threshold' in name:
            del state['state_dict'][name]
    path = str(tmp_path / 'bare.pth')
    torch.save(state, path)
    with pytest.warns(UserWarning, match='no ood_threshold, no box'):
        inferencer = build(weights=path)
    (one,) = boxes(inferencer, files[0])
    assert one['ood_threshold'] is None and not any(one['is_ood'])
    assert one['score_threshold'] == 0.3
    with warnings.catch_warnings():
        warnings.filterwarnings('error', message='.*ood_threshold')
        inferencer = build(weights=path, ood_threshold=-1e9)
    assert all(boxes(inferencer, files[0])[0]['is_ood'])


@pytest.mark.parametrize('name', ['retinanet_r18_fpn', 'dino_r18'])
def test_a_plain_detectors_checkpoint_has_scores(name, tmp_path, files):
    """Of a one-stage and a DETR head; why nothing is OOD is said."""
    cfg = load(ROOT / f'configs/posthoc/{name}_shapes.py')
    cfg.model.bbox_head.scores = ['energy', 'msp']
    cfg.model.test_cfg.score_thr = 0.0
    plain = copy.deepcopy(cfg.model)
    plain.bbox_head.type = plain.bbox_head.pop('of')
    del plain.bbox_head.scores
    torch.manual_seed(0)
    path = str(tmp_path / 'plain.pth')
    model = MODELS.build(plain)
    model.init_weights()  # a DETR's level embedding is not filled before
    state = model.state_dict()
    assert not any('threshold' in key for key in state)
    torch.save(dict(state_dict=state), path)
    with pytest.warns(UserWarning, match='no ood_threshold, no box'):
        inferencer = OODDetInferencer(
            cfg, path, device='cpu', show_progress=False
        )
    (one,) = boxes(inferencer, files[0])
    assert len(one['ood_scores']) == len(one['bboxes']) > 0
    assert np.isfinite(one['ood_scores']).all()
    assert one['ood_threshold'] is None and not any(one['is_ood'])


def test_every_picture_has_files_of_its_own(inferencer, files, tmp_path):
    out = tmp_path / 'out'
    found = boxes(inferencer, files, out_dir=str(out), no_save_pred=False)
    names = ['1', '1_2', '2']
    preds = sorted(path.name for path in (out / 'preds').iterdir())
    assert preds == [f'{name}.json' for name in names]
    drawn = sorted(path.name for path in (out / 'vis').iterdir())
    assert drawn == ['1.png', '1_2.png', '2.jpg']
    for name, one in zip(names, found):
        stored = json.loads((out / f'preds/{name}.json').read_text())
        assert stored == one
    again = boxes(inferencer, files[1], out_dir=str(out), no_save_pred=False)
    stored = json.loads((out / 'preds/1_2.json').read_text())
    assert stored['img_path'] == again[0]['img_path'] == files[1]
    assert len(list((out / 'preds').iterdir())) == 3
    options = dict(no_save_pred=False, return_datasamples=True)
    inferencer(files[2], out_dir=tmp_path / 'samples', **options)
    assert (tmp_path / 'samples/preds/2.json').is_file()


def test_a_drawing_does_not_overwrite_a_picture(inferencer, tmp_path):
    path = tmp_path / 'vis/a.png'
    path.parent.mkdir()
    cv2.imwrite(str(path), np.zeros((40, 40, 3), np.uint8))
    content = path.read_bytes()
    with pytest.raises(ValueError, match='a.png is one of the pictures'):
        inferencer(str(path.parent), out_dir=str(tmp_path))
    assert path.read_bytes() == content


def test_arrays_are_as_the_files_of_the_same_pictures(
    inferencer, files, tmp_path
):
    picture = cv2.imread(files[0])
    gray = picture[..., 0]
    cv2.imwrite(str(tmp_path / 'gray.png'), gray)
    alpha = np.dstack([picture, gray])
    arrays = [picture, gray, gray[..., None], alpha]
    out = str(tmp_path / 'out')
    options = dict(no_save_pred=False, return_vis=True)
    given = inferencer(arrays, out_dir=out, **options)
    paths = [files[0], *[str(tmp_path / 'gray.png')] * 2, files[0]]
    expected = inferencer(paths, **options)
    for i in range(4):
        one, other = given['predictions'][i], expected['predictions'][i]
        assert one['img_path'] is None
        np.testing.assert_allclose(one['bboxes'], other['bboxes'], atol=1e-3)
        stored = tmp_path / f'out/preds/{i:08d}.json'
        assert json.loads(stored.read_text()) == one
        drawn = cv2.imread(str(tmp_path / f'out/vis/{i:08d}.png'))
        np.testing.assert_array_equal(
            drawn[..., ::-1], given['visualization'][i]
        )
        difference = drawn[..., ::-1] - expected['visualization'][i].astype(
            int
        )
        assert np.abs(difference).mean() < 1


def test_a_broken_picture_is_named(inferencer, files, tmp_path):
    path = tmp_path / 'broken.png'
    cut = Path(files[0]).read_bytes()[:60]
    for content in (b'', b'no picture', cut):
        path.write_bytes(content)
        with pytest.raises(ValueError, match='broken.png cannot be read as a'):
            inferencer([files[0], str(path)])


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
def test_predictions_of_half_precision(
    inferencer, files, monkeypatch, tmp_path, dtype
):
    stock = type(inferencer.model).test_step

    def halve(self, data):
        samples = stock(self, data)
        for sample in samples:
            fields = sample.pred_instances
            for name, value in fields.items():
                if value.is_floating_point():
                    fields.set_data({name: value.to(dtype)})
        return samples

    monkeypatch.setattr(type(inferencer.model), 'test_step', halve)
    options = dict(out_dir=str(tmp_path), no_save_pred=False)
    (one,) = boxes(inferencer, files[0], **options)
    monkeypatch.undo()
    (full,) = boxes(inferencer, files[0])
    np.testing.assert_allclose(one['scores'], full['scores'], rtol=0.01)
    assert (tmp_path / 'vis/1.png').is_file()


def test_scores_that_are_no_numbers(inferencer, files, monkeypatch, tmp_path):
    stock = inferencer.part.scores.forward

    def spoil(*args):
        scores = stock(*args)
        odd = [float('nan'), float('inf'), float('-inf')]
        scores['energy'][:3] = torch.tensor(odd)
        return scores

    monkeypatch.setattr(inferencer.part.scores, 'forward', spoil)
    options = dict(out_dir=str(tmp_path), no_save_pred=False)
    with pytest.warns(UserWarning, match="1.png: the score 'energy' of 1 box"):
        (one,) = boxes(inferencer, files[0], pred_score_thr=0, **options)
    assert one['is_ood'][:3] == [False, True, False]
    stored = json.loads((tmp_path / 'preds/1.json').read_text())
    assert stored['ood_scores'][:3] == [None] * 3
    assert stored['ood_scores'][3:] == one['ood_scores'][3:]
    assert (tmp_path / 'vis/1.png').is_file()


def test_no_box_at_all(build, files, tmp_path):
    def nothing(cfg):
        cfg.model.test_cfg.rcnn.score_thr = 1.0

    options = dict(out_dir=str(tmp_path), no_save_pred=False)
    (one,) = boxes(build(nothing), files[0], **options)
    lists = ('bboxes', 'labels', 'class_names', 'counts', 'is_ood')
    assert [one[key] for key in lists] == [[]] * len(lists)
    drawn = cv2.imread(str(tmp_path / 'vis/1.png'))
    picture = cv2.imread(files[0])
    picture = enlarge(picture, enlarging(*picture.shape[:2]))
    np.testing.assert_array_equal(drawn[: len(picture)], picture)
    assert json.loads((tmp_path / 'preds/1.json').read_text()) == one


def plain_set(cfg):
    first = cfg.test_dataloader.dataset.datasets[0]
    cfg.test_dataloader.dataset = first


def repeated(cfg):
    cfg.test_dataloader.dataset = dict(
        type='RepeatDataset', times=2, dataset=cfg.test_dataloader.dataset
    )


def only_validation(cfg):
    plain_set(cfg)
    cfg.val_dataloader = cfg.pop('test_dataloader')


def bare(cfg):
    """Without what need not be there; a loader with another prefix."""
    for key in ('visualizer', 'default_hooks', 'test_evaluator'):
        cfg.pop(key)
    for key in ('custom_hooks', 'train_dataloader'):
        cfg[key] = None
    cfg.test_dataloader.dataset.datasets[0].pipeline[0] = dict(
        type='mmcv.LoadImageFromFile'
    )


def new_style(cfg):
    """Types are classes."""
    plain_set(cfg)
    kinds = (LoadImageFromFile, Resize, LoadAnnotations, PackDetInputs)
    for step, kind in zip(cfg.test_dataloader.dataset.pipeline, kinds):
        step.type = kind
    cfg.test_dataloader.dataset.type = IDCocoDataset
    cfg.visualizer.type = OODDetLocalVisualizer
    cfg.model.type, cfg.default_scope = FasterRCNN, None


@pytest.mark.parametrize(
    'change', [new_style, plain_set, repeated, only_validation, bare]
)
def test_forms_of_the_config(build, inferencer, files, change, tmp_path):
    (one,) = boxes(build(change), files[0], out_dir=str(tmp_path))
    (expected,) = boxes(inferencer, files[0])
    assert one['class_names'] == expected['class_names']
    np.testing.assert_allclose(one['scores'], expected['scores'], rtol=1e-4)
    assert (tmp_path / 'vis/1.png').is_file()


def test_a_config_without_a_pipeline(build):
    def none(cfg):
        cfg.test_dataloader = cfg.val_dataloader = None

    with pytest.raises(ValueError, match='config has no test_dataloader'):
        build(none)


def test_names_of_a_checkpoint_that_has_none(build, weights, tmp_path, files):
    """Those of the config, not mmdet's COCO classes; else numbers."""
    state = torch.load(weights, weights_only=True)
    path = str(tmp_path / 'nameless.pth')
    torch.save(dict(state_dict=state['state_dict']), path)
    (one,) = boxes(build(weights=path), files[0])
    assert one['class_names'] == [CLASSES[i] for i in one['labels']]

    def nameless(cfg):
        cfg.test_dataloader.dataset.datasets[0].pop('metainfo')

    with pytest.warns(UserWarning, match='names the 3 classes of the model'):
        inferencer = build(nameless, weights=path)
    (one,) = boxes(inferencer, files[0])
    assert one['class_names'] == [f'class {i}' for i in one['labels']]


def test_masks_come_along(build, inferencer, files):
    def mask_rcnn(cfg):
        cfg.model.type, head = 'MaskRCNN', cfg.model.roi_head
        channels = head.bbox_roi_extractor.out_channels
        layer = dict(type='RoIAlign', output_size=7, sampling_ratio=2)
        head.mask_roi_extractor = dict(
            head.bbox_roi_extractor, roi_layer=layer
        )
        head.mask_head = dict(
            type='FCNMaskHead', num_convs=1, in_channels=channels,
            conv_out_channels=8, num_classes=3,
        )  # fmt: skip
        cfg.model.test_cfg.rcnn.mask_thr_binary = 0.5

    (one,) = boxes(build(mask_rcnn), files[0], return_vis=True)
    (plain,) = boxes(inferencer, files[0])
    assert len(one['masks']) == len(plain['scores']) > 0
    assert one['masks'][0]['size'] == [48, 64]
    assert one['labels'] == plain['labels']
    for key in ('bboxes', 'scores', 'ood_scores'):
        np.testing.assert_allclose(one[key], plain[key], rtol=1e-3, atol=1e-3)


def test_a_plain_detector(build):
    def plain(cfg):
        head = cfg.model.roi_head
        cfg.model.roi_head = dict(
            head, type='mmdet.StandardRoIHead', _delete_=True
        )
        for key in ('_delete_', 'scores'):
            cfg.model.roi_head.pop(key)

    with pytest.raises(ValueError, match='OODHead, got FasterRCNN'):
        build(plain)


@pytest.mark.parametrize('size', [0, -1, 1.5, '2'])
def test_batches_of_no_size(inferencer, files, size):
    with pytest.raises(ValueError, match=f'batch_size must .* got {size!r}'):
        inferencer(files, batch_size=size)


@pytest.mark.parametrize('value', [float('nan'), 'x', [1]])
def test_a_confidence_that_is_no_number(inferencer, files, value):
    with pytest.raises(ValueError, match='pred_score_thr must be a number'):
        inferencer(files, pred_score_thr=value)


def test_weights_of_another_model_are_refused(build, tmp_path):
    torch.save(dict(state_dict={'backbone.x': torch.zeros(1)}), tmp_path / 'a')
    with pytest.raises(ValueError, match="weights .* 'backbone.x', is one of"):
        build(weights=str(tmp_path / 'a'))


def test_a_folder_that_cannot_be_written(inferencer, files):
    with pytest.raises(NotWrittenError, match=f'cannot write {files[0]}/vis'):
        inferencer(files[1], out_dir=files[0])
