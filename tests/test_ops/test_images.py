"""Files are found as people see them, sizes as the loader gives them."""

import os

import cv2
import mmcv
import numpy as np
import pytest
from PIL import Image

from mmood.ops import image_size, images, list_files, list_images


def picture(path, size=(8, 4), **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new('RGB', size).save(path, **options)


def turned(value=6):
    exif = Image.Exif()
    exif[images.EXIF_ORIENTATION] = value
    return exif.tobytes()


def names(paths, root):
    return [os.path.relpath(path, root) for path in paths]


def test_pictures_of_a_folder(tmp_path):
    shown = ['a1.png', 'a2.JPG', 'a10.Tiff', 'b/1.jpeg', 'b/c/2.webp']
    hidden = ['._a1.png', '.x.png', '.git/d.png', 'a.txt', 'jpg', 'b/._2.webp']
    for name in (*shown, *hidden):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b'')
    assert names(list_images(tmp_path), tmp_path) == shown
    assert names(list_images(tmp_path, recursive=False), tmp_path) == shown[:3]
    assert names(list_files(tmp_path, '.TXT'), tmp_path) == ['a.txt']


def test_links_are_followed_but_not_in_circles(tmp_path):
    picture(tmp_path / 'there/sub/a.png')
    picture(tmp_path / 'here/b.png')
    (tmp_path / 'here/there').symlink_to(tmp_path / 'there')
    (tmp_path / 'here/again').symlink_to(tmp_path / 'there')
    (tmp_path / 'there/sub/up').symlink_to(tmp_path / 'here')
    (tmp_path / 'here/c.png').symlink_to(tmp_path / 'there/sub/a.png')
    found = names(list_images(tmp_path / 'here'), tmp_path / 'here')
    assert found == [
        'again/sub/a.png',
        'b.png',
        'c.png',
        'there/sub/a.png',
    ]
    (tmp_path / 'here/d.txt').symlink_to(tmp_path / 'nowhere.txt')
    assert names(list_images(tmp_path / 'here'), tmp_path / 'here') == found
    for name in ('here/d.png', 'here/folder'):
        link = tmp_path / name
        for target in (tmp_path / 'nowhere', link):
            link.symlink_to(target)
            with pytest.raises(FileNotFoundError, match=f'{name} is a link'):
                list_images(tmp_path / 'here')
            link.unlink()
    with pytest.raises(FileNotFoundError, match='nowhere'):
        list_images(tmp_path / 'nowhere')


def test_two_files_of_one_name(tmp_path):
    paths = [str(tmp_path / name) for name in ('s/a.jpg', 'b.JPG')]
    found = images.files_by_name(paths, tmp_path)
    assert list(found) == ['s/a', 'b'] and found['b'].endswith('b.JPG')
    for other in ('b.png', 'b.jpg'):
        with pytest.raises(ValueError, match=rf"b.JPG and \S*{other} .*'b'"):
            images.files_by_name([*paths, str(tmp_path / other)], tmp_path)
    found = images.files_by_name(['x/a_mask.PNG'], 'x', ['_mask.png'])
    assert found == {'a': 'x/a_mask.PNG'}


@pytest.mark.parametrize(
    'suffix', ['jpg', 'png', 'tiff', 'webp', 'bmp', 'ppm']
)
@pytest.mark.parametrize('value', [1, 3, 6, 8, 99])
def test_sizes_are_the_loaders(tmp_path, suffix, value):
    path = tmp_path / f'é.{suffix}'
    picture(path, exif=turned(value))
    height, width = mmcv.imread(path).shape[:2]
    assert image_size(path) == (width, height)


def test_the_exif_of_a_png_may_stand_behind_its_pixels(tmp_path):
    path = tmp_path / 'a.png'
    picture(path, exif=turned())
    content = path.read_bytes()
    start = content.index(b'eXIf') - 4
    end = content.index(b'IDAT') - 4
    behind = content.index(b'IEND') - 4
    parts = content[:start], content[end:behind], content[start:end]
    path.write_bytes(b''.join([*parts, content[behind:]]))
    height, width = mmcv.imread(path).shape[:2]
    assert image_size(path) == (width, height)


def test_a_broken_exif_is_not_a_broken_picture(tmp_path):
    path = tmp_path / 'a.jpg'
    picture(path, exif=b'Exif\0\0nothing')
    assert image_size(path) == (8, 4)


@pytest.mark.parametrize('content', [b'', b'text', b'\x89PNG\r\n\x1a\n'])
def test_what_is_no_picture(tmp_path, content):
    path = tmp_path / 'a.png'
    path.write_bytes(content)
    with pytest.raises(OSError, match=r'a\.png is not a readable image'):
        image_size(path)
    with pytest.raises(FileNotFoundError):
        image_size(tmp_path / 'b.png')


def test_pictures_beyond_pillows_limit_are_read(tmp_path, monkeypatch):
    path = tmp_path / 'a.png'
    cv2.imwrite(str(path), np.zeros((30, 40), np.uint8))
    monkeypatch.setattr(Image, 'MAX_IMAGE_PIXELS', 100)
    assert image_size(path) == (40, 30)
    assert Image.MAX_IMAGE_PIXELS == 100
    monkeypatch.setattr(images, 'MAX_PIXELS', 1000)
    with pytest.raises(OSError, match='40 x 30 pixels, more than the 1000'):
        image_size(path)
