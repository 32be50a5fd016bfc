"""Links between the pages lead somewhere."""

import re

import pytest

from helpers import ROOT

PAGES = sorted(
    path
    for folder in ('', 'docs/en', 'configs', 'projects')
    for path in (ROOT / folder).glob('*.md' if not folder else '**/*.md')
)


def prose(page):
    """The text without code, in which brackets are no links."""
    text = re.sub('```.*?```', '', page.read_text(), flags=re.S)
    return re.sub('`[^`]*`', lambda code: code[0].replace('](', ''), text)


def anchors(page):
    """What GitHub makes of the headings."""
    text = re.sub('```.*?```', '', page.read_text(), flags=re.S)
    titles = re.findall('^#+ (.*)$', text, re.M)
    return {
        re.sub(r'[^\w\- ]', '', title.lower()).replace(' ', '-')
        for title in titles
    }


@pytest.mark.parametrize('page', PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    links = re.findall(r'\]\(([^)\s]+)\)', prose(page))
    links += re.findall(r'^\[[^\]]+\]: (\S+)$', prose(page), re.M)
    for link in links:
        if link.startswith('http'):
            continue
        path, _, anchor = link.partition('#')
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(target), link


def test_every_page_is_listed():
    index = (ROOT / 'docs/en/index.md').read_text()
    assert '](docs/en/index.md)' in (ROOT / 'README.md').read_text()
    for page in (ROOT / 'docs/en').glob('*.md'):
        if page.stem != 'index':
            assert f']({page.name})' in index
