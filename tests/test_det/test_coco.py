import json

import pytest

from helpers import write_coco
from mmood.registry import DATASETS

PIPELINE = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='PackDetInputs', meta_keys=('img_id',)),
]


def build(kind, path, classes=('cat', 'dog'), **kwargs):
    if kind == 'IDCocoDataset':
        kwargs['metainfo'] = dict(classes=classes)
    return DATASETS.build(
        dict(
            type=f'mmood.{kind}',
            ann_file=str(path),
            data_prefix=dict(img=str(path.parent)),
            pipeline=PIPELINE,
            **kwargs,
        )
    )


@pytest.fixture
def ann(tmp_path):
    return write_coco(tmp_path, [[[4, 4, 20, 20]], []], ['cat', 'dog'])


def test_origin_and_objects_travel_with_the_sample(ann):
    for kind, kwargs, origin in (
        ('IDCocoDataset', {}, 'id'),
        ('OODCocoDataset', dict(name='far'), 'far'),
    ):
        dataset = build(kind, ann, test_mode=True, **kwargs)
        assert len(dataset) == 2
        sample = dataset[0]['data_samples']
        assert sample.origin == origin
        assert sample.instances[0]['bbox'] == [4, 4, 24, 24]
        assert dataset[1]['data_samples'].instances == []


def test_ood_set_keeps_boxes_of_any_category(tmp_path):
    path = write_coco(tmp_path, [[[1, 1, 9, 9]]], ['zebra', 'kite', 'fork'])
    dataset = build('OODCocoDataset', path, name='x', test_mode=True)
    assert dataset.metainfo['classes'] == ('zebra', 'kite', 'fork')
    assert len(dataset[0]['data_samples'].gt_instances) == 1


def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match='nowhere.json.*data_root'):
        build('IDCocoDataset', tmp_path / 'nowhere.json')


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('{"images": [', 'not valid JSON'),
        ('[]', 'no COCO file'),
        ('{"images": []}', "no \\['annotations', 'categories'\\]"),
    ],
)
def test_malformed_file(tmp_path, text, message):
    path = tmp_path / 'bad.json'
    path.write_text(text)
    with pytest.raises(ValueError, match=f'bad.json.*{message}'):
        build('OODCocoDataset', path, name='far')


@pytest.mark.parametrize('key', ['category_id', 'image_id'])
def test_annotation_that_points_nowhere(ann, key):
    content = json.loads(ann.read_text())
    content['annotations'][0][key] = 99
    ann.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=f'annotation 1 has {key} 99'):
        build('IDCocoDataset', ann)


def test_class_that_the_file_does_not_have(ann):
    with pytest.raises(ValueError, match=r"no category \['cow'\]"):
        build('IDCocoDataset', ann, classes=('cat', 'cow'))


def test_category_that_is_not_in_the_classes(ann):
    with pytest.raises(ValueError, match=r"boxes of \['cat'\]"):
        build('IDCocoDataset', ann, classes=('dog',))
    dataset = build(
        'IDCocoDataset',
        ann,
        classes=('dog',),
        ignore_other_classes=True,
        test_mode=True,
    )
    assert dataset[0]['data_samples'].instances == []


def test_unreadable_image_is_named(ann):
    (ann.parent / '1.png').write_bytes(b'not a picture')
    dataset = build('IDCocoDataset', ann, test_mode=True)
    with pytest.raises(Exception, match='1.png'):
        dataset[0]


@pytest.mark.parametrize('name', ['', 'id', 'a/b'])
def test_bad_name_of_an_ood_set(ann, name):
    with pytest.raises(ValueError, match='name of an OOD set'):
        build('OODCocoDataset', ann, name=name)
