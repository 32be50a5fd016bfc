"""The code blocks of the pages, and what is known about their names."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from helpers import ROOT
from mmood.method_data import DATA_KEYS
from mmood.method_model import HEAD_KEYS, MODEL_KEYS
from mmood.registry import PAINTERS, SCORES

PAGES = sorted(
    page.relative_to(ROOT).as_posix()
    for pattern in ('.', 'docs/en', 'configs/*', 'projects/*')
    for page in ROOT.glob(f'{pattern}/*.md')
)
_FENCE = re.compile(r'^( *)```(\w+)\n(.*?)^ *```$', re.S | re.M)
_FILE = re.compile(r'# (\w+\.py)\n')
OOD_KEYS = {*HEAD_KEYS, *MODEL_KEYS, *DATA_KEYS, 'optim_wrapper'}
_REGISTRIES = ('MODELS', 'DATASETS', 'DATA_SAMPLERS', 'TRANSFORMS', 'METRICS')
_REGISTRIES += ('HOOKS', 'VISUALIZERS', 'VISBACKENDS', 'OBJECTS')
# Keys that a config's reader takes before a constructor is called.
_TAKEN = {'type', 'name', '_delete_'}


@dataclass(frozen=True)
class Block:
    """A fenced piece of a page, without its indent."""

    page: str
    line: int
    code: str

    @property
    def file(self) -> str:
        """The file's name, if the first line says it."""
        found = _FILE.match(self.code)
        return found[1] if found else f'block_{self.line}.py'

    @property
    def is_config(self) -> bool:
        """Whether it has bases, or only sets names and calls ``dict``."""
        sets = map(_sets, ast.parse(self.code).body)
        return '\n_base_ = ' in f'\n{self.code}' or all(sets)

    def __str__(self) -> str:
        return f'{self.page}:{self.line}'


def _sets(node: ast.stmt) -> bool:
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        called = ast.unparse(node.value.func)
        return called == 'dict' or called.endswith('.update')
    return isinstance(node, ast.Assign)


def blocks(*languages: str) -> list[Block]:
    """Those of all pages, in their order."""
    found = []
    for page in PAGES:
        text = (ROOT / page).read_text()
        for match in _FENCE.finditer(text):
            if match[2] in languages:
                line = text[: match.start()].count('\n') + 1
                code = textwrap.dedent(match[3])
                found.append(Block(page, line, code))
    return found


def typed_calls(code: str) -> Iterator[tuple[str, set[str]]]:
    """Of each ``dict(type='X', ...)`` the type and the other keys."""
    for node in ast.walk(ast.parse(code)):
        if not (isinstance(node, ast.Call) and _is_dict(node)):
            continue
        keys = {word.arg: word.value for word in node.keywords if word.arg}
        if isinstance(keys.get('type'), ast.Constant):
            yield keys['type'].value, set(keys) - _TAKEN
        for name in ('of',):
            if isinstance(keys.get(name), ast.Constant):
                yield keys[name].value, set()


def _is_dict(node: ast.Call) -> bool:
    return isinstance(node.func, ast.Name) and node.func.id == 'dict'


def registered(name: str) -> object:
    """What a config means by a type, or by the name of a score."""
    SCORES.import_from_location()
    if name in SCORES.module_dict:
        return SCORES.module_dict[name]
    painter = PAINTERS.get(name)
    if painter is not None:
        return painter
    scope = name.rpartition('.')[0]
    for package in [scope] if scope else ['mmdet', 'mmseg']:
        registry = import_module(f'{package}.registry')
        for part in _REGISTRIES:
            # A segmentor's package has no registry of its own for each.
            if hasattr(registry, part):
                found = getattr(registry, part).get(name)
                if found is not None:
                    return found
    raise AssertionError(f'no registry has {name!r}')


def accepted(called: object) -> set[str]:
    """Names of the arguments, also of those that a parent gets."""
    if not inspect.isclass(called):
        return set(inspect.signature(called).parameters)
    names: set[str] = set()
    for parent in called.__mro__:
        if '__init__' not in vars(parent):
            continue
        parameters = inspect.signature(vars(parent)['__init__']).parameters
        names |= set(parameters)
        kinds = {parameter.kind for parameter in parameters.values()}
        if inspect.Parameter.VAR_KEYWORD not in kinds:
            break
    return names


def check_types(code: str) -> int:
    """Types are registered, and take the arguments; how many there are."""
    number = 0
    for name, keys in typed_calls(code):
        unknown = keys - accepted(registered(name))
        assert not unknown, f'{name} takes no {", ".join(sorted(unknown))}'
        number += 1
    return number


def write_configs(page: str, until: int, folder: Path) -> None:
    """The page's files up to a line, for the working tree's configs."""
    for block in blocks('python'):
        if block.page == page and block.line <= until:
            path = folder / block.file
            path.write_text(here(block.code, page))


def here(code: str, page: str) -> str:
    """Config code with paths of the working tree."""
    code = code.replace("'mmood::", f"'{ROOT}/configs/")
    code = re.sub(r"'(configs|projects)/", rf"'{ROOT}/\1/", code)
    return code.replace("'./", f"'{(ROOT / page).parent}/configs/")
