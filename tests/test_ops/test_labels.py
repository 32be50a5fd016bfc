"""Label pictures give the ids they were written with, or say why not."""

import struct
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image

from mmood.ops import images, read_labels

IDS = np.array([[0, 1, 2], [7, 254, 255]], np.uint8)


def save(path, ids, mode=None, **options):
    Image.fromarray(ids, mode).save(path, **options)
    return path


def gray_png(path, bits, ids):
    """A PNG of one row of ids with few bits, which no library writes."""
    row = ''.join(f'{i:0{bits}b}' for i in ids).ljust(8, '0')
    header = struct.pack('>IIBBBBB', len(ids), 1, bits, 0, 0, 0, 0)
    chunks = [(b'IHDR', header), (b'IEND', b'')]
    chunks[1:1] = [(b'IDAT', zlib.compress(bytes([0, int(row, 2)])))]
    content = b'\x89PNG\r\n\x1a\n'
    for kind, data in chunks:
        crc = struct.pack('>I', zlib.crc32(kind + data))
        content += struct.pack('>I', len(data)) + kind + data + crc
    path.write_bytes(content)
    return path


@pytest.mark.parametrize('suffix', ['png', 'tif', 'bmp', 'pgm'])
def test_ids_of_eight_bits(tmp_path, suffix):
    labels = read_labels(save(tmp_path / f'a.{suffix}', IDS))
    assert labels.tolist() == IDS.tolist()


def test_ids_of_other_depths(tmp_path):
    deep = IDS.astype(np.uint16) * 100
    cv2.imwrite(str(tmp_path / '16.png'), deep)
    assert read_labels(tmp_path / '16.png').tolist() == deep.tolist()
    for dtype in (np.int32, np.float32):
        path = save(tmp_path / 'a.tif', deep.astype(dtype))
        labels = read_labels(path)
        assert labels.tolist() == deep.tolist()
        assert labels.dtype.kind == 'i'
    one_bit = read_labels(save(tmp_path / '1.png', IDS % 2 > 0))
    assert one_bit.tolist() == (IDS % 2).tolist()


def test_indices_of_a_palette(tmp_path):
    picture = Image.fromarray(IDS, 'P')
    picture.putpalette(list(np.arange(768) % 251))
    for options in ({}, dict(transparency=0)):
        picture.save(tmp_path / 'a.png', **options)
        assert read_labels(tmp_path / 'a.png').tolist() == IDS.tolist()


def exif(value):
    content = Image.Exif()
    content[images.EXIF_ORIENTATION] = value
    return content.tobytes()


@pytest.mark.parametrize(
    ('name', 'ids', 'options', 'message'),
    [
        ('a.png', np.dstack([IDS] * 3), {}, 'has 3 channels.* colours to ids'),
        ('a.png', np.dstack([IDS] * 4), {}, 'has 4 channels'),
        ('a.png', np.dstack([IDS] * 2), {}, 'has 2 channels'),
        ('a.jpg', IDS, {}, 'is a JPEG whose .*; save label pictures as PNG'),
        ('a.gif', IDS, {}, 'is a GIF whose writers change numbers'),
        ('a.tif', IDS, dict(compression='jpeg'), 'is a TIFF whose writers'),
        ('a.tif', IDS + np.float32(0.5), {}, 'holds 0.5, where ids are whole'),
        ('a.tif', np.float32(IDS) * np.nan, {}, 'holds nan, where ids'),
        ('a.tif', np.float32(IDS) + np.inf, {}, 'holds infinite numbers'),
        ('a.png', IDS, dict(exif=exif(3)), 'is to be turned by its EXIF'),
        (
            'a.tif',
            IDS,
            dict(save_all=True, append_images=[Image.fromarray(IDS)]),
            'holds 2 pictures, .*; save the one',
        ),
    ],
)
def test_pictures_without_ids(tmp_path, name, ids, options, message):
    with pytest.raises(ValueError, match=f'{name} {message}'):
        read_labels(save(tmp_path / name, ids, **options))


@pytest.mark.parametrize('bits', [1, 2, 4])
def test_gray_of_few_bits(tmp_path, bits):
    path = gray_png(tmp_path / 'a.png', bits, [1, 0])
    if bits == 1:
        assert read_labels(path).tolist() == [[1, 0]]
        return
    message = f'a.png has greys from 0 to {2**bits - 1}, which readers'
    with pytest.raises(ValueError, match=message):
        read_labels(path)


def test_pgm_of_any_range(tmp_path):
    path = tmp_path / 'a.pgm'
    path.write_bytes(b'P5 3 1 255\n\0\1\x0f')
    assert read_labels(path).tolist() == [[0, 1, 15]]
    path.write_bytes(b'P5 3 1 65535\n\0\0\0\1\1\0')
    assert read_labels(path).tolist() == [[0, 1, 256]]
    path.write_bytes(b'P5 3 1 15\n\0\1\x0f')
    with pytest.raises(ValueError, match='a.pgm has greys from 0 to 15'):
        read_labels(path)


def test_what_is_no_picture_or_too_large(tmp_path, monkeypatch):
    path = tmp_path / 'a.png'
    path.write_bytes(b'nothing')
    with pytest.raises(OSError, match='a.png is not a readable image'):
        read_labels(path)
    save(path, IDS)
    monkeypatch.setattr(Image, 'MAX_IMAGE_PIXELS', 1)
    assert read_labels(path).tolist() == IDS.tolist()
    monkeypatch.setattr(images, 'MAX_PIXELS', 5)
    with pytest.raises(OSError, match='a.png has 3 x 2 pixels, more than'):
        read_labels(path)
