"""What is written and in which colour on a detector's pictures."""

import cv2
import numpy as np
import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData

from mmood.det import visualizer
from mmood.det.visualizer import OODDetLocalVisualizer

BOXES = torch.tensor([[10.0, 30, 50, 80], [60, 30, 110, 80]])


@pytest.fixture
def draw(tmp_path, monkeypatch):
    """Function: picture (RGB) and texts of annotations or predictions.

    The picture is of (100, 120), black, hence enlarged by 4.
    """
    texts = []
    stock = visualizer.draw_boxes

    def record(image, boxes, line_width):
        texts.extend(one.text for one in boxes)
        return stock(image, boxes, line_width)

    monkeypatch.setattr(visualizer, 'draw_boxes', record)

    def run(
        classes=('cat', 'dog'),
        meta=None,
        pred_score_thr=0.3,
        legend=True,
        **parts,
    ):
        texts.clear()
        drawer = OODDetLocalVisualizer(
            'boxes', save_dir=str(tmp_path), legend=legend
        )
        drawer.dataset_meta = dict(classes=classes)
        sample = DetDataSample(metainfo=meta)
        for name, fields in parts.items():
            fields = dict(dict(bboxes=BOXES), **fields)
            sample.set_data({name: InstanceData(**fields)})
        image = np.zeros((100, 120, 3), np.uint8)
        path = tmp_path / 'a.png'
        drawer.add_datasample(
            'a',
            image,
            sample,
            out_file=str(path),
            pred_score_thr=pred_score_thr,
        )
        return cv2.imread(str(path))[..., ::-1], list(texts)

    return run


