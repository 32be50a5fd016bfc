"""Settings of a generation run."""

from __future__ import annotations

import difflib
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from mmood.ops import read_json


@dataclass(frozen=True)
class Settings:
    """Everything that the pictures follow from, the source images apart.

    Attributes:
        data: dict(ann_file, img_root), a COCO json and the folder that its
            file names start from. They may lead out of it, by ``..`` or as
            absolute paths, only with ``allow_outside=True``.
        painter, filters: dicts for `PAINTERS.build`.
        num_images: so many of the images with an object to paint; None for
            all. Which ones follows from ``seed``.
        min_area: smaller objects are left alone, in square pixels.
        max_objects: painted per image at most; None for no limit.
        padding, feather: see `paint_box`.
        attempts: paintings per object, each from another seed, until one
            passes the filters.
    """

    data: Mapping
    painter: Mapping
    filters: Sequence[Mapping] = ()
    seed: int = 0
    num_images: int | None = None
    min_area: float = 2000
    max_objects: int | None = None
    padding: float = 0.25
    feather: int = 4
    attempts: int = 1

    def __post_init__(self) -> None:
        for name in ('ann_file', 'img_root'):
            if not isinstance(self.data.get(name), str):
                raise ValueError(
                    f'data must have a path {name!r}, got {dict(self.data)}'
                )
        if not isinstance(self.data.get('allow_outside', False), bool):
            raise ValueError(
                'data.allow_outside must be True or False, got '
                f'{self.data["allow_outside"]!r}'
            )
        if 'type' not in self.painter:
            raise ValueError(
                "painter must be a dict with a 'type' such as "
                f"'mmood.ProceduralPainter', got {dict(self.painter)}"
            )
        limits = dict(
            seed=0, num_images=1, min_area=0, max_objects=1,
            padding=0, feather=0, attempts=1,
        )  # fmt: skip
        optional = ('num_images', 'max_objects')
        for name, least in limits.items():
            value = getattr(self, name)
            if value is None and name in optional:
                continue
            kind = (int, float) if name in ('min_area', 'padding') else int
            if not isinstance(value, kind) or not value >= least:
                raise ValueError(
                    f'{name} must be a number >= {least}'
                    f'{" or None" if name in optional else ""}, got {value!r}'
                )

    def limits(self) -> dict:
        """Those that `plan_image` asks for."""
        return dict(min_area=self.min_area, max_objects=self.max_objects)

    @classmethod
    def names(cls) -> list[str]:
        return [field.name for field in fields(cls)]

    @classmethod
    def from_config(cls, config: Mapping) -> Settings:
        """The settings in a config, whose other variables do not matter.

        Raises ValueError for one that is missing, out of range, or looks
        like a setting that is misspelt.
        """
        names = cls.names()
        for name in set(config) - set(names):
            close = difflib.get_close_matches(name, names, 1, cutoff=0.8)
            if close:
                raise ValueError(
                    f'the config has {name!r}, which is no setting; did you '
                    f'mean {close[0]!r}?'
                )
        missing = [name for name in names[:2] if name not in config]
        if missing:
            raise ValueError(f'the config has no {" and no ".join(missing)}')
        return cls(**{k: config[k] for k in names if k in config})

    def resolved(self) -> dict:
        """JSON-able, with a digest of the annotation file's content."""
        content = Path(self.data['ann_file']).read_bytes()
        digest = hashlib.sha256(content).hexdigest()
        data = {**self.data, 'ann_file_sha256': digest}
        try:
            return json.loads(json.dumps({**asdict(self), 'data': data}))
        except TypeError as error:
            raise ValueError(
                f'settings must be plain values and lists: {error}'
            ) from error


# What may be another one when a run goes on: a larger number adds images.
_FREE = {'num_images', 'painter.download'}


def check_same(path: Path, settings: dict) -> None:
    """Raise ValueError naming what differs from the settings of a file."""
    if not path.is_file():
        raise ValueError(
            f'{path.parent} holds images but no {path.name}, so it is not '
            'known how they were made. Give another --out'
        )
    old, new = dict(_leaves(read_json(path))), dict(_leaves(settings))
    differ = []
    for key in sorted({*old, *new} - _FREE):
        there, now = old.get(key, 'missing'), new.get(key, 'missing')
        if there != now:
            differ.append(f'{key}: {there} there, {now} now')
    if differ:
        raise ValueError(
            f'{path.parent} holds images made with other settings: '
            f'{"; ".join(differ)}. Give another --out, or these settings'
        )


def _leaves(value: object, name: str = '') -> Iterator[tuple[str, object]]:
    """(dotted name, value) of all that is no dict or list."""
    if isinstance(value, dict):
        items = list(value.items())
    elif isinstance(value, list):
        items = list(enumerate(value))
    else:
        items = []
    if not items:
        yield name, value
    for key, item in items:
        yield from _leaves(item, f'{name}.{key}' if name else str(key))
