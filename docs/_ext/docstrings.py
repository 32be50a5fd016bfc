"""Docstrings as reStructuredText: theirs is plain text around `code`."""

from __future__ import annotations

import re
from itertools import groupby

from docutils.nodes import Element
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util.nodes import make_refnode

STARTS = ('Source:', 'Sources:', 'Raises ', 'Shapes:')
FIELD = re.compile(r'(\w+(?:, \w+)*):(?= )')
CODE = re.compile('(``.*?``|`[^`]*`)', re.S)


def escaped(text: str) -> str:
    """Text in which shapes like (N, *), |x| and x_ are no markup."""
    parts = CODE.split(text)
    parts[::2] = [re.sub(r'[*|]|_(?!\w)', r'\\\g<0>', p) for p in parts[::2]]
    return ''.join(parts)


def separate(lines: list[str]) -> list[str]:
    """The lines with a blank one before each that begins with a `STARTS`."""
    out: list[str] = []
    for line in lines:
        if line.startswith(STARTS) and out and out[-1].strip():
            out.append('')
        out.append(line)
    return out


def listed(lines: list[str]) -> list[str]:
    """The lines with paragraphs of ``name: text`` made field lists."""
    out: list[str] = []
    for is_blank, group in groupby(lines, key=lambda line: not line.strip()):
        part = list(group)
        items = [line for line in part if not line.startswith(' ')]
        if not is_blank and len(items) > 1 and all(map(FIELD.match, items)):
            part = [FIELD.sub(r':\1:', line) for line in part]
        out += part
    return out


def process(
    app: Sphinx, what: str, name: str, item: object, options: object, lines
) -> None:
    lines[:] = listed(separate(escaped('\n'.join(lines)).split('\n')))


def find_elsewhere(
    app: Sphinx, env: BuildEnvironment, node: Element, content: Element
) -> Element | None:
    """A link for a `name` of another module, if one module alone has it."""
    if node.get('refdomain') != 'py':
        return None
    ending = f'.{node["reftarget"]}'
    objects = env.get_domain('py').objects
    found = [
        name
        for name, place in objects.items()
        if name.endswith(ending) and not place.aliased
    ]
    if len(found) != 1:
        return None
    (name,) = found
    place = objects[name]
    page = node['refdoc']
    return make_refnode(
        app.builder, page, place.docname, place.node_id, content, name
    )


def setup(app: Sphinx) -> dict:
    # Before napoleon, which takes `Args:` apart.
    app.connect('autodoc-process-docstring', process, priority=400)
    app.connect('missing-reference', find_elsewhere)
    return dict(parallel_read_safe=True)
