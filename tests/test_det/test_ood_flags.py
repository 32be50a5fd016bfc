"""The flag of painted objects, from the file to the packed sample."""

import json

import cv2
import numpy as np
import pytest
import torch
from mmengine.dataset import ConcatDataset, pseudo_collate

from helpers import write_coco
from mmood.det.datasets import OOD_LABEL
from mmood.registry import DATASETS, TRANSFORMS

CLASSES = ('cat', 'dog')
LOAD = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True),
]
PACK = dict(type='mmood.PackOODInputs', meta_keys=('img_id',))
KNOWN, OUTLIER = 100, 200  # the grey of objects
# Apart from each other; every second is an outlier.
BOXES = [
    *([1, 1, 10, 12], [14, 2, 20, 9], [37, 1, 10, 22], [2, 16, 9, 30]),
    *([14, 14, 20, 20], [14, 36, 4, 4], [22, 36, 5, 5], [30, 37, 17, 10]),
]


def flagged(folder, boxes, flags, **changes):
    """A set whose annotations have flags; ``changes`` are by key and id."""
    path = write_coco(folder, boxes, CLASSES)
    content = json.loads(path.read_text())
    for annotation, flag in zip(content['annotations'], flags):
        annotation['ood'] = flag
        for key, values in changes.items():
            if annotation['id'] in values:
                annotation[key] = values[annotation['id']]
    path.write_text(json.dumps(content))
    return path


def build(path, *transforms, kind='OODFlagCocoDataset', classes=CLASSES):
    return DATASETS.build(
        dict(
            type=f'mmood.{kind}',
            ann_file=str(path),
            data_prefix=dict(img=str(path.parent)),
            pipeline=[*LOAD, *transforms, PACK],
            metainfo=dict(classes=classes),
            serialize_data=False,  # which takes most of the time
        )
    )


@pytest.fixture
def painted(tmp_path):
    """An image whose pixels tell outliers from known objects."""
    flags = [i % 2 for i in range(len(BOXES))]
    path = flagged(tmp_path, [BOXES], flags)
    image = np.zeros((48, 48, 3), np.uint8)
    for (x, y, w, h), flag in zip(BOXES, flags):
        image[y : y + h, x : x + w] = OUTLIER if flag else KNOWN
    cv2.imwrite(str(tmp_path / '1.png'), image)
    return path


def test_the_flag_takes_the_place_of_the_label(tmp_path):
    path = flagged(
        tmp_path,
        [[[4, 4, 20, 20], [9, 9, 20, 20]], [], [[1, 1, 9, 9]]],
        [1, 0, True],
        category_id={2: 2, 3: 2},
    )
    dataset = build(path)
    info = dataset.get_data_info(0)
    assert OOD_LABEL == -1
    assert [i['bbox_label'] for i in info['instances']] == [-1, 1]
    assert [i['bbox'][0] for i in info['instances']] == [4, 9]
    assert (info['width'], info['height']) == (48, 48)
    assert dataset.get_data_info(1)['instances'] == []
    assert dataset.get_data_info(2)['instances'][0]['bbox_label'] == -1
    # All else is as without the flags.
    plain = build(path, kind='IDCocoDataset')
    assert len(plain) == len(dataset) == 3
    for i in range(3):
        ours, stock = dataset.get_data_info(i), plain.get_data_info(i)
        for one, other in zip(ours['instances'], stock['instances']):
            assert one.pop('bbox_label') in (-1, other.pop('bbox_label'))
        assert ours == stock


def test_flags_stay_with_their_boxes_where_some_are_dropped(tmp_path):
    """Of no size, outside, or ignored; a crowd is kept and marked."""
    boxes = [
        [4, 4, 0, 20],
        [5, 5, 20, 20],
        [60, 60, 9, 9],
        [6, 6, 0.5, 20],
        [7, 7, 20, 20],
        [8, 8, 20, 20],
        [9, 9, 20, 20],
        [10, 10, 20, 20],
        [11, 11, 20, 20],
    ]
    path = flagged(
        tmp_path,
        [boxes],
        [1, 0, 0, 1, 1, 0, 1, 0, 1],
        ignore={6: True},
        iscrowd={7: 1, 8: 1},
        area={9: 0},
    )
    sample = build(path)[0]['data_samples']
    gt, ignored = sample.gt_instances, sample.ignored_instances
    assert gt.bboxes.tensor[:, 0].tolist() == [5, 7, 11]
    assert gt.labels.tolist() == [0, -1, -1]
    assert gt.ood.tolist() == [False, True, True]
    assert ignored.bboxes.tensor[:, 0].tolist() == [9, 10]
    assert ignored.labels.tolist() == [-1, 0]


@pytest.mark.parametrize('value', [None, 2, -1, '1', 'yes'])
def test_refuses_files_without_a_clear_flag(tmp_path, value):
    path = flagged(tmp_path, [[[4, 4, 20, 20]] * 3], [1, value, value])
    message = (
        r'ann.json: 2 of 3 annotations \(ids \[2, 3\].*ood.*'
        'tools/dream_box/generate.py.*mmood.IDCocoDataset'
    )
    with pytest.raises(ValueError, match=message):
        build(path)


