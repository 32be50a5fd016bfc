"""Objects of COCO: which ones are left, and how they are cut out."""

import json
import os
import pickle
from collections import Counter

import cv2
import numpy as np
import pytest

from mmood.generation import CocoObjects
from mmood.generation.coco_objects import known_categories, plain_name
from object_sources import COLOURS, one, run_lengths, write_objects

RNG = np.random.default_rng
ROOM = (500, 500)
BOX = (20, 10, 30, 20)


def build(root, objects, **options):
    options.setdefault('id_classes', ['Car'])
    options.setdefault('overlap', 'drop')
    path = write_objects(root, objects)
    return CocoObjects(path, root, **options)


@pytest.mark.parametrize(
    'mask',
    [
        [[20, 10, 50, 10, 50, 30, 20, 30]],
        [[20, 10, 35, 10, 35, 30, 20, 30], [35, 10, 50, 10, 50, 30, 35, 30]],
        run_lengths(BOX),
        run_lengths(BOX, compressed=False),
    ],
    ids=['polygon', 'two', 'runs', 'counts'],
)
def test_an_object_is_what_its_mask_says(tmp_path, mask):
    source = build(tmp_path, [one('cat', BOX, segmentation=mask)])
    cutout = source.draw(RNG(0), None, ROOM)
    assert cutout.alpha.shape == (20, 30) and cutout.name == 'cat'
    assert cutout.alpha.min() == 255 and cutout.area == 600
    assert (cutout.image == COLOURS['cat']).all()


def test_only_what_the_mask_covers(tmp_path):
    """A triangle: half of its box, left of the diagonal."""
    triangle = [[20, 10, 20, 30, 50, 30]]
    source = build(tmp_path, [one('cat', segmentation=triangle, area=300)])
    alpha = source.draw(RNG(0), None, ROOM).alpha
    rows, columns = np.mgrid[:20, :30] + 0.5
    inside = columns / 30 < rows / 20
    assert (inside != (alpha > 0)).mean() < 0.06


