"""Finding the picture files of a folder, and their sizes.

The loader is mmcv's ``imread``, which is OpenCV's: it turns a photograph as
its EXIF says and reads up to `MAX_PIXELS`. Sizes here are (width, height) in
pixels.
"""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, BinaryIO

import cv2
import numpy as np
from PIL import Image

SUFFIXES = (
    *('.bmp', '.jpeg', '.jpg', '.pgm', '.png', '.ppm', '.tif', '.tiff'),
    '.webp',
)
MAX_PIXELS = 2**30  # OpenCV's limit; Pillow's is a sixth of it
EXIF_ORIENTATION = 0x0112
UPRIGHT, FIRST_ON_ITS_SIDE = 1, 5  # of the orientations 1 to 8
# What Pillow raises for a broken picture.
BROKEN = (
    *(OSError, SyntaxError, ValueError, TypeError, EOFError, KeyError),
    *(IndexError, OverflowError, struct.error),
)


def list_images(
    folder: str | os.PathLike, recursive: bool = True
) -> list[str]:
    """Paths of the pictures in a folder, by `list_files`."""
    return list_files(folder, SUFFIXES, recursive)


def list_files(
    folder: str | os.PathLike,
    suffixes: str | Sequence[str],
    recursive: bool = True,
) -> list[str]:
    """Paths of a folder's files whose names end so, in upper or lower case.

    In the order in which people sort names: ``img2`` before ``img10``. Links
    are followed, but not back into a folder that holds them. Files and
    folders with a leading dot, such as the ``._a.jpg`` of a Mac, are no
    files. Raises OSError for a folder that is not there or a link to nothing.
    """
    endings = (suffixes,) if isinstance(suffixes, str) else tuple(suffixes)
    endings = tuple(ending.lower() for ending in endings)
    folder = os.fspath(folder)
    paths = []
    for path in _walk(folder, recursive):
        is_wanted = path.lower().endswith(endings)
        may_be_folder = recursive and not os.path.splitext(path)[1]
        if is_wanted or may_be_folder:
            _check_link(path)
        paths += [path] * is_wanted
    return sorted(paths, key=natural_key)


def _check_link(path: str) -> None:
    if os.path.islink(path) and not os.path.exists(path):
        raise FileNotFoundError(
            f'{path} is a link to nothing: restore what it leads to or '
            'remove it'
        )


def _walk(
    folder: str, recursive: bool, above: tuple[str, ...] = ()
) -> Iterator[str]:
    above = (*above, os.path.realpath(folder))
    with os.scandir(folder) as entries:
        visible = [e for e in entries if not e.name.startswith('.')]
    for entry in visible:
        # A link may lead in a circle, which `is_dir` does not stand.
        is_link = entry.is_symlink()
        if not (os.path.isdir(entry.path) if is_link else entry.is_dir()):
            yield entry.path
        elif recursive and os.path.realpath(entry.path) not in above:
            yield from _walk(entry.path, recursive, above)


def natural_key(path: str) -> tuple[list, str]:
    """Sorts paths folder by folder, and numbers in names by their value."""
    parts = (re.split(r'(\d+)', part) for part in path.split(os.sep))
    return [
        [int(t) if i % 2 else t for i, t in enumerate(p)] for p in parts
    ], path


def files_by_name(
    paths: Iterable[str],
    folder: str | os.PathLike,
    suffixes: str | Sequence[str] = SUFFIXES,
) -> dict[str, str]:
    """Name -> path; the name is the path in the folder without its suffix.

    ``suffixes`` are those by which `list_files` found them. Raises ValueError
    if two files have one name, such as ``a.jpg`` and ``a.JPG``: what belongs
    to the name, a label or boxes, would be of both.
    """
    endings = (suffixes,) if isinstance(suffixes, str) else suffixes
    found: dict[str, str] = {}
    for path in paths:
        name = os.path.relpath(path, folder).replace(os.sep, '/')
        ending = next(e for e in endings if name.lower().endswith(e.lower()))
        name = name[: len(name) - len(ending)]
        if name in found:
            raise ValueError(
                f'{found[name]} and {path} have one name, {name!r}, so that '
                'it is unclear whose a label or a box is: rename or remove '
                'one of them'
            )
        found[name] = path
    return found


def source_name(source: str | os.PathLike | BinaryIO) -> str:
    """What a source is called in errors."""
    if isinstance(source, (str, os.PathLike)):
        return os.fspath(source)
    return repr(source)


@contextmanager
def open_image(
    source: str | os.PathLike | BinaryIO, name: str | None = None
) -> Iterator[Image.Image]:
    """Pillow's picture, of which the header is read; for `MAX_PIXELS`.

    Raises OSError, with the name, for what is no picture or a broken one, or
    a larger one; so does what Pillow raises within the block.
    """
    name = source_name(source) if name is None else name
    try:
        with any_size(), Image.open(source) as image:
            check_pixels(image.size, name)
            yield image
    except (FileNotFoundError, PictureTooLargeError):
        raise
    except BROKEN as error:
        raise OSError(f'{name} is not a readable image ({error})') from error


@contextmanager
def any_size() -> Iterator[None]:
    """Pillow's limit of pixels does not hold within the block."""
    limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
    try:
        yield
    finally:
        Image.MAX_IMAGE_PIXELS = limit


class PictureTooLargeError(OSError):
    """A picture that the loader refuses."""


def check_pixels(size: tuple[int, int], name: str) -> None:
    """Raise `PictureTooLargeError` for more pixels than the loader takes."""
    width, height = size
    if width * height > MAX_PIXELS:
        raise PictureTooLargeError(
            f'{name} has {width} x {height} pixels, more than the '
            f'{MAX_PIXELS} that can be read: cut it or scale it down'
        )


def orientation(image: Image.Image) -> int:
    """How EXIF says that a picture is to be turned, 1 to 8; 1: it is not.

    A PNG is decoded for this, whose EXIF may stand behind its pixels.
    """
    try:
        value: Any = image.getexif().get(EXIF_ORIENTATION)
    except BROKEN:  # of the EXIF alone: the picture may be sound
        return UPRIGHT
    return value if value in range(1, 9) else UPRIGHT


def image_size(path: str | os.PathLike) -> tuple[int, int]:
    """(width, height) of the picture as the loader gives it.

    From the header alone, unless the picture lies on its side by its EXIF:
    whether the loader turns it depends on the format, so it is loaded then.
    Raises OSError, with the path, for what the loader cannot read.
    """
    try:
        with open_image(path) as image:
            size, turned = image.size, orientation(image) >= FIRST_ON_ITS_SIDE
    except (FileNotFoundError, PictureTooLargeError):
        raise
    except OSError:
        return loaded_size(path)
    return loaded_size(path) if turned else size


def loaded_size(path: str | os.PathLike) -> tuple[int, int]:
    """(width, height) of a picture by loading it; OSError as `image_size`."""
    try:
        content = np.fromfile(path, np.uint8)
        picture = cv2.imdecode(content, cv2.IMREAD_COLOR)
    except (cv2.error, ValueError) as error:
        raise OSError(f'{path} is not a readable image ({error})') from error
    if picture is None:
        raise OSError(f'{path} is not a readable image')
    return picture.shape[1], picture.shape[0]
