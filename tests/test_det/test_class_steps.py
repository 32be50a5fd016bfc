"""The classes of a step of incremental learning, and its exemplars."""

import random
import warnings

import pytest

from class_helpers import build_classes, labels, write_classes
from mmood.det.datasets.class_splits import split_steps

STEPS = [['dog'], ['cat', 'cow']]


def step_set(path, steps=STEPS, **kwargs):
    return build_classes('ClassStepCocoDataset', path, steps=steps, **kwargs)


def test_split_steps():
    assert split_steps([('a', 'b'), ['c']]) == [['a', 'b'], ['c']]


@pytest.mark.parametrize(
    'steps, message',
    [
        ([], 'there is no step'),
        ([['a'], []], r'steps \[1\] are empty'),
        ([['a', 'b'], ['c', 'a']], "'a' is in step 0 and in step 1"),
        ([['a', 'a']], "'a' is in step 0 and in step 0"),
        ('abc', "lists of class names.*got 'abc'"),
        (['cat', ['dog']], 'lists of class names'),
    ],
)
def test_bad_steps(tmp_path, steps, message):
    with pytest.raises(ValueError, match=message):
        split_steps(steps)
    with pytest.raises(ValueError, match=message):
        step_set(write_classes(tmp_path, []), steps)


@pytest.mark.parametrize('images', [[], [[]], [['kite'], ['dog'], []]])
def test_steps_of_which_no_image_is_left(tmp_path, images):
    path = write_classes(tmp_path, *images)
    message = f'ann.json: no image is left, of {len(images)} in the file'
    with pytest.raises(ValueError, match=f'{message}.*filter_cfg'):
        step_set(path, step=1, filter_cfg=dict(filter_empty_gt=True))


def test_a_file_without_objects(tmp_path):
    assert labels(step_set(write_classes(tmp_path, []))) == {1: []}


@pytest.fixture
def stepped(tmp_path):
    return write_classes(
        tmp_path, ['cow', 'dog', 'zebra'], ['dog'], ['cat', 'cow'], ['kite']
    )


def test_a_step_sees_its_classes_only(stepped):
    cases = {
        (0, False): {1: [0], 2: [0], 3: [], 4: []},
        (1, False): {1: [2], 2: [], 3: [1, 2], 4: []},
        (0, True): {1: [0], 2: [0], 3: [], 4: []},
        (1, True): {1: [2, 0], 2: [0], 3: [1, 2], 4: []},
    }
    for (step, seen), expected in cases.items():
        dataset = step_set(stepped, step=step, seen=seen)
        assert labels(dataset) == expected
        assert dataset.metainfo['classes'] == ['dog', 'cat', 'cow']
        options = dict(filter_cfg=dict(filter_empty_gt=True))
        dataset = step_set(stepped, step=step, seen=seen, **options)
        some = {image: of for image, of in expected.items() if of}
        assert labels(dataset) == some
        options['test_mode'] = True
        dataset = step_set(stepped, step=step, seen=seen, **options)
        assert labels(dataset) == expected


def test_later_classes_are_unknown_in_a_test(stepped):
    """They and all other categories have the label K = 3."""
    options = dict(unknown='label', test_mode=True)
    first = step_set(stepped, step=0, seen=True, **options)
    assert labels(first) == {1: [3, 0, 3], 2: [0], 3: [3, 3], 4: [3]}
    last = step_set(stepped, step=1, seen=True, **options)
    assert labels(last) == {1: [2, 0, 3], 2: [0], 3: [1, 2], 4: [3]}


def test_a_step_is_an_id_set_with_its_objects(stepped):
    sample = step_set(stepped, step=1)[0]['data_samples']
    assert sample.origin == 'id'
    expected = [dict(bbox=[0, 0, 9, 9], bbox_label=2, ignore_flag=0)]
    assert sample.instances == expected
    assert sample.gt_instances.labels.tolist() == [2]