@pytest.mark.parametrize('area', [2400.0, 150.0, 37.0, 20.0])
def test_objects_are_as_large_as_asked(tmp_path, area):
    """Also read at an eighth of the size, where that is enough."""
    source = build(tmp_path, [one('cat', BOX)])
    cutout = source.draw(RNG(0), area, ROOM)
    assert cutout.area == pytest.approx(area, rel=0.35)
    height, width = cutout.alpha.shape
    assert width / height == pytest.approx(1.5, abs=0.35)
    middle = cutout.image[height // 2, width // 2].astype(int)
    assert np.abs(middle - COLOURS['cat']).max() <= 2


def test_larger_than_the_room_is_shrunk(tmp_path):
    source = build(tmp_path, [one('cat', BOX)])
    cutout = source.draw(RNG(0), None, (10, 100))
    assert cutout.alpha.shape == (10, 15)
    assert source.draw(RNG(0), 1e6, (40, 30)).alpha.shape == (20, 30)


def test_known_classes_are_refused_by_name(tmp_path):
    message = r"names of known classes: \['car'\]; set overlap='drop'"
    with pytest.raises(ValueError, match=message):
        build(tmp_path, [one('cat')], overlap='refuse')
    source = build(tmp_path, [one('cat')], id_classes=['truck'],
                   overlap='refuse')  # fmt: skip
    assert len(source) == 1 and 'known: none' in source.report()


def test_what_is_left_out_and_why(tmp_path):
    objects = [
        one('cat'),
        one('cat', (10, 40, 20, 15)),
        one('dog', (50, 30, 20, 20)),
        one('dog', (1, 1, 9, 9), area=81),
        one('dog', (50, 5, 30, 20)),
        one('dog', (40, 32, 20, 20), segmentation=[]),
        one('dog', (30, 32, 20, 20), iscrowd=1),
        one('cat', image='b.png'),
        one('car', (4, 40, 20, 18), image='b.png'),
    ]
    source = build(tmp_path, objects)
    assert len(source) == 3
    assert source.left_out == Counter(
        {
            'of a known class': 1,
            'crowds': 1,
            'in an image with known classes': 1,
            'without a mask': 1,
            'smaller than min_area': 1,
            'cut by the edge of their image': 1,
        }
    )
    report = source.report()
    assert '3 objects of 1 images' in report and 'cat 2, dog 1' in report
    assert 'left out as known: car' in report
    names = {source.draw(RNG(i), None, ROOM).name for i in range(20)}
    assert names == {'cat', 'dog'}
    more = build(tmp_path, objects, pure_images=False, whole=False, min_area=9)
    assert len(more) == 6 and more.files == ['a.png', 'b.png']
    fewer = build(tmp_path, objects, exclude=['dog'], pure_images=False)
    assert fewer.names == ['cat'] and fewer.known == ['car', 'dog']


def test_no_object_is_left(tmp_path):
    message = 'no object to paste: of 2 there are 1 .*1 of a known class'
    with pytest.raises(ValueError, match=message):
        build(tmp_path, [one('cat'), one('car', (4, 40, 20, 18))])
    with pytest.raises(ValueError, match='of 0 there are none'):
        build(tmp_path, [])


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(overlap='keep'), "'refuse' or 'drop', got 'keep'"),
        (dict(id_classes='car'), "must be a list .* got 'car'"),
        (dict(id_classes=[]), r'must be a list .* got \[\]'),
        (dict(exclude=['stop sign']), r"exclude has \['stop sign'\].*'cat'"),
    ],
)
def test_arguments_that_mean_nothing(tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        build(tmp_path, [one('cat')], **options)


def test_names_are_compared_without_their_spelling():
    assert plain_name('Traffic_Light') == plain_name('traffic-light')
    categories = [dict(id=3, name='traffic light'), dict(id=5, name='Cat')]
    assert known_categories(categories, ['Traffic_light']) == {
        3: 'traffic light'
    }
    assert known_categories(categories, ['x'], ['cat']) == {5: 'Cat'}


def test_some_images_by_a_seed(tmp_path):
    objects = [one('cat', image=f'{i}.png') for i in range(9)]
    files = [
        build(tmp_path, objects, max_images=3, seed=seed).files
        for seed in (0, 0, 1)
    ]
    assert files[0] == files[1] != files[2] and len(files[0]) == 3
    assert len(build(tmp_path, objects, max_images=20)) == 9


def test_pictures_are_read_when_they_are_drawn(tmp_path):
    source = build(tmp_path, [one('cat'), one('dog', image='b.png')])
    for name in ('a.png', 'b.png'):
        os.remove(tmp_path / name)
    with pytest.raises(FileNotFoundError, match=r'[ab]\.png'):
        source.draw(RNG(0), None, ROOM)


def test_memory_holds_what_fits_the_cache(tmp_path):
    objects = [one('cat', image=f'{i}.png') for i in range(6)]
    source = build(tmp_path, objects, cache_bytes=2 * 600 * 4)
    for i in range(20):
        source.draw(RNG(i), None, ROOM)
    assert len(source._cache) == 2 and source._cache.num_bytes == 4800
    copy = pickle.loads(pickle.dumps(source))
    for seed in range(3):
        found, expected = (
            part.draw(RNG(seed), 200.0, ROOM) for part in (copy, source)
        )
        np.testing.assert_array_equal(found.image, expected.image)


def test_images_of_other_annotations(tmp_path):
    source = build(tmp_path, [one('cat')])
    cv2.imwrite(str(tmp_path / 'a.png'), np.zeros((30, 40, 3), np.uint8))
    with pytest.raises(ValueError, match=r'a.png has \[30 40\] pixels'):
        source.draw(RNG(0), None, ROOM)
    (tmp_path / 'a.png').write_bytes(b'no picture')
    with pytest.raises(ValueError, match='a.png is no readable image'):
        source.draw(RNG(0), None, ROOM)


def test_a_file_without_masks_says_so(tmp_path):
    path = write_objects(tmp_path, [one('cat', segmentation=[])])
    with pytest.raises(ValueError, match='1 without a mask'):
        CocoObjects(path, tmp_path, ['car'], overlap='drop')
    content = json.loads(path.read_text())
    del content['annotations'][0]['segmentation']
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match='1 without a mask'):
        CocoObjects(path, tmp_path, ['car'], overlap='drop')
