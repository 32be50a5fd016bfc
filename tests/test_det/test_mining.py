"""Unknown boxes of a detector, as shards."""

import cv2
import numpy as np
import pytest
import torch
from mmcv.ops import nms

import dense_heads
import query_detectors
from mmood.det import OODDetInferencer
from mmood.det.mining import Choice, UnknownFinder
from mmood.scores import energy
from tiny_models import CLASSES, CONFIDENCE, LIMIT, write_detector


@pytest.fixture(scope='module')
def detector(tmp_path_factory):
    """Config and checkpoint; the limits split its boxes."""
    cfg, path = write_detector(tmp_path_factory.mktemp('detector'))
    return cfg, str(path)


@pytest.fixture(scope='module')
def pictures(tmp_path_factory):
    """Six, of two sizes, the fourth is broken."""
    folder = tmp_path_factory.mktemp('pictures')
    rng = np.random.default_rng(0)
    paths = []
    for i in range(6):
        picture = rng.integers(0, 255, (48, 64 + 16 * (i % 2), 3), np.uint8)
        paths.append(folder / f'{i}.png')
        cv2.imwrite(str(paths[-1]), cv2.GaussianBlur(picture, (9, 9), 3))
    paths[3].write_bytes(b'broken')
    return paths


@pytest.fixture(scope='module')
def find(detector, pictures):
    """Function: a finder by a choice, and the shard of the pictures."""

    def found(least=-np.inf, batch_size=1, paths=pictures, **choice):
        finder = UnknownFinder(*detector, Choice(**choice), device='cpu')
        with pytest.warns(UserWarning, match=r'left out: .*3\.png'):
            shard = finder.find(paths, 10, least, batch_size=batch_size)
        return finder, shard

    return found


def expected(detector, path, score='energy', limit=LIMIT, iou=0.5):
    """The unknown boxes of a picture, by the inferencer."""
    inferencer = OODDetInferencer(*detector, 'cpu', show_progress=False)
    sample = inferencer(str(path), return_datasamples=True)['predictions'][0]
    boxes = sample.pred_instances
    scores = boxes.get(f'ood_scores_{score}')
    boxes.judged = scores
    kept = (scores > limit) & (boxes.max_class_scores >= CONFIDENCE)
    size = torch.tensor(sample.ori_shape[::-1]).repeat(2)
    boxes.bboxes = boxes.bboxes.clamp(min=0).minimum(size)
    kept &= (boxes.bboxes[:, 2:] - boxes.bboxes[:, :2] >= 1).all(1)
    boxes = boxes[kept]
    return boxes[nms(boxes.bboxes, boxes.scores, iou)[1]]


@pytest.mark.parametrize('score', ['energy', 'msp'])
def test_boxes_are_the_unknown_ones_without_doubles(
    find, detector, pictures, score
):
    limit = LIMIT if score == 'energy' else -0.5
    given = {} if score == 'energy' else dict(score=score, threshold=limit)
    finder, shard = find(**given)
    assert finder.classes == list(CLASSES)
    total = 0
    for place in (0, 1, 5):
        own = shard.image == 10 + place
        boxes = expected(detector, pictures[place], score, limit)
        total += len(boxes)
        pairs = (
            (shard.boxes, boxes.bboxes),
            (shard.confidence, boxes.scores),
            (shard.ood_score, boxes.judged),
            (shard.label, boxes.labels),
        )
        for found, wanted in pairs:
            np.testing.assert_allclose(
                found[own], wanted, rtol=1e-4, atol=1e-4
            )
    assert total > 3 and 13 not in shard.image
    np.testing.assert_array_equal(
        shard.sizes, [(64, 48), (80, 48), (64, 48), (0, 0), (64, 48), (80, 48)]
    )


def test_features_are_those_that_the_scores_saw(find):
    finder, shard = find()
    layer = finder._inferencer.part.box_head.fc_cls
    features = torch.from_numpy(shard.features.astype(np.float32))
    with torch.no_grad():
        logits = layer(features)[:, : len(CLASSES)]
    np.testing.assert_allclose(energy(logits), shard.ood_score, atol=0.02)