@pytest.mark.parametrize(
    'kwargs, message',
    [
        (dict(step=2), 'from 0 to 1.*got 2'),
        (dict(step=-1), 'from 0 to 1.*got -1'),
        (dict(exemplars=0), 'exemplars must.*got 0'),
        (dict(unknown='name'), "unknown must be .* got 'name'"),
        (dict(unknown='label'), 'label 3, which is not one to train on'),
        (
            dict(metainfo=dict(classes=('cat', 'dog', 'cow'))),
            r"\['dog', 'cat', 'cow'\], got \['cat', 'dog', 'cow'\]",
        ),
        (dict(steps=[['dog'], ['cot']]), r"ann.json has no category \['cot'"),
    ],
)
def test_bad_options_of_a_step(stepped, kwargs, message):
    with pytest.raises(ValueError, match=message):
        step_set(stepped, **kwargs)


def test_given_classes_of_a_step_may_be_a_tuple(stepped):
    metainfo = dict(classes=('dog', 'cat', 'cow'), palette=[(1, 2, 3)])
    dataset = step_set(stepped, metainfo=metainfo)
    assert dataset.metainfo['palette'] == [(1, 2, 3)]
    assert labels(dataset) == {1: [0], 2: [0], 3: [], 4: []}


@pytest.fixture
def many(tmp_path):
    """12 images with a dog, 12 with a cat, of which 4 have both, 12 cows."""
    dogs = [['dog']] * 8 + [['cat', 'dog']] * 4
    return write_classes(tmp_path, *dogs, *[['cat']] * 8, *[['cow']] * 12)


def stored(path, **kwargs):
    return set(labels(step_set(path, **kwargs)))


def drawn(name, images, count, seed=0):
    """The rule anew: the images in an order of chance, the first taken."""
    images = sorted(images, key=str)
    random.Random(f'{seed} {name}').shuffle(images)
    return set(images[:count])


def test_the_store_holds_so_many_images_of_each_class(many):
    dog = drawn('dog', range(1, 13), 3)
    cat = drawn('cat', range(9, 21), 3)
    cow = drawn('cow', range(21, 33), 3)
    assert stored(many, exemplars=3) == dog
    assert stored(many, exemplars=3, step=1) == cat | cow
    assert stored(many, exemplars=3, step=1, seen=True) == dog | cat | cow
    # All seen objects of a stored image count, those of other draws too.
    dataset = step_set(many, exemplars=12, step=1, seen=True)
    assert labels(dataset)[9] == [1, 0]


def test_a_class_keeps_its_images_in_every_split(many):
    splits = [
        ([['dog'], ['cat', 'cow']], 0),
        ([['cow'], ['dog'], ['cat']], 1),
        ([['cat', 'cow', 'dog']], 0),
    ]
    sets = [stored(many, steps=s, step=i, exemplars=4) for s, i in splits]
    assert sets[0] == sets[1] == sets[0] & sets[2]
    less = [stored(many, exemplars=n) for n in range(1, 13)]
    assert all(a < b for a, b in zip(less, less[1:]))
    others = {frozenset(stored(many, exemplars=4, seed=i)) for i in range(5)}
    assert len(others) > 1


def test_test_sets_and_small_images_in_a_store(many):
    expected = stored(many, exemplars=3)
    assert stored(many, exemplars=3, test_mode=True) == expected
    options = dict(filter_cfg=dict(filter_empty_gt=True, min_size=32))
    assert stored(many, exemplars=3, **options) == expected
    options['filter_cfg']['min_size'] = 49  # all images are of 48 px
    error = pytest.raises(ValueError, match='no image is left')
    with pytest.warns(UserWarning, match='0 are there'), error:
        stored(many, exemplars=3, **options)


def test_a_store_larger_than_the_data(tmp_path):
    """Ignored objects are none to store; all others are taken."""
    path = write_classes(
        tmp_path, ['dog'], ['cat'], ['dog'], ['dog'], crowd=(4,)
    )
    with pytest.warns(UserWarning) as caught:
        assert stored(path, exemplars=5, step=1, seen=True) == {1, 2, 3}
    messages = [str(w.message) for w in caught if 'exemplars' in str(w)]
    counts = (('dog', 2), ('cat', 1), ('cow', 0))
    assert len(messages) == len(counts)
    for message, (name, count) in zip(messages, counts):
        assert f"exemplars=5 images are wanted of class '{name}'" in message
        assert f'{count} are there' in message
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        assert stored(path, exemplars=2) == {1, 3}
