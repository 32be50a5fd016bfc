"""Pictures that a user hands over, names of the files made of them."""

import os

import cv2
import numpy as np
import pytest
import torch

from mmood.ops import OutputNames, as_bgr, list_pictures
from mmood.ops.pictures import drawing_name, write_picture


def paint(path, value=0, size=(4, 6, 3)):
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full(size, value, np.uint8))
    return path


def test_a_folder_stands_for_its_visible_images_in_order(tmp_path):
    for name in ('b.JPG', 'a.Png', 'c.jpeg', 'in/d.png'):
        paint(tmp_path / name)
    (tmp_path / 'a.txt').write_text('no image')
    for name in ('._a.Png', '.DS_Store'):
        (tmp_path / name).write_bytes(b'\0\5\26\7')
    with pytest.warns(UserWarning, match=r'hidden files: \._a.Png$'):
        found = list_pictures(tmp_path)
    assert found == [str(tmp_path / n) for n in ('a.Png', 'b.JPG', 'c.jpeg')]


def test_several_inputs_of_all_kinds(tmp_path):
    a, b = paint(tmp_path / 'x/a.png'), paint(tmp_path / 'x/b.png')
    array = np.zeros((3, 5, 3), np.uint8)
    url = 'https://example.org/a.png'
    mixed = (one for one in [b, array, str(a), tmp_path / 'x', url])
    found = list_pictures(mixed)
    assert found[:1] + found[2:] == [str(b), str(a), str(a), str(b), url]
    np.testing.assert_array_equal(found[1], array)
    assert list_pictures([]) == []
    assert sorted(list_pictures(os.scandir(tmp_path / 'x'))) == [
        str(a),
        str(b),
    ]


@pytest.mark.parametrize(
    ('make', 'error', 'message'),
    [
        (
            lambda d: d / 'none.png',
            FileNotFoundError,
            'none.png does not exist',
        ),
        (lambda d: [d / 'none'], FileNotFoundError, 'none'),
        (lambda d: d, ValueError, 'no image; folders in it are not looked'),
        (lambda d: torch.zeros(3, 4, 4), ValueError, 'got Tensor'),
        (lambda d: b'a.png', ValueError, 'got bytes'),
        (lambda d: {'img': 1}, ValueError, 'got dict'),
        (lambda d: None, ValueError, 'got NoneType'),
    ],
)
def test_what_is_no_picture(tmp_path, make, error, message):
    paint(tmp_path / 'deep/a.png')
    with pytest.raises(error, match=message):
        list_pictures(make(tmp_path))


def test_gray_is_repeated_and_alpha_dropped():
    picture = np.random.randint(0, 256, (4, 5, 4), dtype=np.uint8)
    gray = picture[..., 0]
    repeated = np.stack([gray] * 3, -1)
    np.testing.assert_array_equal(as_bgr(gray), repeated)
    np.testing.assert_array_equal(as_bgr(gray[..., None]), repeated)
    np.testing.assert_array_equal(as_bgr(picture), picture[..., :3])
    assert as_bgr(gray).flags.c_contiguous


@pytest.mark.parametrize(
    'shape', [(4,), (4, 5, 2), (3, 4, 5), (2, 4, 5, 3), (0, 5, 3), (4, 0)]
)
def test_shapes_that_are_no_picture(shape):
    with pytest.raises(ValueError, match=r'\(H, W, 4\), got the shape \('):
        as_bgr(np.zeros(shape, np.uint8))


@pytest.mark.parametrize('dtype', [np.float32, np.uint16, bool])
def test_arrays_of_another_type(dtype):
    with pytest.raises(ValueError, match=f'got {np.dtype(dtype)}'):
        as_bgr(np.zeros((4, 4, 3), dtype))


def test_no_two_pictures_share_a_name():
    names = OutputNames()
    paths = ('x/1.png', 'y/1.png', 'x/1.jpg', 'x/1_2.png', 'X/a', 'x/A.png')
    found = [names(path) for path in paths]
    assert found == ['1', '1_2', '1_3', '1_2_2', 'a', 'A_2']
    assert [names(path) for path in paths] == found
    assert names('./x/../y/1.png') == '1_2'
    assert names('https://example.org/1.png') == '1_4'


def test_pictures_without_a_path_are_counted():
    names = OutputNames()
    assert names(None) == '00000000'
    assert names('00000001.png') == '00000001'
    assert [names(None), names(None)] == ['00000001_2', '00000002']


def test_drawings_have_the_format_of_the_picture_if_it_has_colours():
    paths = ('a/x.JPG', 'x.tif', 'x.pgm', 'x', None)
    found = [drawing_name('n', path) for path in paths]
    assert found == ['n.JPG', 'n.tif', 'n.png', 'n.png', 'n.png']


def test_written_pictures(tmp_path):
    rgb = np.zeros((4, 5, 3), np.uint8)
    rgb[..., 0] = 200
    write_picture(str(tmp_path / 'new/a.png'), rgb)
    back = cv2.imread(str(tmp_path / 'new/a.png'))
    np.testing.assert_array_equal(back, rgb[..., ::-1])
    ids = np.arange(20, dtype=np.uint16).reshape(4, 5) * 300
    write_picture(str(tmp_path / 'ids.png'), ids)
    back = cv2.imread(str(tmp_path / 'ids.png'), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(back, ids)
