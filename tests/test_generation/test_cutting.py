"""Objects that are cut out of their boxes."""

import json

import cv2
import numpy as np
import pytest

from mmood.generation import FolderObjects
from mmood.generation.cutting import cut_object, cut_objects
from mmood.ops import read_coco
from object_sources import one, write_objects


def scene(centre=(50, 40), axes=(18, 12)):
    """A bright ellipse on dark noise, and its mask."""
    rng = np.random.default_rng(0)
    image = rng.integers(20, 60, (80, 100, 3), dtype=np.uint8)
    mask = np.zeros((80, 100), np.uint8)
    cv2.ellipse(mask, centre, axes, 0, 0, 360, 1, -1)
    colour = np.array([220, 180, 40]) + rng.integers(-15, 15, (80, 100, 3))
    image[mask > 0] = colour[mask > 0]
    return image, mask > 0


def test_an_object_is_found_in_its_box():
    image, mask = scene()
    cutout = cut_object(image, (32, 28, 69, 53))
    rows, columns = np.nonzero(mask)
    inside = mask[
        rows.min() : rows.max() + 1, columns.min() : columns.max() + 1
    ]
    assert np.abs(np.subtract(cutout.shape[:2], inside.shape)).max() <= 2
    area = (cutout[..., 3] >= 128).sum()
    assert area == pytest.approx(mask.sum(), rel=0.08)
    middle = cutout.shape[0] // 2, cutout.shape[1] // 2
    assert cutout[middle][3] == 255 and cutout[middle][0] > 190


def test_what_is_not_clear_is_left_out():
    image, _ = scene()
    flat = np.full((80, 100, 3), 90, np.uint8)
    assert cut_object(flat, (30, 20, 70, 60)) is None  # all of the box
    assert cut_object(image, (0, 0, 100, 80)) is None  # nothing around it


def test_a_folder_of_objects(tmp_path):
    objects = [
        one('cat', (20, 10, 30, 20), image='a.png'),
        one('dog', (10, 5, 60, 40), image='b.png'),
        one('dog', (70, 50, 6, 6), image='b.png'),
        one('cat', (60, 40, 18, 18), image='a.png', iscrowd=1),
    ]
    path = write_objects(tmp_path, objects)
    for name, box in (('a.png', (20, 10, 50, 30)), ('b.png', (10, 5, 70, 45))):
        picture = cv2.imread(str(tmp_path / name))
        centre = (box[0] + box[2]) // 2, (box[1] + box[3]) // 2
        picture[:] = 40
        axes = (box[2] - box[0]) // 2 - 1, (box[3] - box[1]) // 2 - 1
        cv2.ellipse(picture, centre, axes, 0, 0, 360, (30, 200, 230), -1)
        cv2.imwrite(str(tmp_path / name), picture)
    out = tmp_path / 'out'
    out.mkdir()
    found = cut_objects(path, tmp_path, out, min_side=16)
    assert found == {'written': 2, 'too small': 1}
    source = FolderObjects(out)
    assert source.names == ['cat_1.png', 'dog_2.png']
    drawn = source.draw(np.random.default_rng(0), None, (99, 99))
    assert tuple(drawn.image[drawn.alpha.shape[0] // 2, 9]) == (30, 200, 230)
    # With flags only what was painted.
    content = read_coco(path)
    content['annotations'][0]['ood'] = 1
    path.write_text(json.dumps(content))
    (out / 'cat_1.png').unlink()
    assert cut_objects(path, tmp_path, out, 16) == {'written': 1}
    assert (out / 'cat_1.png').is_file()


def test_images_elsewhere_are_refused(tmp_path):
    path = write_objects(tmp_path, [one('cat')])
    content = json.loads(path.read_text())
    content['images'][0]['file_name'] = '../a.png'
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"'\.\./a.png', which leads out"):
        cut_objects(path, tmp_path, tmp_path, min_side=8)
