"""Cutouts, their sizes, the folder and the drawn ones."""

import cv2
import numpy as np
import pytest

from mmood.generation import Cutout, DrawnObjects, FolderObjects
from mmood.generation.objects import CutoutCache, fitting_scale, scaled
from mmood.generation.procedural import OUTLINES
from mmood.registry import OBJECTS
from object_sources import write_cutout

RNG = np.random.default_rng


def cutout(height=4, width=6):
    image = np.full((height, width, 3), 100, np.uint8)
    return Cutout(image, np.full((height, width), 255, np.uint8), 'a')


def test_area_and_scale_by_hand():
    assert cutout().area == 24
    assert fitting_scale((4, 6), 24, 96, (100, 100)) == 2
    assert fitting_scale((4, 6), 24, None, (100, 100)) == 1
    assert fitting_scale((4, 6), 24, 96, (100, 9)) == 1.5
    assert fitting_scale((4, 6), 24, None, (2, 100)) == 0.5
    assert scaled(cutout(), 2.0).alpha.shape == (8, 12)
    assert scaled(cutout(), 0.01).alpha.shape == (1, 1)
    same = cutout()
    assert scaled(same, 1.0) is same


def test_cache_drops_what_was_used_longest_ago():
    cache = CutoutCache(2 * cutout().num_bytes)
    made = []

    def get(key):
        return cache.get(key, lambda: made.append(key) or cutout())

    for key in 'aababcab':
        get(key)
    # c took the place of a, and a that of b.
    assert ''.join(made) == 'abcab'
    assert len(cache) == 2 and cache.num_bytes == 2 * cutout().num_bytes
    small = CutoutCache(1)
    assert small.get('a', cutout).area == 24 and len(small) == 0


def test_objects_of_a_folder(tmp_path):
    (tmp_path / 'in').mkdir()
    write_cutout(tmp_path / 'in' / 'mug_3.png')
    write_cutout(tmp_path / 'vase.png', (10, 10))
    source = OBJECTS.build(dict(type='mmood.FolderObjects', folder=tmp_path))
    assert source.names == ['in/mug_3.png', 'vase.png']
    assert '2 objects of' in source.report()
    drawn = [source.draw(RNG(i), None, (90, 90)) for i in range(12)]
    assert {one.name for one in drawn} == {'mug_3', 'vase'}
    mug = next(one for one in drawn if one.name == 'mug_3')
    assert mug.alpha.shape == (20, 30)
    assert (mug.image[mug.alpha == 255] == (0, 0, 255)).all()
    large = source.draw(RNG(0), 900.0, (900, 900))
    assert large.area == pytest.approx(900, rel=0.05)


@pytest.mark.parametrize(
    ('picture', 'message'),
    [
        (np.zeros((5, 5, 3), np.uint8), r'of shape \(5, 5, 3\), uint8'),
        (np.zeros((5, 5, 4), np.uint16), 'uint16: it must be a PNG'),
        (np.zeros((5, 5, 4), np.uint8), 'has no object: its alpha is 0'),
        (None, 'no readable picture'),
    ],
)
def test_pictures_that_are_no_cutouts(tmp_path, picture, message):
    path = tmp_path / 'x.png'
    if picture is None:
        path.write_text('no')
    else:
        cv2.imwrite(str(path), picture)
    with pytest.raises(ValueError, match=f'x.png .*{message}'):
        FolderObjects(tmp_path).draw(RNG(0), None, (9, 9))


def test_an_empty_folder(tmp_path):
    with pytest.raises(ValueError, match=r"folder='.*' has no \*.png"):
        FolderObjects(tmp_path)


@pytest.mark.parametrize('outline', [*OUTLINES, 'near', 'far'])
def test_drawn_objects_are_as_large_as_asked(outline):
    source = DrawnObjects([outline])
    for seed in range(8):
        one = source.draw(RNG(seed), 3000.0, (400, 400))
        # Those of Shapes cross themselves here and there.
        assert one.area == pytest.approx(3000, rel=0.3)
        assert one.image.shape == (*one.alpha.shape, 3) and one.is_drawn
        # It touches all sides of its cutout.
        rows, columns = np.nonzero(one.alpha > 30)
        for places, length in zip((rows, columns), one.alpha.shape):
            assert places.min() <= 1 and places.max() >= length - 2
        again = source.draw(RNG(seed), 3000.0, (400, 400))
        np.testing.assert_array_equal(one.image, again.image)
        small = source.draw(RNG(seed), 1e6, (40, 30)).alpha
        assert small.shape[0] <= 40 and small.shape[1] <= 30
        assert small.shape[0] >= 38 or small.shape[1] >= 28


def test_outlines_that_there_are_not():
    for wrong in (['star'], [], 'blob'):
        with pytest.raises(ValueError, match='outlines must be a list of so'):
            DrawnObjects(wrong)
    assert 'near' in DrawnObjects(['near', 'blob']).report()
