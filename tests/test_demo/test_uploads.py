"""What may be uploaded."""

import struct
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image

from mmood.demo.uploads import Limits, UploadError, read_upload, shrunk


@pytest.fixture
def upload(tmp_path):
    """Function: a file of these bytes, whose name says nothing true."""

    def write(content, name='holiday.txt'):
        path = tmp_path / name
        path.write_bytes(content)
        return path

    return write


def encoded(picture, suffix):
    return cv2.imencode(suffix, picture)[1].tobytes()


def chunk(kind, data):
    check = zlib.crc32(kind + data)
    return (
        struct.pack('>I', len(data)) + kind + data + struct.pack('>I', check)
    )


def png_of(width, height):
    """A PNG of a few bytes whose header says that size."""
    header = struct.pack('>IIBBBBB', width, height, 8, 0, 0, 0, 0)
    parts = (
        (b'IHDR', header),
        (b'IDAT', zlib.compress(b'\0')),
        (b'IEND', b''),
    )
    return b'\x89PNG\r\n\x1a\n' + b''.join(chunk(*part) for part in parts)


@pytest.mark.parametrize('suffix', ['.png', '.bmp', '.jpg', '.webp'])
def test_a_picture_counts_by_its_content(upload, picture, suffix):
    found = read_upload(upload(encoded(picture, suffix)), Limits())
    assert found.shape == picture.shape
    assert np.abs(found.astype(int) - picture).mean() < 8
    if suffix in ('.png', '.bmp'):
        np.testing.assert_array_equal(found, picture)


@pytest.mark.parametrize(
    'content',
    [b'', b'hello', b'GIF89a' + bytes(99), b'<svg></svg>', b'\x89PNG\r\n'],
)
def test_what_is_no_picture_is_refused_whatever_its_name(upload, content):
    with pytest.raises(UploadError, match='no picture .* WebP or BMP, at mo'):
        read_upload(upload(content, 'holiday.png'), Limits())


def test_a_kind_that_is_not_taken(upload, picture, tmp_path):
    path = tmp_path / 'a.png'
    Image.fromarray(picture).save(path, 'GIF')
    with pytest.raises(UploadError, match='no picture'):
        read_upload(path, Limits())


def test_a_picture_cut_in_half(upload, picture):
    content = encoded(picture, '.png')
    with pytest.raises(UploadError, match='damaged'):
        read_upload(upload(content[: len(content) // 2][:60]), Limits())


def test_size_in_bytes(upload, picture):
    content = encoded(picture, '.bmp')
    least = len(content) / (1 << 20)
    read_upload(upload(content), Limits(megabytes=least))
    with pytest.raises(UploadError, match='has 0.0 MB, more than the 0.01 MB'):
        read_upload(upload(content), Limits(megabytes=0.01))


@pytest.mark.parametrize(
    ('width', 'height', 'has'),
    [
        (10_000, 5_001, '10000 x 5001 pixels, more'),
        (30_000, 30_000, 'far more'),
        (2**31 - 1, 2**31 - 1, 'far more'),
    ],
)
def test_a_bomb_is_not_unfolded(upload, monkeypatch, width, height, has):
    def unfold(*args):
        raise AssertionError('decoded')

    monkeypatch.setattr(cv2, 'imdecode', unfold)
    with pytest.raises(UploadError, match=f'{has} than the 50 million'):
        read_upload(upload(png_of(width, height)), Limits())


def test_a_file_that_has_gone(tmp_path):
    with pytest.raises(UploadError, match='not there any more'):
        read_upload(tmp_path / 'a.png', Limits())


def test_a_large_picture_is_shrunk(upload, picture):
    found = read_upload(upload(encoded(picture, '.png')), Limits(side=64))
    assert found.shape == (48, 64, 3)
    even = picture[::2, ::2]  # one of the four pixels behind each
    assert np.abs(found.astype(int) - even).mean() < 16
    assert shrunk(picture, 128) is picture
    assert shrunk(picture[:1], 16).shape == (1, 16, 3)
