"""Which objects are painted over: by hand."""

import numpy as np
import pytest

from mmood.generation.plan import covered_share, plan_image, select_images

IMAGE = dict(id=1, width=400, height=300)


def obj(number, x, y, w, h, **more):
    area = dict(area=w * h) | more
    return dict(id=number, image_id=1, bbox=[x, y, w, h], **area)


def ids(targets):
    return [target.annotation['id'] for target in targets]


def test_largest_first_and_small_ones_left_alone():
    annotations = [
        obj(1, 0, 0, 50, 40),  # 2000
        obj(2, 0, 60, 50, 41),
        obj(3, 100, 0, 90, 90),
        obj(4, 200, 0, 44, 45),  # 1980
        obj(5, 300, 0, 41, 50),
    ]
    targets, skipped = plan_image(IMAGE, annotations)
    assert ids(targets) == [3, 2, 5, 1]
    assert skipped == dict(small=1)
    assert targets[0].annotation is annotations[2]
    assert targets[0].box == (100, 0, 190, 90)
    for target in targets:
        assert target.keep == [(200, 0, 244, 45)]
    assert plan_image(IMAGE, annotations[::-1])[0] == targets


@pytest.mark.parametrize(
    ('area', 'is_painted'),
    [(2000, True), (1999.9, False), (None, True), (float('nan'), True)],
)
def test_area_is_the_annotation_s(area, is_painted):
    """One of a mask, smaller than the box; else the box's own, 2500."""
    targets, skipped = plan_image(IMAGE, [obj(1, 0, 0, 50, 50, area=area)])
    assert bool(targets) == is_painted
    assert skipped == ({} if is_painted else dict(small=1))
    without = obj(1, 0, 0, 50, 50)
    del without['area']
    assert ids(plan_image(IMAGE, [without])[0]) == [1]


def test_crowds_and_bad_boxes_are_counted():
    nan = float('nan')
    annotations = [
        obj(1, 0, 0, 90, 90, iscrowd=1),
        obj(2, 0, 0, 90, 90, ignore=1),
        obj(3, 500, 0, 90, 90),
        obj(4, 0, 0, 90, 0, area=9000),
        obj(5, nan, 0, 90, 90, area=9000),
        dict(id=6, area=9000),
        dict(id=7, area=9000, bbox=None),
        obj(8, 350, 250, 90, 90, iscrowd=0, ignore=False),
    ]
    targets, skipped = plan_image(IMAGE, annotations)
    assert ids(targets) == [8]
    assert targets[0].box == (350, 250, 400, 300)
    assert targets[0].keep == []
    assert skipped == dict(crowd=2, bad_box=5)


def test_what_is_beyond_the_limit_is_kept():
    annotations = [obj(i, 100 * (i - 1), 0, 90 - i, 90) for i in (1, 2, 3)]
    targets, skipped = plan_image(IMAGE, annotations, max_objects=1)
    assert ids(targets) == [1]
    assert skipped == dict(over_limit=2)
    assert sorted(targets[0].keep) == [(100, 0, 188, 90), (200, 0, 287, 90)]
    everything, skipped = plan_image(IMAGE, annotations, max_objects=9)
    assert ids(everything) == [1, 2, 3] and skipped == {}
    assert all(target.keep == [] for target in everything)


def test_min_area_decides():
    annotations = [obj(1, 0, 0, 4, 4), obj(2, 10, 0, 3, 3)]
    assert ids(plan_image(IMAGE, annotations, min_area=0)[0]) == [1, 2]
    assert ids(plan_image(IMAGE, annotations, min_area=10)[0]) == [1]


