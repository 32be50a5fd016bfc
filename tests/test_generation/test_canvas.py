"""Objects of one image: attempts, filters, provenance, flags."""

from datetime import datetime, timedelta, timezone

import numpy as np
import pytest

from mmood.generation.canvas import (
    Artist,
    Canvas,
    flag_annotations,
    judge,
    object_seed,
)
from mmood.generation.painter import Painter, Painting
from mmood.generation.plan import Target

IMAGE = dict(id=3, file_name='a/b.jpg', width=80, height=60)


class Flat(Painter):
    """One colour for a seed; refuses some."""

    name = 'flat'

    def __init__(self, refuse=()):
        self.refuse = refuse
        self.seeds = []

    def paint(self, crop, mask, label, seed):
        self.seeds.append(seed)
        if len(self.seeds) - 1 in self.refuse:
            return None
        color = np.random.default_rng(seed).integers(0, 256, 3, np.uint8)
        return Painting(np.where(mask[..., None], color, crop), dict(ink=1))


class Brightness:
    """Keeps from the ``start``-th painting it sees."""

    name = 'too_dark'

    def __init__(self, start=0):
        self.start = start
        self.seen = 0

    def __call__(self, before, after, box, label):
        assert label == 'cat'
        x1, y1, x2, y2 = box
        assert not (before == after)[y1:y2, x1:x2].all()
        self.seen += 1
        return after[y1:y2, x1:x2].mean()

    def keeps(self, value):
        return self.seen > self.start


class Never(Brightness):
    name = 'never'

    def keeps(self, value):
        return False


def annotation(number, bbox, **fields):
    return dict(id=number, image_id=3, category_id=2, bbox=bbox, **fields)


def target(number=11, box=(10, 5, 40, 35), keep=()):
    x1, y1, x2, y2 = box
    bbox = [x1, y1, x2 - x1, y2 - y1]
    return Target(annotation(number, bbox), box, list(keep))


def canvas():
    rng = np.random.default_rng(0)
    return Canvas(IMAGE, rng.integers(0, 256, (60, 80, 3), np.uint8))


def artist(painter, *filters, **options):
    return Artist(painter, filters, {2: 'cat'}, **options)


def test_seeds_follow_from_four_numbers_alone():
    seeds = {
        object_seed(a, b, c, d)
        for a in range(3) for b in range(3) for c in range(3)
        for d in range(3)
    }  # fmt: skip
    assert len(seeds) == 81
    assert all(0 <= seed < 2**32 for seed in seeds)
    # Written down once: pictures must not change with a version of ours.
    assert object_seed(0, 1, 2, 3) == 3898271682


def test_a_painted_object_and_its_provenance():
    made, painter = canvas(), Flat()
    before = made.pixels.copy()
    assert artist(painter, Brightness(), seed=4, feather=0).paint(
        made, target()
    )
    seed = object_seed(4, 3, 11, 0)
    color = np.random.default_rng(seed).integers(0, 256, 3, np.uint8)
    expected = before.copy()
    expected[5:35, 10:40] = color
    np.testing.assert_array_equal(made.pixels, expected)
    provenance = made.painted[11]
    moment = datetime.fromisoformat(provenance.pop('time'))
    assert abs(datetime.now(timezone.utc) - moment) < timedelta(minutes=1)
    assert 0 <= provenance.pop('seconds') < 60
    value = color.mean()
    assert provenance.pop('measures') == pytest.approx({'Brightness': value})
    # Padding 0.25 makes 45 x 45 pixels, moved into the image.
    assert provenance == dict(
        source='a/b.jpg', seed=seed, attempt=0, painter='flat', label='cat',
        box=[10, 5, 40, 35], padded_box=[2, 0, 47, 45], paint_size=[45, 45],
        ink=1,
    )  # fmt: skip


