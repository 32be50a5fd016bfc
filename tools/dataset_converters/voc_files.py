"""Which xml files to read, and which picture each of them is of."""

from __future__ import annotations

import collections
import re
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from coco_json import existing_dir, fail, read_text
from voc_xml import Annotation, parse_annotation

from mmood.ops import list_files, list_images
from mmood.ops.images import files_by_name


class Item(NamedTuple):
    """An annotation, its picture (None: not there) and the json's name."""

    annotation: Annotation
    picture: Path | None
    file_name: str


class Pictures:
    """The pictures below a folder, to be found by what an xml says."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        paths = list_images(folder) if folder.is_dir() else []
        self.by_name = named(paths, folder)
        self.by_stem: dict[str, list[str]] = collections.defaultdict(list)
        self.by_file: dict[str, list[str]] = collections.defaultdict(list)
        for path in paths:
            self.by_stem[Path(path).stem].append(path)
            self.by_file[Path(path).name].append(path)

    def find(self, name: str, annotation: Annotation) -> Path | None:
        """The picture of an xml called ``name``, None if there is none.

        The one of the same name, or else the one of the xml's ``<filename>``;
        ends the tool if these are two.
        """
        own = self._only(name, self.by_stem[PurePosixPath(name).name])
        told = self.by_file[annotation.file_name]
        if own is not None and told and own not in told:
            fail(
                f'{annotation.path}: its <filename> is '
                f'{annotation.file_name} and there is {own} too, so it is '
                'unclear whose it is; correct <filename> or rename the xml'
            )
        found = own or self._only(annotation.file_name, told)
        return None if found is None else Path(found)

    def _only(self, name: str, paths: Sequence[str]) -> str | None:
        if name in self.by_name:
            return self.by_name[name]
        if len(paths) > 1:
            fail(
                f'the picture {name!r} may be {paths[0]} or {paths[1]}; let '
                'the folders of xml be as those of pictures, or rename them'
            )
        return paths[0] if paths else None


def named(paths: Iterable[str], folder: Path, *suffixes: str) -> dict:
    """`files_by_name`; ends the tool if two files have one name."""
    try:
        return files_by_name(paths, folder, *([suffixes] if suffixes else []))
    except ValueError as error:
        fail(f'{error}')


def parse_split(text: str) -> tuple[str, str]:
    """``'2007:trainval'`` -> ``('2007', 'trainval')``."""
    year, colon, name = text.partition(':')
    if not (year and colon and name):
        fail(f'--split {text!r} should be YEAR:SET, for example 2007:trainval')
    return year, name


def read_names(path: Path, argument: str, folder: Path) -> list[str]:
    """Names of a list, one a line; each is there as ``<folder>/NAME.xml``.

    VOC's lists of a class have a number behind the name, which may itself
    have spaces.
    """
    names = []
    for line in read_text(path, argument).splitlines():
        name = line.strip()
        if name and not (folder / f'{name}.xml').is_file():
            name = re.sub(r'\s+-?\d+$', '', name)
        names += [name] * bool(name)
    return names


def devkit_items(
    devkit: Path, splits: Sequence[str], notes: collections.Counter
) -> list[Item]:
    """The images of ``splits`` (``'YEAR:SET'``), each once."""
    items: dict[str, Item] = {}
    for year, split in map(parse_split, splits):
        root = devkit / f'VOC{year}'
        pictures, xmls = Pictures(root / 'JPEGImages'), root / 'Annotations'
        lists = root / 'ImageSets' / 'Main' / f'{split}.txt'
        for name in read_names(lists, f'--split {year}:{split}', xmls):
            key = f'{year}/{name}'
            if key in items:
                notes['images listed twice'] += 1
                continue
            annotation = parse_annotation(xmls / f'{name}.xml')
            picture = pictures.find(name, annotation)
            if picture is None:
                picture_name = f'{name}.jpg'
                notes['images that are not there'] += 1
            else:
                picture_name = picture.relative_to(pictures.folder).as_posix()
            file_name = f'VOC{year}/JPEGImages/{picture_name}'
            items[key] = Item(annotation, picture, file_name)
    return list(items.values())


def folder_items(
    folder: Path,
    images: Path | None,
    names_file: str | None,
    notes: collections.Counter,
) -> list[Item]:
    """All xml below a folder, or those that a list names, with pictures."""
    pictures = Pictures(existing_dir(images or folder, '--images'))
    xmls = named(list_files(folder, '.xml'), folder, '.xml')
    if not xmls:
        fail(f'{folder} holds no xml; for a devkit name its lists: --split')
    if names_file is not None:
        listed = set(read_names(Path(names_file), '--list', folder))
        absent = sorted(listed - set(xmls))
        if absent:
            fail(
                f'--list: {folder} has no xml for {len(absent)} of '
                f'{len(listed)} names, such as {absent[0]}'
            )
        notes['xml files that are not in --list'] += len(xmls) - len(listed)
        xmls = {name: path for name, path in xmls.items() if name in listed}
    items = []
    for name, path in xmls.items():
        annotation = parse_annotation(Path(path))
        picture = pictures.find(name, annotation)
        if picture is None:
            fail(
                f'{path}: {pictures.folder} has no picture {name}.* and no '
                f'{annotation.file_name or "<filename>"}; --images?'
            )
        stated = annotation.file_name
        if stated not in ('', picture.name, picture.stem):
            notes['xml files whose <filename> is not there'] += 1
        file_name = picture.relative_to(pictures.folder).as_posix()
        items.append(Item(annotation, picture, file_name))
    used = {item.picture for item in items}
    rest = sum(Path(p) not in used for p in pictures.by_name.values())
    notes['pictures without an xml, left out'] += rest
    return items