@pytest.mark.parametrize('cover', [50, 51])
def test_objects_full_of_others_are_crowded(cover):
    """Two strips, each in part over the other, on a box of 100 x 100."""
    annotations = [
        obj(1, 0, 0, 100, 100),
        obj(2, 0, 0, 30, 100, area=1000),
        obj(3, 20, 0, cover - 20, 100, area=1000),
    ]
    targets, skipped = plan_image(IMAGE, annotations)
    is_crowded = cover > 50
    assert ids(targets) == ([] if is_crowded else [1])
    assert skipped == (
        dict(small=2, crowded=1) if is_crowded else dict(small=2)
    )


def test_a_crowded_object_stays_for_the_larger_ones():
    annotations = [
        obj(1, 0, 0, 200, 200),
        obj(2, 0, 0, 100, 100),
        obj(3, 0, 0, 60, 100, area=1500),
        obj(4, 200, 0, 80, 80),
    ]
    targets, skipped = plan_image(IMAGE, annotations)
    assert ids(targets) == [1, 4]
    assert skipped == dict(small=1, crowded=1)
    assert sorted(targets[0].keep) == [(0, 0, 60, 100), (0, 0, 100, 100)]
    assert targets[1].keep == [(0, 0, 60, 100)]  # 2 is larger than 4


def test_nothing_to_paint():
    assert plan_image(IMAGE, []) == ([], {})


def test_bad_arguments():
    with pytest.raises(ValueError, match='max_objects .*got 0'):
        plan_image(IMAGE, [], max_objects=0)
    with pytest.raises(ValueError, match="width and a height .*'id': 3"):
        plan_image(dict(id=3, width=None, height=4), [])
    with pytest.raises(ValueError, match='num_images .*got 0'):
        select_images([], {}, 0, 0)


def source(count):
    """Images 0..count-1; every third has nothing to paint."""
    images = [dict(id=i, width=400, height=300) for i in range(count)]
    side = {0: 10}
    annotations = {
        i: [obj(i, 0, 0, side.get(i % 3, 60), 60)] for i in range(count)
    }
    del annotations[0]
    return images, annotations


def test_images_are_drawn_from_the_seed_alone():
    images, annotations = source(60)
    whole = select_images(images, annotations, None, 5)
    found = [image['id'] for image in whole]
    assert sorted(found) == [i for i in range(60) if i % 3]
    assert found != sorted(found)
    assert select_images(images[::-1], annotations, None, 5) == whole
    for number in (1, 7, 40, 99):
        some = select_images(images, annotations, number, 5)
        assert some == whole[:number]
    other = select_images(images, annotations, None, 6)
    assert other != whole
    assert sorted(i['id'] for i in other) == sorted(found)


def test_images_are_drawn_evenly():
    images, annotations = source(6)
    first = [
        select_images(images, annotations, 1, seed)[0]['id']
        for seed in range(200)
    ]
    counts = np.bincount(first, minlength=6)
    assert set(np.flatnonzero(counts)) == {1, 2, 4, 5}
    assert counts.max() < 75  # 50 each, deviation 6


def test_the_plan_s_options_decide_about_images():
    images, annotations = source(9)
    few = select_images(images, annotations, None, 0, min_area=4000)
    assert few == []
    many = select_images(images, annotations, None, 0, min_area=600)
    assert len(many) == 8  # all with an annotation


def test_no_images():
    assert select_images([], {}, 5, 0) == []


def test_covered_share_against_single_pixels():
    rng = np.random.default_rng(0)
    for _ in range(20):
        boxes = np.sort(rng.integers(0, 12, (4, 2, 2)), 1).reshape(4, 4)
        boxes[:, 2:] += 1
        box, *painted = boxes
        pixels = [
            any(b[0] <= x < b[2] and b[1] <= y < b[3] for b in painted)
            for x in range(box[0], box[2])
            for y in range(box[1], box[3])
        ]
        share = covered_share(tuple(box), [tuple(b) for b in painted])
        assert share == pytest.approx(np.mean(pixels))
    assert covered_share((0, 0, 5, 5), []) == 0
    assert covered_share((0, 0, 5, 5), [(-3, -3, 9, 9)]) == 1
