"""The script of a folder for Fishyscapes, with a method made up here."""

import cv2
import numpy as np
import pytest

from mmood.seg.submission.run import list_inputs, process


class Red:
    """The red channel as the score, green above 9 as the class."""

    def __init__(self):
        self.count = 0

    def predict(self, image):
        self.count += 1
        classes = (image[..., 1] > 9).astype(np.uint8)
        return image[..., 0].astype(np.float32), classes


@pytest.fixture
def inputs(tmp_path):
    """Two pictures among other files; red is 7 and 8, green 9 and 10."""
    folder = tmp_path / 'input'
    folder.mkdir()
    for i, name in enumerate(['0003_a.png', '0012_b_c.PNG']):
        bgr = np.full((4, 6, 3), (0, 9 + i, 7 + i), np.uint8)
        cv2.imwrite(str(folder / name), bgr)
    for name in ('003_a.png', '00003_a.png', '0001.png', '0001_a.jpg'):
        (folder / name).touch()
    return folder


def arrays(folder):
    return {p.name: np.load(p) for p in sorted(folder.iterdir())}


def test_maps_of_all_pictures(inputs, tmp_path):
    assert process(Red(), inputs, tmp_path / 'out') == 2
    found = arrays(tmp_path / 'out')
    expected = dict(zip(
        ('0003_anomaly.npy', '0003_segmentation.npy',
         '0012_anomaly.npy', '0012_segmentation.npy'),
        (7, 0, 8, 1),
    ))  # fmt: skip
    assert set(found) == set(expected)
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], np.full((4, 6), value))
        kind = np.float32 if 'anomaly' in name else np.uint8
        assert found[name].dtype == kind


@pytest.mark.parametrize('break_', ['missing', 'cut', 'empty', 'small'])
def test_what_is_not_whole_is_made_again(inputs, tmp_path, break_):
    method, out = Red(), tmp_path / 'out'
    process(method, inputs, out)
    assert process(method, inputs, out) == 0 and method.count == 2
    path = out / '0012_segmentation.npy'
    whole = path.read_bytes()
    path.unlink()
    if break_ == 'small':
        np.save(path, np.zeros((2, 2)))
    elif break_ != 'missing':
        path.write_bytes(whole[:-1] if break_ == 'cut' else b'')
    assert process(method, inputs, out) == 1 and method.count == 3
    assert path.read_bytes() == whole


def test_pictures_that_cannot_be_told_apart_or_read(inputs, tmp_path):
    (inputs / '0004_a.png').write_bytes(b'no picture')
    with pytest.raises(ValueError, match='0004_a.png is not a readable'):
        process(Red(), inputs, tmp_path / 'out')
    (inputs / '0003_b.png').touch()
    with pytest.raises(ValueError, match='0003_b.png have the same number'):
        list_inputs(inputs)
    (tmp_path / 'none').mkdir()
    with pytest.raises(ValueError, match=r'no picture called DDDD_\*.png'):
        list_inputs(tmp_path / 'none')
