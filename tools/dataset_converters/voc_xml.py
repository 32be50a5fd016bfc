"""Reading VOC's xml, one file per picture, of any origin.

What an xml says is held against its picture, which may be missing. Entities
are not expanded: a file that declares some is refused.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path, PureWindowsPath
from typing import NamedTuple

from coco_json import existing_file, fail, number

from mmood.ops import image_size

FLAGS = {'0': 0, 'false': 0, 'unspecified': 0, '1': 1, 'true': 1}


class Annotation(NamedTuple):
    """What an xml says; ``size`` (width, height) is None where it does not."""

    path: Path
    file_name: str
    size: tuple[int, int] | None
    objects: list[dict]


class _Builder(ET.TreeBuilder):
    """Builds a tree of a document without a DOCTYPE."""

    def doctype(self, *declared: str | None) -> None:
        raise ValueError(
            'it has a DOCTYPE, whose entities may grow without end; remove '
            'the line'
        )


def parse_annotation(path: Path) -> Annotation:
    """A VOC xml; ends the tool, with the file, if it is not one."""
    existing_file(path, 'annotation')
    try:
        parser = ET.XMLParser(target=_Builder())
        root = ET.parse(path, parser).getroot()
    except (OSError, ValueError, LookupError, ET.ParseError) as error:
        fail(f'{path} is not valid XML ({error})')
    if root.tag != 'annotation':
        fail(
            f'{path} begins with <{root.tag}>, where an xml of VOC has '
            '<annotation>; remove it or export it in the format of VOC'
        )
    # Some tools write a whole path, of Windows too.
    name = PureWindowsPath((root.findtext('filename') or '').strip()).name
    objects = [parse_object(node, path) for node in root.findall('object')]
    return Annotation(path, name, _size(root, path), objects)


def parse_object(node: ET.Element, path: Path) -> dict:
    """One ``<object>``: name as written, corners and flags.

    VOC counts pixels from 1 and includes both corners, so pixel ``xmin`` to
    pixel ``xmax`` covers [xmin - 1, xmax] in COCO's coordinates.
    """
    name = (_find(node, 'name', path).text or '').strip()
    if not name:
        fail(f'{path}: an <object> has an empty <name>; name its class')
    box = _find(node, 'bndbox', path)
    x1, y1 = (_number(box, tag, path) - 1 for tag in ('xmin', 'ymin'))
    x2, y2 = (_number(box, tag, path) for tag in ('xmax', 'ymax'))
    return {
        'name': name,
        'corners': (x1, y1, x2, y2),
        'difficult': _flag(node, 'difficult', path),
        'truncated': _flag(node, 'truncated', path),
    }


def picture_size(
    annotation: Annotation, picture: Path | None, trust_picture: bool = False
) -> tuple[int, int]:
    """(width, height) of the picture as it is loaded; the xml's without one.

    Ends the tool if the two differ, unless ``trust_picture``, or if neither
    is there.
    """
    stated = annotation.size
    if picture is None:
        if stated is None:
            fail(
                f'{annotation.path}: <annotation> has no <size> in pixels and '
                'its picture is not there to be measured; add one of them'
            )
        return stated
    try:
        size = image_size(picture)
    except OSError as error:
        fail(f'{error}; fetch it again or remove it and {annotation.path}')
    if stated in (None, size) or trust_picture:
        return size
    why = ', as if turned by its EXIF' if size == stated[::-1] else ''
    fail(
        f'{annotation.path}: <size> is {stated[0]} x {stated[1]} and '
        f'{picture} has {size[0]} x {size[1]} pixels{why}: its boxes may be '
        'of another picture; correct them, or use --trust-pictures if they '
        'fit the picture'
    )


def _size(root: ET.Element, path: Path) -> tuple[int, int] | None:
    node = root.find('size')
    if node is None:
        return None
    size = [_number(node, tag, path) for tag in ('width', 'height')]
    if size == [0, 0]:  # of tools that did not look at the picture
        return None
    if not all(n > 0 and n.is_integer() for n in size):
        fail(f'{path}: <size> is {size}, not whole numbers of pixels')
    return int(size[0]), int(size[1])


def _find(node: ET.Element, tag: str, path: Path) -> ET.Element:
    child = node.find(tag)
    if child is None:
        fail(f'{path}: <{node.tag}> has no <{tag}>: not a VOC annotation')
    return child


def _number(node: ET.Element, tag: str, path: Path) -> float:
    return number(_find(node, tag, path).text, f'{path}: <{tag}>')


def _flag(node: ET.Element, tag: str, path: Path) -> int:
    """0 or 1; tools also write words, or that they do not know."""
    text = (node.findtext(tag) or '').strip().lower() or '0'
    if text not in FLAGS:
        fail(f'{path}: <{tag}> is {text!r}; write 0 or 1')
    return FLAGS[text]