def color_at(picture, box):
    """The colour of a box's right edge, in the middle."""
    _, y1, x2, y2 = (4 * int(v) for v in box)
    return tuple(picture[(y1 + y2) // 2, x2].tolist())


@pytest.mark.parametrize(
    ('labels', 'classes', 'names'),
    [
        ([1, 0], ('cat', 'dog'), ['dog', 'cat']),
        ([1, -1], ('cat', 'dog'), ['dog', 'outlier']),
        ([-1, -1], ('cat',), ['outlier', 'outlier']),
        ([5, 0], ('cat', 'dog'), ['object', 'object']),
        ([0, -1], None, ['object', 'object']),
    ],
)
def test_names_of_annotated_objects(draw, labels, classes, names):
    labels = torch.tensor(labels)
    picture, texts = draw(classes, gt_instances=dict(labels=labels))
    assert texts == names
    for box in BOXES:
        assert color_at(picture, box) == visualizer.OBJECT_COLOR


def test_the_set_says_whether_its_objects_are_known(draw):
    """Numbers of an OOD set's categories are not those of the classes."""
    objects = dict(labels=torch.tensor([1, 0]))
    _, texts = draw(meta=dict(origin='far'), gt_instances=objects)
    assert texts == ['object', 'object']
    _, texts = draw(meta=dict(origin='id'), gt_instances=objects)
    assert texts == ['dog', 'cat']


def test_boxes_that_are_drawn(draw):
    """By their own confidence, not by the best one of their RoI."""
    fields = dict(
        labels=torch.tensor([1, 0]),
        scores=torch.tensor([0.25, 0.5]),
        max_class_scores=torch.tensor([0.5, 0.5]),
        is_ood=torch.tensor([False, False]),
        ood_scores=torch.tensor([-3.0, 12.25]),
    )
    for limit in (0.3, 0.5):
        found = draw(pred_instances=fields, pred_score_thr=limit)
        assert found[1] == ['cat 0.50']
    # A box that is none leaves the others.
    fields['bboxes'] = BOXES.clone()
    fields['bboxes'][0, 0] = float('nan')
    found = draw(pred_instances=fields, pred_score_thr=0.0)
    assert found[1] == ['cat 0.50']
    assert color_at(found[0], BOXES[1]) == visualizer.KNOWN_COLOR
    assert not any(color_at(found[0], BOXES[0]))


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
def test_predictions_of_half_precision(draw, dtype):
    fields = dict(
        labels=torch.tensor([1, 0]),
        scores=torch.tensor([0.75, 0.5], dtype=dtype),
        is_ood=torch.tensor([False, True]),
        ood_scores=torch.tensor([-3.0, float('inf')], dtype=dtype),
    )
    _, texts = draw(pred_instances=fields)
    assert texts == ['dog 0.75', 'unknown (cat?)\nscore infinite']


def test_a_stock_detectors_predictions_are_known(draw):
    scores = torch.tensor([0.75, 0.5])
    labels = torch.tensor([1, 0])
    _, texts = draw(pred_instances=dict(labels=labels, scores=scores))
    assert texts == ['cat 0.50', 'dog 0.75']
    # The label behind the classes is that of an open-set head.
    labels = torch.tensor([2, 0])
    _, texts = draw(pred_instances=dict(labels=labels, scores=scores))
    assert texts == ['cat 0.50', 'object 0.75']


def test_known_and_unknown_predictions(draw):
    fields = dict(
        labels=torch.tensor([1, 0]),
        scores=torch.tensor([0.75, 0.5]),
        is_ood=torch.tensor([False, True]),
        ood_scores=torch.tensor([-3.0, 12.25]),
    )
    meta = dict(ood_threshold=11.45, score_name='energy')
    picture, texts = draw(meta=meta, pred_instances=fields)
    assert texts == ['dog 0.75', 'unknown (cat?)\n0.8 above the limit']
    assert color_at(picture, BOXES[0]) == visualizer.KNOWN_COLOR
    assert color_at(picture, BOXES[1]) == visualizer.UNKNOWN_COLOR
    # Both colours are explained below, where nothing else is.
    below = picture[400:]
    for color in (visualizer.KNOWN_COLOR, visualizer.UNKNOWN_COLOR):
        assert (below == color).all(-1).sum() > 100
    without, _ = draw(pred_instances=fields, legend=False)
    assert without.shape == (400, 480, 3)


def test_what_the_detector_would_have_said_of_an_open_set_label(draw):
    fields = dict(
        labels=torch.tensor([2, 2]),
        scores=torch.tensor([0.75, 0.5]),
        is_ood=torch.tensor([True, True]),
        ood_scores=torch.tensor([1.0, 3.0]),
    )
    _, texts = draw(meta=dict(ood_threshold=2.0), pred_instances=fields)
    assert texts == ['unknown\n1 above the limit', 'unknown']


def test_annotations_and_predictions_side_by_side(draw):
    objects = dict(labels=torch.tensor([1, 0]))
    boxes = dict(objects, scores=torch.tensor([0.75, 0.5]))
    both, _ = draw(gt_instances=objects, pred_instances=boxes)
    assert both.shape[1] == 960
    left, right = both[:, :480], both[:, 480:]
    assert color_at(left, BOXES[0]) == visualizer.OBJECT_COLOR
    assert color_at(right, BOXES[0]) == visualizer.KNOWN_COLOR


def test_pictures_of_one_size_are_drawn_in_one_size(draw):
    """As a video wants it."""
    none = dict(
        bboxes=torch.zeros(0, 4),
        labels=torch.zeros(0).long(),
        scores=torch.zeros(0),
    )
    boxes = dict(labels=torch.tensor([1, 0]), scores=torch.tensor([0.7, 0.5]))
    empty, _ = draw(pred_instances=none)
    full, _ = draw(pred_instances=boxes)
    assert empty.shape == full.shape and empty.shape[:2] > (400, 480)


def test_without_a_sample_the_picture_is_itself(tmp_path):
    drawer = OODDetLocalVisualizer(
        'plain', vis_backends=[dict(type='LocalVisBackend')],
        save_dir=str(tmp_path),
    )  # fmt: skip
    image = np.full((6, 8, 3), 77, np.uint8)
    drawer.add_datasample('x', image)
    (path,) = tmp_path.rglob('x_0.png')
    np.testing.assert_array_equal(cv2.imread(str(path)), image)