def test_refuses_a_plain_file_and_what_its_parent_refuses(tmp_path):
    path = write_coco(tmp_path, [[[4, 4, 20, 20]]], CLASSES)
    with pytest.raises(ValueError, match='1 of 1 annotations'):
        build(path)
    path = flagged(tmp_path, [[[4, 4, 20, 20]]], [1])
    with pytest.raises(ValueError, match=r"boxes of \['cat'\]"):
        build(path, classes=('dog',))
    with pytest.raises(FileNotFoundError, match='nowhere.json'):
        build(tmp_path / 'nowhere.json')


def test_flagged_objects_may_be_packed_apart(tmp_path):
    """Beside crowds, of which those that are flagged stay crowds."""
    boxes = [[4, 4, 20, 20], [5, 5, 20, 20], [6, 6, 20, 20], [7, 7, 20, 20]]
    path = flagged(tmp_path, [boxes], [1, 0, 1, 0], iscrowd={3: 1, 4: 1})
    dataset = build(path)
    together = dataset[0]['data_samples']
    dataset.pipeline.transforms[-1].apart = True
    sample = dataset[0]['data_samples']
    assert together.gt_instances.labels.tolist() == [-1, 0]
    assert 'ood' not in together.ignored_instances
    gt, others = sample.gt_instances, sample.ignored_instances
    assert gt.bboxes.tensor[:, 0].tolist() == [5]
    assert gt.labels.tolist() == [0] and gt.ood.tolist() == [False]
    assert others.bboxes.tensor[:, 0].tolist() == [4, 6, 7]
    assert others.labels.tolist() == [-1, -1, 0]
    assert others.ood.tolist() == [True, False, False]


def test_packed_flags_are_one_per_object(tmp_path):
    path = flagged(tmp_path, [[[4, 4, 20, 20], [9, 9, 9, 9]], []], [0, 1])
    first, second = build(path)
    for sample, flags in ((first, [False, True]), (second, [])):
        gt = sample['data_samples'].gt_instances
        assert gt.ood.dtype == torch.bool
        assert gt.ood.tolist() == flags
        assert len(gt) == len(flags)
    plain = build(path, kind='IDCocoDataset')[0]['data_samples']
    assert plain.gt_instances.ood.tolist() == [False, False]
    packer = TRANSFORMS.build(PACK)
    assert packer.meta_keys == ('img_id',)


def matches_the_pixels(sample):
    """Number of boxes, all with the flag that their pixels show."""
    image = sample['inputs'].float().mean(0)
    gt = sample['data_samples'].gt_instances
    boxes = gt.bboxes.tensor
    for (x1, y1, x2, y2), is_ood, label in zip(boxes, gt.ood, gt.labels):
        inside = image[
            int(y1.ceil()) : int(y2.floor()), int(x1.ceil()) : int(x2.floor())
        ]
        grey = inside.median().item()
        assert abs(grey - (OUTLIER if is_ood else KNOWN)) < 5
        assert label == (OOD_LABEL if is_ood else 0)
    return len(boxes)


@pytest.mark.parametrize(
    'transforms',
    [
        [],
        [dict(type='RandomFlip', prob=0.5)],
        [dict(type='RandomFlip', prob=1.0, direction=['vertical'])],
        [dict(type='RandomCrop', crop_size=(28, 20))],
        [dict(type='FilterAnnotations', min_gt_bbox_wh=(6, 10))],
        [
            dict(type='Resize', scale=(96, 96)),
            dict(type='RandomFlip', prob=0.5),
            dict(type='RandomCrop', crop_size=(50, 70)),
            dict(type='FilterAnnotations', min_gt_bbox_wh=(6, 6)),
        ],
    ],
    ids=['none', 'flip', 'upside down', 'crop', 'filter', 'all'],
)
def test_flags_stay_with_their_boxes_through_mmdets_transforms(
    painted, transforms
):
    dataset = build(painted, *transforms)
    counts = [matches_the_pixels(dataset[0]) for _ in range(20)]
    drops = {t['type'] for t in transforms} & {
        'RandomCrop',
        'FilterAnnotations',
    }
    assert max(counts) > 2
    assert (min(counts) < len(BOXES)) == bool(drops)


def test_a_mixed_batch_has_all_flags(painted, tmp_path):
    path = write_coco(tmp_path / 'plain', [[[4, 4, 20, 20]]], CLASSES)
    mixed = ConcatDataset([build(path, kind='IDCocoDataset'), build(painted)])
    assert mixed.metainfo['classes'] == CLASSES
    batch = pseudo_collate([mixed[0], mixed[1]])['data_samples']
    flags = [sample.gt_instances.ood.tolist() for sample in batch]
    assert flags == [[False], [False, True] * 4]


def test_nothing_painted_at_all(tmp_path):
    path = write_coco(tmp_path, [[]], ['a'])
    with pytest.raises(ValueError, match='nothing was painted'):
        DATASETS.build(
            dict(
                type='mmood.OODFlagCocoDataset',
                ann_file=str(path),
                metainfo=dict(classes=('a',)),
            )
        )