@pytest.mark.parametrize('family', ['dense', 'query'])
def test_features_of_other_families(family):
    if family == 'dense':
        head = dense_heads.ood_head('fcos')
        predict, model = dense_heads.predict, head
    else:
        model = query_detectors.ood_detector('dino')
        predict, head = query_detectors.predict, model.bbox_head
    head.keeps_samples = True
    samples = [boxes.samples for boxes in predict(model)]
    head.keeps_samples, head.keeps_features = False, True
    head.wanted = head.scores.needed_for('max_logit')
    boxes = predict(model)
    assert sum(map(len, boxes)) > 0
    for one, seen in zip(boxes, samples):
        torch.testing.assert_close(one.features, seen.features)
        assert 'ood_scores_energy' not in one
        torch.testing.assert_close(
            one.ood_scores_max_logit, -seen.logits.amax(1)
        )


def test_the_batch_changes_nothing(find, pictures):
    """Of pictures of one size, which no padding makes others."""
    paths = [pictures[i] for i in (0, 2, 3, 4)]
    _, one = find(paths=paths)
    _, three = find(paths=paths, batch_size=3)
    assert len(one) > 3
    for name, value in vars(one).items():
        if name in ('crops', 'crop_sizes'):
            continue
        np.testing.assert_allclose(
            getattr(three, name).astype(float), value, rtol=2e-3, atol=2e-3
        )


def test_by_rank_all_boxes_may_be_unknown(find):
    _, every = find(by_rank=True)
    least = float(np.median(every.ood_score))
    _, unknown = find(threshold=least)
    assert 0 < len(unknown) < len(every)
    _, high = find(by_rank=True, least=least)
    wanted = every.ood_score >= least
    np.testing.assert_array_equal(high.boxes, every.boxes[wanted])


def test_crops_are_the_boxes_with_a_margin(find, pictures):
    _, shard = find(margin=0.0, crop_size=20)
    for i in range(len(shard)):
        crop = cv2.imdecode(np.frombuffer(shard.crop(i), np.uint8), 1)
        x1, y1, x2, y2 = shard.boxes[i]
        whole = cv2.imread(str(pictures[shard.image[i] - 10]))
        whole = whole[int(y1) : int(np.ceil(y2)), int(x1) : int(np.ceil(x2))]
        assert max(crop.shape) <= 20
        share = min(1, 20 / max(whole.shape[:2]))
        np.testing.assert_allclose(
            crop.shape[:2], np.array(whole.shape[:2]) * share, atol=0.6
        )
        means = crop.mean((0, 1)), whole.mean((0, 1))
        np.testing.assert_allclose(*means, atol=8)


@pytest.mark.parametrize(
    'box', [(0, 0, 1, 1), (63, 47, 64, 48), (0.2, 0.3, 0.7, 0.8)]
)
def test_crops_of_one_pixel(find, box):
    finder, _ = find(margin=0.0)
    picture = np.arange(48 * 64 * 3, dtype=np.uint8).reshape(48, 64, 3)
    content = finder._crop(picture, np.array(box))
    crop = cv2.imdecode(np.frombuffer(content, np.uint8), 1)
    assert crop.shape == (1, 1, 3)
    x, y = int(box[0]), int(box[1])
    assert abs(crop[0, 0].astype(int) - picture[y, x]).max() < 40


def test_pictures_of_one_pixel_do_no_harm(find, tmp_path, pictures):
    path = tmp_path / 'one.png'
    cv2.imwrite(str(path), np.zeros((1, 1, 3), np.uint8))
    _, shard = find(paths=[path, pictures[3]], by_rank=True, confidence=0.0)
    assert shard.sizes.tolist() == [[1, 1], [0, 0]]
    assert (shard.boxes >= 0).all() and (shard.boxes <= 1).all()


def test_no_threshold_is_refused_with_the_remedy(detector, tmp_path):
    cfg, path = detector
    content = torch.load(path, weights_only=True)
    for key in list(content['state_dict']):
        if 'threshold' in key:
            del content['state_dict'][key]
    other = tmp_path / 'other.pth'
    torch.save(content, other)
    with pytest.raises(ValueError, match='no threshold.*fit_scores.*--top'):
        UnknownFinder(cfg, str(other), Choice(), device='cpu')
    finder = UnknownFinder(cfg, str(other), Choice(by_rank=True), device='cpu')
    assert finder.confidence == 0.3
    with pytest.raises(ValueError, match="one of .*'energy'.*got 'knn'"):
        UnknownFinder(cfg, path, Choice(score='knn'), device='cpu')


@pytest.mark.parametrize(
    ('name', 'value'),
    [('iou', 1.5), ('min_size', 0), ('margin', -1), ('crop_size', 0)],
)
def test_what_cannot_be_is_refused(name, value):
    with pytest.raises(ValueError, match=f'{name} must be from .*{value}'):
        Choice(**{name: value})
