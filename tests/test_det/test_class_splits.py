"""Known and unknown classes, by name."""

import json

import pytest

from class_helpers import build_classes, labels, write_classes


def open_set(path, *classes, test_mode=True, **kwargs):
    kwargs['metainfo'] = dict(classes=classes)
    return build_classes(
        'OpenSetCocoDataset', path, test_mode=test_mode, **kwargs
    )


@pytest.fixture
def mixed(tmp_path):
    return write_classes(
        tmp_path, ['cat', 'zebra', 'dog'], [], ['kite'], ['dog'], crowd=(2,)
    )


@pytest.mark.parametrize('order', [('dog', 'cat'), ('cat', 'dog')])
def test_labels_go_by_name_whatever_the_order_of_the_file(mixed, order):
    cat, dog = order.index('cat'), order.index('dog')
    expected = {1: [cat, 2, dog], 2: [], 3: [2], 4: [dog]}
    dataset = open_set(mixed, *order)
    assert labels(dataset) == expected
    content = json.loads(mixed.read_text())
    content['categories'].reverse()
    mixed.write_text(json.dumps(content))
    assert labels(open_set(mixed, *order)) == expected
    assert dataset.metainfo['classes'] == order


def test_two_categories_of_one_name_are_refused(tmp_path):
    path = write_classes(tmp_path, ['dog'], ['cow'])
    content = json.loads(path.read_text())
    content['categories'][2]['name'] = 'dog'
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"'dog' is the name of .*\[16, 19\]"):
        open_set(path, 'dog')


def test_objects_and_origin_reach_the_metric(mixed):
    sample = open_set(mixed, 'dog', 'cat', name='voc_coco')[0]['data_samples']
    assert sample.origin == 'voc_coco'
    assert sample.instances == [
        dict(bbox=[0, 0, 9, 9], bbox_label=1, ignore_flag=0),
        dict(bbox=[1, 1, 10, 10], bbox_label=2, ignore_flag=1),
        dict(bbox=[2, 2, 11, 11], bbox_label=0, ignore_flag=0),
    ]
    assert sample.gt_instances.labels.tolist() == [1, 0]
    assert sample.ignored_instances.labels.tolist() == [2]
    assert open_set(mixed, 'dog')[1]['data_samples'].origin == 'id'


def test_unknown_objects_are_left_out_of_training(mixed):
    kwargs = dict(unknown='drop', test_mode=False)
    dataset = open_set(mixed, 'dog', 'cat', **kwargs)
    assert labels(dataset) == {1: [1, 0], 2: [], 3: [], 4: [0]}
    kwargs['filter_cfg'] = dict(filter_empty_gt=True)
    dataset = open_set(mixed, 'dog', 'cat', **kwargs)
    assert labels(dataset) == {1: [1, 0], 4: [0]}


def test_training_with_the_label_of_unknown_objects_is_refused(mixed):
    with pytest.raises(
        ValueError,
        match=r"ann.json.*\['kite', 'zebra'\].*label 2.*unknown='drop'",
    ):
        open_set(mixed, 'dog', 'cat', test_mode=False)
    # Nothing is wrong where all annotated classes are known.
    known = ('dog', 'cat', 'kite', 'zebra')
    expected = {1: [1, 3, 0], 2: [], 3: [2], 4: [0]}
    assert labels(open_set(mixed, *known, test_mode=False)) == expected


def test_known_classes_that_the_file_does_not_have(mixed):
    with pytest.raises(ValueError, match=r"ann.json has no category \['cta'"):
        open_set(mixed, 'dog', 'cta')
    dataset = open_set(mixed, 'fork', 'dog', missing_ok=True)
    assert labels(dataset) == {1: [2, 2, 1], 2: [], 3: [2], 4: [1]}


@pytest.mark.parametrize(
    'option, message',
    [
        (dict(name=''), "name of a set.*got ''"),
        (dict(name='a/b'), "name of a set.*got 'a/b'"),
        (dict(unknown='keep'), "'label' or 'drop', got 'keep'"),
    ],
)
def test_bad_options_of_an_open_set(mixed, option, message):
    with pytest.raises(ValueError, match=message):
        open_set(mixed, 'dog', **option)


def test_a_file_without_objects(tmp_path):
    assert labels(open_set(write_classes(tmp_path, []), 'dog')) == {1: []}


@pytest.mark.parametrize('images', [[], [[]], [['kite'], ['dog'], []]])
def test_sets_of_which_no_image_is_left(tmp_path, images):
    options = dict(unknown='drop', test_mode=False)
    options['filter_cfg'] = dict(filter_empty_gt=True)
    message = f'ann.json: no image is left, of {len(images)} in the file'
    with pytest.raises(ValueError, match=f'{message}.*filter_cfg'):
        open_set(write_classes(tmp_path, *images), 'cat', **options)


def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match='nowhere.json.*data_root'):
        open_set(tmp_path / 'nowhere.json')
