"""Several views of an image: what merged boxes say of the unknown.

Shapes: K = 3 classes, images of 64 x 96 px.
"""

from types import SimpleNamespace

import pytest
import torch
from mmdet.models import DetTTAModel
from mmdet.structures import DetDataSample
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData
from torch import nn

import query_detectors
from dense_heads import annotated, maps, ood_head
from det_fit_helpers import Detector, batches
from helpers import assert_near
from mmood.det.models import OODDetTTAModel
from mmood.hooks import FitScoresHook
from mmood.hooks.after_training import unwrapped
from mmood.hooks.scored import scored
from mmood.registry import MODELS

NMS = ConfigDict(
    nms=dict(type='nms', iou_threshold=0.5), max_per_img=12
)  # fmt: skip
OWN = ('ood_scores', 'ood_scores_energy', 'is_ood', 'max_class_scores')


class Dense(nn.Module):
    """A one-stage head as a detector: views are maps."""

    def __init__(self):
        super().__init__()
        self.bbox_head = ood_head('retina')

    def test_step(self, data):
        found = annotated(len(data['inputs'][0]))
        results = self.bbox_head.predict(data['inputs'], found, rescale=True)
        for sample, boxes in zip(found, results):
            sample.pred_instances = boxes
        return found

    def views(self):
        return [maps(1, seed=1), maps(1, seed=2)]


class Query(nn.Module):
    """A DETR detector without its preprocessing: views are images."""

    def __init__(self):
        super().__init__()
        self.detector = query_detectors.ood_detector('deformable')
        self.bbox_head = self.detector.bbox_head

    def test_step(self, data):
        images = data['inputs']
        return self.detector.predict(
            images, query_detectors.samples(len(images))
        )

    def views(self):
        image = query_detectors.images(1)
        return [image, image.flip(-1)]


class RoI(Detector):
    """A two-stage head as a detector: views are its batches."""

    def __init__(self):
        super().__init__(scores=['energy'])

    def test_step(self, data):
        return super().test_step(data['inputs'])

    def views(self):
        return batches(2)


@pytest.fixture(params=[RoI, Dense, Query], ids=['roi', 'dense', 'query'])
def detector(request):
    model = request.param().eval()
    thresholds = scored(model).scores.thresholds
    # Between the scores of boxes, so that some are OOD.
    values = views_of(model)[0].pred_instances.ood_scores
    thresholds['energy'].fill_(values.median() + 1e-6)
    return model


@torch.no_grad()
def views_of(model):
    """What the model says of each view; the second one is a flipped image."""
    found = []
    for flip, view in enumerate(model.views()):
        (sample,) = model.test_step(dict(inputs=view))
        flips = dict(flip=bool(flip), flip_direction='horizontal')
        sample.set_metainfo({**flips, 'ori_shape': (128, 192)})
        found.append(sample)
    return found


def merged(kind, model, views):
    tta = kind(tta_cfg=NMS, module=model)
    return tta.merge_preds([[view.clone() for view in views]])[0]


def test_merged_boxes_are_mmdets_with_the_scores_of_their_view(detector):
    views = views_of(detector)
    plain = merged(DetTTAModel, detector, views).pred_instances
    boxes = merged(OODDetTTAModel, detector, views).pred_instances
    assert len(plain) > 2 and not set(OWN) & set(plain.keys())
    for field in ('bboxes', 'scores', 'labels'):
        assert_near(boxes[field], plain[field])
    flipped = views[1].pred_instances.bboxes.clone()
    flipped[:, 0::2] = 192 - flipped[:, [2, 0]]
    places = torch.cat([views[0].pred_instances.bboxes, flipped])
    all_views = InstanceData.cat([v.pred_instances for v in views])
    # The box of a view that lies there, of the same label and confidence.
    away = (boxes.bboxes[:, None] - places).abs().sum(2)
    away += (boxes.scores[:, None] - all_views.scores).abs()
    away += (boxes.labels[:, None] != all_views.labels) * 1e6
    origin = away.argmin(1)
    assert away.amin(1).max() < 1e-2
    for field in OWN:
        assert_near(boxes[field].float(), all_views[field][origin].float())
    assert boxes.is_ood.dtype == torch.bool and boxes.is_ood.any()


def test_no_box_in_any_view(detector):
    views = views_of(detector)
    for view in views:
        view.pred_instances = view.pred_instances[:0]
    boxes = merged(OODDetTTAModel, detector, views).pred_instances
    assert len(boxes) == 0
    assert all(boxes[field].shape == (0,) for field in OWN)


def test_a_box_in_one_view_alone(detector):
    views = views_of(detector)
    views[0].pred_instances = views[0].pred_instances[:0]
    views[1].pred_instances = views[1].pred_instances[:1]
    boxes = merged(OODDetTTAModel, detector, views).pred_instances
    assert_near(boxes.ood_scores, views[1].pred_instances.ood_scores)


def runner(model):
    data = SimpleNamespace(metainfo=dict(classes=('a', 'b', 'c')))
    loader = SimpleNamespace(dataset=data)
    return SimpleNamespace(model=model, test_dataloader=loader)


def test_mmdets_own_is_refused_with_the_remedy(detector):
    """Its boxes would have no scores, and the metric none to measure."""
    stock = runner(DetTTAModel(tta_cfg=NMS, module=detector))
    with pytest.raises(ValueError, match='without their OOD.*OODDetTTAModel'):
        FitScoresHook().before_test_epoch(stock)
    ours = runner(OODDetTTAModel(tta_cfg=NMS, module=detector))
    FitScoresHook().before_test_epoch(ours)
    assert unwrapped(ours) is unwrapped(stock) is detector


def test_a_detector_without_scores_is_no_business_of_ours():
    plain = query_detectors.plain_detector('deformable')
    model = DetTTAModel(tta_cfg=NMS, module=plain)
    FitScoresHook().before_test_epoch(runner(model))


def test_it_is_built_by_its_name_and_merges_views(detector):
    cfg = dict(type='mmood.OODDetTTAModel', tta_cfg=NMS, module=detector)
    model = MODELS.build(cfg)
    assert isinstance(model, OODDetTTAModel)
    (sample,) = model.merge_preds([views_of(detector)])
    assert isinstance(sample, DetDataSample)
    assert sample.pred_instances.ood_scores.isfinite().all()
