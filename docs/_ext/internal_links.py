"""After the build: each link between pages has a file and an anchor."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

from sphinx.application import Sphinx
from sphinx.util import logging

logger = logging.getLogger(__name__)
ATTRIBUTES = ('href', 'src', 'data')


class Page(HTMLParser):
    """Links of a page and the names that links may point to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: set[str] = set()
        self.anchors = {'', 'top'}
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list) -> None:
        for name, value in attrs:
            if name in ATTRIBUTES and value:
                self.links.add(value)
            elif name in ('id', 'name') and value:
                self.anchors.add(value)


def broken_links(folder: Path) -> list[str]:
    """What points nowhere in the HTML files of a folder, page by page."""
    pages = {
        path.resolve(): Page(path.read_text('utf-8'))
        for path in sorted(folder.rglob('*.html'))
    }
    broken = []
    for path, page in pages.items():
        for link in sorted(page.links):
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = path
            if parts.path:
                target = (path.parent / unquote(parts.path)).resolve()
            found = target.is_file() and (
                target not in pages
                or unquote(parts.fragment) in pages[target].anchors
            )
            if not found:
                broken.append(f'{path.relative_to(folder.resolve())}: {link}')
    return broken


def check(app: Sphinx, exception: Exception | None) -> None:
    if exception is None and app.builder.format == 'html':
        for link in broken_links(Path(app.outdir)):
            logger.warning('broken link in %s', link, type='links')


def setup(app: Sphinx) -> dict:
    app.connect('build-finished', check)
    return dict(parallel_read_safe=True)