def test_attempts_go_on_until_one_is_kept():
    made, painter = canvas(), Flat(refuse=[1])
    assert artist(painter, Brightness(1), attempts=5).paint(made, target())
    seeds = [object_seed(0, 3, 11, attempt) for attempt in range(3)]
    assert painter.seeds == seeds
    assert made.painted[11]['seed'] == seeds[2]
    assert made.painted[11]['attempt'] == 2
    found = [(d['reason'], d['seed'], d['attempt']) for d in made.discarded]
    assert found == [('too_dark', seeds[0], 0), ('refused', seeds[1], 1)]
    assert made.discarded[0]['measures']['Brightness'] > 0
    assert made.discarded[1]['measures'] == {}


def test_discarded_paintings_leave_no_trace_in_the_pixels():
    made, painter = canvas(), Flat()
    before = made.pixels.copy()
    assert not artist(painter, Never(), attempts=3).paint(made, target())
    np.testing.assert_array_equal(made.pixels, before)
    assert made.painted == {} and made.targets == []
    assert [d['id'] for d in made.discarded] == [11, 11, 11]


def test_the_first_filter_that_discards_gives_the_reason():
    first, second, third = Brightness(), Never(), Brightness()
    after = np.full((60, 80, 3), 9, np.uint8)
    reason, measures = judge(
        [first, second, third], canvas().pixels, after, (0, 0, 9, 9), 'cat'
    )
    assert reason == 'never'
    assert measures == {'Brightness': 9.0, 'Never': 9.0}
    assert third.seen == 0
    kept = judge([], canvas().pixels, after, (0, 0, 9, 9), 'cat')
    assert kept == (None, {})


def flagged(painted, *annotations):
    made = canvas()
    painter = artist(Flat())
    for one in painted:
        painter.paint(made, one)
    return flag_annotations(made, annotations)


def test_flags_of_painted_and_other_objects():
    outline = dict(
        segmentation=[[0, 0, 1, 1, 1, 0]], keypoints=[1, 2, 2], area=5,
        num_keypoints=1, iscrowd=0, occluded=True,
    )  # fmt: skip
    new, old = flagged(
        [target()],
        annotation(11, [10, 5, 30, 30], **outline),
        annotation(12, [60, 40, 10, 15], **outline),
    )
    assert new.pop('provenance')['label'] == 'cat'
    assert new == annotation(
        11, [10, 5, 30, 30], area=900, iscrowd=0, occluded=True, ood=1
    )
    assert old == annotation(12, [60, 40, 10, 15], **outline, ood=0)


def test_areas_and_crowds_that_the_source_left_out():
    (found,) = flagged([], annotation(5, [1, 1, 4, 6], area=None))
    assert found == annotation(5, [1, 1, 4, 6], area=24, iscrowd=0, ood=0)


@pytest.mark.parametrize(
    ('bbox', 'share'),
    [
        ([20, 15, 10, 10], 1.0),
        ([36, 10, 7, 10], 4 / 7),
        ([36, 10, 8, 10], None),  # just half
        ([50, 10, 8, 10], None),
    ],
)
def test_objects_under_paint_are_ignored(bbox, share):
    (found,) = flagged([target()], annotation(5, bbox, area=1))
    assert found['ood'] == 0
    assert found.get('covered') == (share and pytest.approx(share))
    assert found['iscrowd'] == int(share is not None)


def test_the_union_of_painted_boxes_counts():
    painted = [target(1, (0, 0, 20, 30)), target(2, (10, 0, 30, 30))]
    (found,) = flagged(painted, annotation(5, [0, 0, 50, 30]))
    assert found['covered'] == pytest.approx(30 / 50)


def test_kept_objects_stay_as_they_are():
    painted = [target(keep=[(20, 15, 30, 25)])]
    (found,) = flagged(painted, annotation(5, [20, 15, 10, 10], area=7))
    assert found == annotation(5, [20, 15, 10, 10], area=7, iscrowd=0, ood=0)


@pytest.mark.parametrize(
    'bbox', [[90, 0, 5, 5], [3, 3, 0, 5], [3, 3, 4, None], [], None]
)
def test_bad_boxes_are_left_out(bbox):
    assert flagged([], annotation(5, bbox)) == []
    assert flagged([]) == []
