"""Pages that read well in a checkout become those of a site.

The tables of a page listed in `page_tables` say what belongs to it: they are
its tables of contents. A link to a folder leads to that folder's page.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from sphinx.application import Sphinx

TOCTREE = """
```{{toctree}}
:hidden:
:caption: {title}

{entries}
```
"""


def contents(text: str) -> str:
    """A hidden toctree for each section, of the links that begin its rows."""
    trees = []
    for section in re.split('^#(?=# )', text, flags=re.M):
        title = section.partition('\n')[0].removeprefix('# ')
        rows = re.findall(r'^\| \[([^\]]+)\]\(([^)]+)\)', section, re.M)
        if rows:
            entries = '\n'.join(f'{name} <{page}>' for name, page in rows)
            trees.append(TOCTREE.format(title=title, entries=entries))
    return ''.join(trees)


def folder_links(text: str, folder: Path, root: Path, pages: dict) -> str:
    """`text` with links to folders changed to links to their pages."""

    def to_page(link: re.Match) -> str:
        target = (folder / link[2]).resolve()
        if not target.is_dir():
            return link[0]
        name = target.relative_to(root).as_posix()
        page = root / pages.get(name, f'{name}/README.md')
        return f'{link[1]}{os.path.relpath(page, folder)}{link[3]}'

    return re.sub(r'(\]\()([\w./-]+)(\))', to_page, text)


def read_page(app: Sphinx, name: str, source: list[str]) -> None:
    path = Path(app.env.doc2path(name))
    if path.suffix != '.md':
        return
    root = Path(app.srcdir)
    text = folder_links(
        source[0], path.parent, root, app.config.pages_of_folders
    )
    if name in app.config.page_tables:
        text += contents(text)
    source[0] = text


def setup(app: Sphinx) -> dict:
    app.add_config_value('pages_of_folders', {}, 'env')
    app.add_config_value('page_tables', [], 'env')
    app.connect('source-read', read_page)
    return dict(parallel_read_safe=True)
