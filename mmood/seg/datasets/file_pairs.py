"""Which image file goes with which label file."""

from __future__ import annotations

import os.path as osp
from collections import Counter

from mmengine import fileio

from mmood.ops import list_files
from mmood.ops.images import SUFFIXES, files_by_name


def list_paths(
    folder: str, suffixes: str | tuple[str, ...], backend_args: dict | None
) -> list[str]:
    """Files below a folder, of any storage, by `mmood.ops.list_files`."""
    backend = fileio.get_file_backend(
        folder, backend_args=backend_args, enable_singleton=True
    )
    if isinstance(backend, fileio.LocalBackend):
        return sorted(list_files(folder, suffixes))
    names = backend.list_dir_or_file(folder, list_dir=False, recursive=True)
    endings = (suffixes,) if isinstance(suffixes, str) else suffixes
    endings = tuple(ending.lower() for ending in endings)
    paths = [osp.join(folder, n) for n in names if n.lower().endswith(endings)]
    return sorted(paths)


def named_paths(
    folder: str, suffix: str, backend_args: dict | None
) -> dict[str, str]:
    """Files of a suffix, by their path in the folder without it.

    Raises ValueError if two have one name, such as ``a.jpg`` and ``a.JPG``.
    """
    paths = list_paths(folder, suffix, backend_args)
    return files_by_name(paths, folder, suffix)


def read_names(path: str, backend_args: dict | None) -> list[str]:
    """Names of images, one a line, from a UTF-8 file.

    Raises ValueError, with the file, if it is in another encoding or has a
    name twice.
    """
    try:
        text = fileio.get(path, backend_args).decode('utf-8-sig')
    except UnicodeDecodeError as error:
        raise ValueError(
            f'{path} is not a text file in UTF-8 ({error}); save it so'
        ) from error
    names = [line.strip() for line in text.splitlines() if line.strip()]
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise ValueError(
            f'{path} lists {twice[0]!r} more than once ({len(twice)} such '
            'names); list each image once'
        )
    return names


def left_out(
    images: dict[str, str],
    labels: dict[str, str],
    folders: tuple[str, str],
    backend_args: dict | None,
) -> list[str]:
    """What a log should say of files that are in no pair, in words.

    ``folders`` are those of images and labels. Where labels lie among the
    images, other pictures may be of any kind and are not counted.
    """
    found = []
    alone = sorted(set(labels) - set(images))
    if alone:
        found.append(f'{len(alone)} label files without an image')
    image_folder, label_folder = (osp.realpath(folder) for folder in folders)
    if osp.commonpath([image_folder, label_folder]) == image_folder:
        return found
    used = set(images.values())
    paths = list_paths(folders[0], SUFFIXES, backend_args)
    others = [path for path in paths if path not in used]
    if others:
        names = f'{len(others)} pictures of another ending, such as '
        found.append(names + osp.basename(others[0]))
    return found
