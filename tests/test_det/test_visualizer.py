"""What is written and in which colour on a detector's pictures."""

import cv2
import numpy as np
import pytest
import torch
from mmdet.structures import DetDataSample
from mmdet.visualization import DetLocalVisualizer
from mmengine.structures import InstanceData

from mmood.det import visualizer
from mmood.det.visualizer import OODDetLocalVisualizer

BOXES = torch.tensor([[10.0, 30, 50, 80], [60, 30, 110, 80]])


@pytest.fixture
def draw(tmp_path, monkeypatch):
    """Function: picture (RGB) and texts of annotations or predictions."""
    texts = []
    stock = DetLocalVisualizer._draw_instances

    def record(self, image, instances, classes, palette):
        texts.extend(instances.label_names)
        return stock(self, image, instances, classes, palette)

    monkeypatch.setattr(DetLocalVisualizer, '_draw_instances', record)

    def run(
        classes=('cat', 'dog'),
        origin=None,
        pred_score_thr=0.3,
        **parts,
    ):
        texts.clear()
        drawer = OODDetLocalVisualizer('boxes', save_dir=str(tmp_path))
        drawer.dataset_meta = dict(classes=classes)
        meta = dict(origin=origin) if origin else None
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
            draw_gt='gt_instances' in parts,
            out_file=str(path),
            pred_score_thr=pred_score_thr,
        )
        return cv2.imread(str(path))[..., ::-1], list(texts)

    return run


def color_at(picture, box):
    """The colour of a box's lower edge, where no text is."""
    x1, _, x2, y2 = (int(v) for v in box)
    edge = picture[y2 - 2 : y2 + 3, x1 + 10 : x2 - 10].reshape(-1, 3)
    return edge[edge.astype(int).sum(1).argmax()]


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
        color = color_at(picture, box) / np.array(visualizer.OBJECT_COLOR)
        np.testing.assert_allclose(color[:2], color[0], atol=0.1)
        assert color[0] > 0.5


def test_the_set_says_whether_its_objects_are_known(draw):
    """Numbers of an OOD set's categories are not those of the classes."""
    objects = dict(labels=torch.tensor([1, 0]))
    _, texts = draw(origin='far', gt_instances=objects)
    assert texts == ['object', 'object']
    _, texts = draw(origin='id', gt_instances=objects)
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
    assert color_at(found[0], BOXES[1]).sum() > 100


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
def test_predictions_of_half_precision(draw, dtype):
    fields = dict(
        labels=torch.tensor([1, 0]),
        scores=torch.tensor([0.75, 0.5], dtype=dtype),
        is_ood=torch.tensor([False, True]),
        ood_scores=torch.tensor([-3.0, float('inf')], dtype=dtype),
    )
    _, texts = draw(pred_instances=fields)
    assert texts == ['dog 0.75', 'unknown inf']


def test_a_stock_detectors_predictions_are_known(draw):
    scores = torch.tensor([0.75, 0.5])
    labels = torch.tensor([1, 0])
    _, texts = draw(pred_instances=dict(labels=labels, scores=scores))
    assert texts == ['dog 0.75', 'cat 0.50']
    # The label behind the classes is that of an open-set head.
    labels = torch.tensor([2, 0])
    _, texts = draw(pred_instances=dict(labels=labels, scores=scores))
    assert texts == ['object 0.75', 'cat 0.50']


def test_known_and_unknown_predictions(draw):
    fields = dict(
        labels=torch.tensor([1, 0]),
        scores=torch.tensor([0.75, 0.5]),
        is_ood=torch.tensor([False, True]),
        ood_scores=torch.tensor([-3.0, 12.25]),
    )
    picture, texts = draw(pred_instances=fields)
    assert texts == ['dog 0.75', 'unknown 12.2']
    for box, color in zip(
        BOXES, (visualizer.KNOWN_COLOR, visualizer.UNKNOWN_COLOR)
    ):
        found = color_at(picture, box).astype(float)
        direction = found @ np.array(color) / np.linalg.norm(color)
        assert direction > 0.98 * np.linalg.norm(found) > 50
