"""Images by the classes that are in them."""

import pytest

from class_helpers import build_classes, labels, write_classes
from mmood.det.datasets.image_choice import choose_images


@pytest.fixture
def path(tmp_path):
    return write_classes(
        tmp_path,
        ['cat', 'zebra'],  # 1
        ['cow'],
        [],  # 3
        ['dog', 'cow', 'cat'],
        ['zebra'],  # 5
        ['dog'],
        crowd=(3,),  # the cow of image 2
    )


def build(path, kind='IDCocoDataset', **kwargs):
    if kind == 'OODCocoDataset':
        kwargs['name'] = 'held_out'
    else:
        kwargs['metainfo'] = dict(classes=('cat', 'dog'))
        kwargs['ignore_other_classes'] = True
    return build_classes(kind, path, **kwargs)


@pytest.mark.parametrize(
    ('choice', 'expected'),
    [
        (dict(), {1, 2, 3, 4, 5, 6}),
        (dict(without=['cow']), {1, 3, 5, 6}),  # a crowd counts
        (dict(with_any=['cow', 'zebra']), {1, 2, 4, 5}),
        (dict(with_any=['cow', 'zebra'], without=('cat', 'dog')), {2, 5}),
        (dict(with_any=['cat'], without=['cat']), set()),
        (dict(with_any=['kite']), set()),  # a category without an object
    ],
)
def test_images_by_their_classes(path, choice, expected):
    dataset = build(path, test_mode=True)
    content = dataset.COCOAPI(str(path)).dataset
    assert choose_images(content, **choice) == expected


def test_training_and_validation_share_no_object_of_a_held_out_class(path):
    classes, held_out = ['cat', 'dog'], ['cow', 'zebra']
    train = build(path, without=held_out)
    assert labels(train) == {3: [], 6: [1]}
    only = dict(filter_empty_gt=True)
    assert labels(build(path, without=held_out, filter_cfg=only)) == {6: [1]}
    choice = dict(with_any=held_out, without=classes, test_mode=True)
    outliers = build(path, 'OODCocoDataset', **choice)
    assert {image: len(of) for image, of in labels(outliers).items()} == {
        2: 1,
        5: 1,
    }


def test_steps_of_classes_take_from_what_is_chosen(path):
    dataset = build_classes(
        'ClassStepCocoDataset',
        path,
        steps=[['cat'], ['dog']],
        step=1,
        exemplars=1,
        without=['cow'],
    )
    assert labels(dataset) == {6: [1]}


@pytest.mark.parametrize('kind', ['IDCocoDataset', 'OODCocoDataset'])
@pytest.mark.parametrize('key', ['with_any', 'without'])
def test_a_class_that_the_file_does_not_have_is_named(path, kind, key):
    wrong = dict(test_mode=True, **{key: ['cow', 'horse']})
    with pytest.raises(ValueError, match=f"{key} must .*'horse'.* it has"):
        build(path, kind, **wrong)
    with pytest.raises(ValueError, match=f'{key} must be a list'):
        build(path, kind, **{**wrong, key: 'cow'})


def test_no_image_left_is_an_error(path):
    with pytest.raises(ValueError, match='no image is left, of 6'):
        build(path, with_any=['kite'], test_mode=True)
