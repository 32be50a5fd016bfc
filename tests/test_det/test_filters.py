"""A detector as the judge of a painting."""

import numpy as np
import pytest
import torch
from mmengine.structures import InstanceData

import mmood.det.filters as module
from mmood.det.filters import Recognised
from mmood.registry import MODELS, PAINTERS

POSTHOC = 'posthoc/faster-rcnn_r18_fpn_shapes.py'
BOX = (10, 10, 30, 30)
OPTIONS = {
    'model.test_cfg.rcnn.score_thr': 0.0,
    'model.roi_head.scores': ['energy'],  # needs no fit
}


@pytest.fixture
def files(tiny_config, tmp_path):
    """Function: an untrained detector's config and checkpoint, on disk.

    Its data set does not exist, as on a machine that only generates.
    """

    def make(**meta):
        cfg = tiny_config(POSTHOC, tmp_path / 'no data', tmp_path, **OPTIONS)
        cfg.dump(tmp_path / 'config.py')
        content = dict(state_dict=MODELS.build(cfg.model).state_dict())
        content['meta'] = meta
        torch.save(content, tmp_path / 'model.pth')
        files = ('config.py', 'model.pth')
        return {
            key: str(tmp_path / name)
            for key, name in zip(('config', 'checkpoint'), files)
        }

    return make


CLASSES = ('circle', 'bar', 'triangle', 'star',
           'cross', 'ring', 'crescent', 'arrow')  # fmt: skip
META = dict(dataset_meta=dict(classes=CLASSES))


@pytest.fixture
def judge(files):
    return PAINTERS.build(
        dict(type='mmood.Recognised', device='cpu', **files(**META))
    )


@pytest.fixture
def stub(monkeypatch):
    """Function: let every inference find these; what it was given."""

    def find(boxes, scores, names):
        labels = [CLASSES.index(name) for name in names]
        found = InstanceData(
            bboxes=torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
            scores=torch.tensor(scores, dtype=torch.float32),
            labels=torch.tensor(labels, dtype=torch.int64),
        )
        seen = []

        def inference(model, image, pipeline):
            seen.append(image)
            return type('Sample', (), dict(pred_instances=found))

        monkeypatch.setattr(module, 'inference_detector', inference)
        return seen

    return find


def picture():
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (64, 64, 3), np.uint8)


def test_a_real_detector_is_asked(judge, monkeypatch):
    """The measure is what the model itself says of the BGR picture."""
    after = picture()
    inputs = torch.from_numpy(after[..., ::-1].copy()).permute(2, 0, 1)
    inputs = torch.nn.functional.interpolate(
        inputs[None].float(), (96, 96), mode='bilinear'
    )[0]
    seen = []
    model = judge.model
    step = model.test_step
    monkeypatch.setattr(
        model, 'test_step', lambda data: seen.append(data) or step(data)
    )
    value = judge(picture()[::-1], after, BOX, 'bar')
    assert 0 <= value <= 1
    np.testing.assert_allclose(
        seen[0]['inputs'][0].float(), inputs.round(), atol=1.01
    )
    with torch.no_grad():
        found = step(seen[0])[0].pred_instances
    assert len(found) > 0
    box = found.bboxes[0].tolist()
    name = CLASSES[int(found.labels[0])]
    confidence = judge(after, after, box, name)
    assert confidence == pytest.approx(float(found.scores[0]))
    assert judge(after, after, box, name) == confidence


def test_largest_confidence_of_the_class_at_the_box(judge, stub):
    boxes = [
        BOX,
        BOX,
        (10, 10, 30, 20),  # IoU 0.5
        (10, 10, 30, 19),  # 0.45
        (40, 40, 60, 60),
        BOX,
    ]
    names = ['bar', 'bar', 'ring', 'ring', 'star', 'cross']
    seen = stub(boxes, [0.2, 0.3, 0.6, 0.7, 0.8, 0.9], names)
    after = picture()
    expected = dict(bar=0.3, ring=0.6, star=0, cross=0.9, circle=0)
    for name, value in expected.items():
        assert judge(after, after, BOX, name) == pytest.approx(value)
    np.testing.assert_array_equal(seen[0], after[..., ::-1])
    judge.any_class = True
    assert judge(after, after, BOX, 'bar') == pytest.approx(0.9)
    judge.iou = 0.95
    stub(boxes[2:3], [0.9], ['bar'])
    assert judge(after, after, BOX, 'bar') == 0


def test_no_detection_at_all(judge, stub):
    stub([], [], [])
    assert judge(picture(), picture(), BOX, 'bar') == 0
    assert judge.name == 'recognised'


def test_the_limit_itself_is_kept(judge):
    assert judge.max_confidence == 0.5
    assert judge.keeps(0.0) and judge.keeps(0.5) and not judge.keeps(0.51)


def test_a_class_that_the_detector_does_not_know(judge, stub):
    stub([BOX], [0.9], ['bar'])
    judge.check_classes(['bar', 'ring'])
    with pytest.raises(ValueError, match=r"\['zebra'\].*any_class=True"):
        judge(picture(), picture(), BOX, 'zebra')
    judge.any_class = True
    assert judge(picture(), picture(), BOX, 'zebra') == pytest.approx(0.9)


def test_a_checkpoint_without_class_names(files):
    """mmdet would take the 80 of COCO for the 8 of the model."""
    paths = files()
    with pytest.raises(ValueError, match='names 0 classes, and .* has 8'):
        Recognised(**paths, device='cpu')


@pytest.mark.parametrize(
    ('classes', 'message'),
    [
        (CLASSES[:7], 'names 7 classes, and model.roi_head has 8'),
        ((*CLASSES[:7], 'bar'), r"names \['bar'\] more than once"),
    ],
)
def test_class_names_that_do_not_fit_the_model(files, classes, message):
    paths = files(dataset_meta=dict(classes=classes))
    with pytest.raises(ValueError, match=message):
        Recognised(**paths, device='cpu')


@pytest.mark.parametrize('key', ['max_confidence', 'iou'])
@pytest.mark.parametrize('value', [-0.1, 1.1])
def test_refuses_limits_out_of_range(key, value):
    with pytest.raises(ValueError, match=f'{key} must be in .*got {value}'):
        Recognised('config.py', 'model.pth', **{key: value})


def test_every_rank_has_its_device(monkeypatch):
    assert module._own_device() == 'cpu' or torch.cuda.is_available()
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    monkeypatch.setenv('LOCAL_RANK', '3')
    assert module._own_device() == 'cuda:3'
    monkeypatch.delenv('LOCAL_RANK')
    assert module._own_device() == 'cuda:0'
