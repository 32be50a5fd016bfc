"""A stage's folder, and beside it its config: what it was made with.

Not in the folder: there MMEngine writes what it made of the config, with the
options of the last tool.
"""

from __future__ import annotations

import inspect
import json
import os
import shutil
from pathlib import Path

from mmengine.config import Config
from mmengine.runner import Runner
from table_parts import flatten

from mmood.checkpoint import last_checkpoint
from mmood.config import read_config
from mmood.ops import atomic_write

# What decides a training and its test. Other keys of a config are notes.
_KEYS = {
    *inspect.signature(Runner.__init__).parameters,
    'custom_imports',
    'find_unused_parameters',
    'stage',
}
# Paths, which may differ between two calls.
_FREE = ('load_from', 'work_dir', 'model.teacher')


def config_file(folder: Path) -> Path:
    """``step_1.py`` beside ``step_1``."""
    return folder.with_name(f'{folder.name}.py')


def write(path: Path, config: Config) -> None:
    """Write a config, whole or not at all."""
    with atomic_write(path) as file:
        file.write(config.pretty_text)


def compare(folder: Path, config: Config) -> None:
    """Raise ValueError if a folder was made with other values.

    Without a config there is nothing to compare with.
    """
    path = config_file(folder)
    changed = differences(path, config) if path.is_file() else []
    if changed:
        raise ValueError(
            f'{folder} was made with other options '
            f'({"; ".join(changed)}): choose another --out, or delete that '
            'folder and those of later stages'
        )


def differences(path: Path, config: Config) -> list[str]:
    """What a config in a file, ``there``, has otherwise, in words."""
    there = _content(read_config(path, import_custom_modules=False))
    here = _content(config)
    return [
        f'{key} is {_short(there, key)} there, {_short(here, key)} here'
        for key in {**there, **here}
        if [key in there, there.get(key)] != [key in here, here.get(key)]
    ]


def _content(config: Config) -> dict:
    """Values by dotted keys, as they come back from a file."""
    own = {k: v for k, v in config.to_dict().items() if k in _KEYS}
    content = flatten(json.loads(json.dumps(own, sort_keys=True)))
    return {k: v for k, v in content.items() if k not in _FREE}


def _short(content: dict, key: str) -> str:
    text = str(content.get(key, 'unset'))
    return text if len(text) < 80 else f'{text[:76]} ...'


def reuse(finished: Path, folder: Path, config: Config) -> bool:
    """Make the folder from a finished one of an equal config, if it is one.

    Files are linked, if the disk can.
    """
    path = config_file(finished)
    if (
        not (finished / 'metrics.json').is_file()
        or last_checkpoint(finished) is None
        or not path.is_file()
        or differences(path, config)
    ):
        return False
    write(config_file(folder), config)
    part = folder.with_name(f'{folder.name}.part')
    shutil.rmtree(part, ignore_errors=True)
    own = shutil.ignore_patterns('.mmood-*')  # such as its lock
    shutil.copytree(finished, part, ignore=own, copy_function=_link)
    part.rename(folder)
    return True


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # a file system without hard links
        shutil.copy2(source, target)
