"""Config files: Python is code, YAML and JSON are data.

MMEngine reads YAML with a loader that calls whatever a tag names. Ours takes
its place for every YAML file that MMEngine reads, ``_base_`` files included,
and knows plain values, lists and dicts only.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import IO

import yaml
from mmengine.config import Config
from mmengine.config.utils import MODULE2PACKAGE
from mmengine.fileio import YamlHandler, register_handler

# MMEngine resolves `_base_ = 'PACKAGE::...'` for the packages in this table.
MODULE2PACKAGE.setdefault('mmood', 'mmood')

_MOST_VALUES = 1_000_000
_MOST_LEVELS = 100


class ConfigError(ValueError):
    """A YAML or JSON file is not what it should be; says where."""


def read_config(
    path: str | Path, import_custom_modules: bool = True
) -> Config:
    """A config of a Python, YAML or JSON file.

    A Python file is run, and so are Python files that it or a YAML file
    names as ``_base_``. Raises ConfigError, with the file, for YAML or JSON
    that is none or holds more than data, and for a file of another kind; a
    Python file raises what it does.
    """
    suffix = Path(path).suffix
    is_data = suffix in ('.yaml', '.yml', '.json')
    if not is_data and suffix != '.py':
        raise ConfigError(f'{path} is no .py, .yaml, .yml or .json file')
    try:
        with warnings.catch_warnings():
            # How MMEngine looks for the packages of `_base_` files.
            warnings.filterwarnings('ignore', 'pkg_resources is deprecated')
            return Config.fromfile(
                str(path), import_custom_modules=import_custom_modules
            )
    except RecursionError as error:
        raise ConfigError(f'{path} is nested too deeply') from error
    except (ValueError, TypeError, AttributeError) as error:
        if not is_data:
            raise
        # MMEngine asks for the keys of whatever the file holds.
        no_dict = isinstance(error, AttributeError)
        why = 'the file must hold a dict' if no_dict else error
        raise ConfigError(f'{path}: {why}') from error


def load_yaml(text: str) -> object:
    """The plain value that a YAML document holds.

    Raises ConfigError, with the line, for tags other than YAML's own, keys
    that occur twice, aliases that contain themselves or multiply to more
    than a million values, and for what is no YAML.
    """
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is None:
            return None
        _measure(node, {})
        return loader.construct_document(node)
    except RecursionError as error:
        raise ConfigError('YAML is nested too deeply') from error
    except yaml.MarkedYAMLError as error:
        where = error.problem_mark or error.context_mark
        line = f'line {where.line + 1}: ' if where else ''
        raise ConfigError(f'{line}{error.problem}') from error
    except (yaml.YAMLError, ValueError) as error:
        if isinstance(error, ConfigError):
            raise
        raise ConfigError(f'no valid YAML: {error}') from error


class _Loader(yaml.SafeLoader):
    """SafeLoader that refuses keys that occur twice."""

    def construct_mapping(self, node: yaml.Node, deep: bool = False) -> dict:
        seen = set()
        for key, _ in getattr(node, 'value', []):
            name = (key.tag, key.value)
            if isinstance(key, yaml.ScalarNode) and name in seen:
                raise ConfigError(f'{_line(key)}the key {key.value!r} again')
            seen.add(name if isinstance(key, yaml.ScalarNode) else id(key))
        return super().construct_mapping(node, deep)


def _refuse(loader: _Loader, node: yaml.Node) -> None:
    tag = node.tag.replace('tag:yaml.org,2002:', '!!')
    raise ConfigError(
        f'{_line(node)}the tag {tag} is not let in: YAML holds plain values, '
        'lists and dicts here; what needs Python belongs into a .py config'
    )


_Loader.add_constructor(None, _refuse)


def _line(node: yaml.Node) -> str:
    return f'line {node.start_mark.line + 1}: '


def _measure(
    node: yaml.Node, known: dict[int, tuple[int, int] | None]
) -> tuple[int, int]:
    """Values and levels in a node with its aliases written out.

    ``known`` has them by node, None while a node is being measured.
    """
    if id(node) in known:
        measured = known[id(node)]
        if measured is None:
            raise ConfigError(f'{_line(node)}an alias that contains itself')
        return measured
    if isinstance(node, yaml.ScalarNode):
        return 1, 0
    known[id(node)] = None
    children = node.value
    if isinstance(node, yaml.MappingNode):
        children = [part for pair in node.value for part in pair]
    sizes = [_measure(child, known) for child in children]
    values = 1 + sum(size for size, _ in sizes)
    levels = 1 + max((depth for _, depth in sizes), default=0)
    if values > _MOST_VALUES or levels > _MOST_LEVELS:
        raise ConfigError(
            f'{_line(node)}more than {_MOST_VALUES} values or {_MOST_LEVELS} '
            'levels, with aliases written out'
        )
    known[id(node)] = values, levels
    return values, levels


@register_handler(['yaml', 'yml'])
class DataYamlHandler(YamlHandler):
    """MMEngine's, with the loader above unless a caller brings another."""

    def load_from_fileobj(self, file: IO[str], **kwargs: object) -> object:
        if kwargs:
            return super().load_from_fileobj(file, **kwargs)
        return load_yaml(file.read())
