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
    if kind != 'OODCocoDataset':
        kwargs['metainfo'] = dict(classes=classes)
    return DATASETS.build(
        dict(
            type=f'mmood.{kind}',
            ann_file=str(path),
            data_prefix=dict(img=str(path.parent)),
            pipeline=PIPELINE,
            serialize_data=False,  # which takes most of the time
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


@pytest.mark.parametrize('kind', ['IDCocoDataset', 'OODCocoDataset'])
def test_a_file_that_is_refused(ann, kind):
    """For the reasons see tests/test_ops/test_coco.py."""
    content = json.loads(ann.read_text())
    content['annotations'][0]['image_id'] = 99
    ann.write_text(json.dumps(content))
    more = dict(name='far') if kind == 'OODCocoDataset' else {}
    with pytest.raises(ValueError, match='annotation 1 has the image_id 99'):
        build(kind, ann, **more)


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


@pytest.mark.parametrize('name', ['', 'id', 'ID', 'a/b'])
def test_bad_name_of_an_ood_set(ann, name):
    with pytest.raises(ValueError, match='name of a(n OOD)? set'):
        build('OODCocoDataset', ann, name=name)


def refile(path, change):
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def labels(dataset, index=0):
    instances = dataset.get_data_info(index)['instances']
    return [instance['bbox_label'] for instance in instances]


@pytest.mark.parametrize(
    'kind', ['IDCocoDataset', 'OpenSetCocoDataset', 'OODFlagCocoDataset']
)
def test_label_i_is_the_ith_of_the_classes(tmp_path, kind):
    """Not of the file, which may be another one for training and test."""
    boxes = [[[4, 4, 20, 20], [9, 9, 20, 20], [1, 1, 9, 9]]]
    path = write_coco(tmp_path, boxes, ['dog', 'cow', 'cat'])

    def name_them(content):
        for number, annotation in enumerate(content['annotations'], 1):
            annotation.update(category_id=number, ood=0)

    refile(path, name_them)
    for _ in range(2):
        dataset = build(kind, path, ('cat', 'cow', 'dog'))
        assert labels(dataset) == [2, 1, 0]
        refile(path, lambda content: content['categories'].reverse())


def test_objects_whose_mask_has_no_area_are_kept(ann, caplog):
    def without(content):
        annotation = content['annotations'][0]
        annotation['area'] = 0
        del annotation['iscrowd'], annotation['id']

    refile(ann, without)
    for kind, more in (
        ('IDCocoDataset', {}),
        ('OODCocoDataset', dict(name='far')),
    ):
        assert labels(build(kind, ann, test_mode=True, **more)) == [0]


def test_what_is_left_out_is_counted_in_the_log(tmp_path, monkeypatch):
    lines = []
    monkeypatch.setattr(
        'mmengine.logging.MMLogger.info', lambda _, line: lines.append(line)
    )
    boxes = [[4, 4, 20, 20], [4, 4, 0, 9], [60, 4, 9, 9], [40, 4, 10, 9]]
    boxes = [[*boxes, *[[5, 5, 20, 20]] * 3], [], [[1, 1, 9, 9]]]
    path = write_coco(tmp_path, boxes, ['cat', 'dog'])

    def change(content):
        annotations = content['annotations']
        annotations[4]['iscrowd'] = 1
        annotations[5]['category_id'] = 2
        annotations[6]['ignore'] = True
        first, second, third = content['images']
        second['file_name'] = first['file_name']
        third['height'] = 31

    refile(path, change)
    options = dict(
        classes=('cat',),
        ignore_other_classes=True,
        filter_cfg=dict(filter_empty_gt=True, min_size=32),
    )
    assert labels(build('IDCocoDataset', path, **options)) == [0, 0, 0]
    assert lines == [
        f"{path} (set 'id') has "
        '1 images of a file that is listed before (kept), '
        '2 boxes below a pixel or outside (left out), '
        '1 boxes that stick out of the image (kept), '
        '1 crowds (ignored), '
        '1 objects of other classes (left out), '
        '1 objects marked "ignore" (left out), '
        '1 images smaller than min_size (left out), '
        '1 images without objects (left out)'
    ]
    lines.clear()
    build('OODCocoDataset', write_coco(tmp_path, [[]], ['cat']), name='x')
    assert lines == []


@pytest.mark.parametrize(
    ('classes', 'message'),
    [
        ('cat', 'must be a list of class names.*cat'),
        (('cat', 'dog', 'cat'), r"names \['cat'\] more than once"),
        (('cat', 7), 'must be a list of class names'),
    ],
)
def test_classes_that_are_no_list_of_names(ann, classes, message):
    with pytest.raises(ValueError, match=message):
        build('IDCocoDataset', ann, classes=classes)


def test_file_and_classes_travel_with_the_sample(ann):
    sample = build('IDCocoDataset', ann, test_mode=True)[0]['data_samples']
    assert (sample.ann_file, sample.classes) == (str(ann), ('cat', 'dog'))


def test_a_picture_of_another_size_than_the_file_says(ann):
    def swap(content):
        image = content['images'][0]
        image.update(width=image['height'], height=image['width'] + 1)

    dataset = build('IDCocoDataset', ann)
    dataset.pipeline.transforms[-1].meta_keys += ('ori_shape',)
    assert len(dataset[0]['data_samples'].gt_instances) == 1
    refile(ann, swap)
    dataset = build('IDCocoDataset', ann)
    dataset.pipeline.transforms[-1].meta_keys += ('ori_shape',)
    with pytest.raises(ValueError, match='is loaded with .*verify.py'):
        dataset[0]
