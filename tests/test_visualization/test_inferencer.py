"""What the inferencers of boxes and pixels share."""

import pytest

from mmood.visualization.inferencer import class_names


def test_the_names_that_fit():
    assert class_names([None, ('a',), ('b', 'c')], 2) == ['b', 'c']
    assert class_names(['cat'], 1) == ['cat']  # MMEngine takes a word too
    with pytest.warns(UserWarning, match='names the 3 classes of the model'):
        names = class_names(['cat', ('a', 'b'), None], 3)
    assert names == ['class 0', 'class 1', 'class 2']
