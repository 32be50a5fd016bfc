"""How far two results are apart."""

import numpy as np

from mmood.deploy.compare import differences


def boxes(corners, labels, scores, **scored):
    count = len(corners)
    return dict(
        boxes=np.array(corners, np.float32).reshape(count, 4),
        labels=np.array(labels, int),
        scores=np.array(scores, np.float32),
        ood_scores={k: np.array(v, np.float32) for k, v in scored.items()},
        is_ood=np.zeros(count, bool),
    )


def test_boxes_are_compared_with_those_nearest_of_their_label():
    ours = boxes([[0, 0, 4, 4], [9, 9, 12, 12]], [0, 1], [0.9, 0.5], e=[1, 2])
    theirs = boxes(
        [[9, 9, 12, 12.5], [0, 0, 4, 4], [9, 9, 12, 12]],
        [1, 0, 2],
        [0.5, 0.7, 0.1],
        e=[2, 1.25, 9],
    )
    assert {k: round(v, 5) for k, v in differences(ours, theirs).items()} == {
        'unmatched': 1,
        'boxes': 0.5,
        'scores': 0.2,
        'e': 0.125,
        'is_ood': 0,
    }


def test_no_boxes():
    none = boxes([], [], [], e=[])
    found = differences(none, none)
    assert set(found.values()) == {0}
    one = boxes([[0, 0, 1, 1]], [0], [1], e=[1])
    assert differences(one, none)['unmatched'] == 1


def test_maps():
    ours = dict(classes=np.eye(2), ood_scores=dict(e=np.eye(2)))
    theirs = dict(classes=np.ones((2, 2)), ood_scores=dict(e=3 * np.eye(2)))
    assert differences(ours, theirs) == dict(e=2.0, classes=0.5)
