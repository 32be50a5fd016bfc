"""`make docs`: the site builds without a warning; what its parts do."""

import sys

import pytest

from helpers import ROOT, run

sys.path.append(str(ROOT / 'docs/_ext'))
from docstrings import escaped, listed, separate
from internal_links import Page, broken_links
from notebooks import as_markdown
from pages import contents, folder_links

INDEX = 'docs/en/index.html'


@pytest.fixture(scope='module')
def site(tmp_path_factory):
    """The whole site; a warning, or a link to nowhere, is an error."""
    out = tmp_path_factory.mktemp('site')
    options = ('-q', '-W', '--keep-going', '-d', out / 'trees')
    place = ('-c', ROOT / 'docs', ROOT, out / 'html')
    run(sys.executable, '-m', 'sphinx', *options, *place, cwd=ROOT)
    return out / 'html'


def reachable(folder):
    """Names of the files to which links lead from the front page."""
    found, new = set(), {(folder / 'index.html').resolve()}
    while new:
        path = new.pop()
        found.add(path)
        if path.suffix == '.html':
            links = Page(path.read_text('utf-8')).links
            targets = {
                (path.parent / link.partition('#')[0]).resolve()
                for link in links
                if '://' not in link
            }
            new |= {t for t in targets if t.is_file()} - found
    root = folder.resolve()
    return {path.relative_to(root).as_posix() for path in found}


def test_every_page_config_and_metafile_is_reachable(site):
    found = reachable(site)
    names = [path.rpartition('/')[2] for path in found]
    for pattern in ('docs/en/*.md', 'configs/*/*.md', 'projects/*/*.md'):
        for page in ROOT.glob(pattern):
            path = page.relative_to(ROOT).with_suffix('.html')
            assert path.as_posix() in found
    folders = list(ROOT.glob('configs/*/metafile.yml'))
    assert names.count('metafile.yml') == len(folders)
    for folder in folders:
        for config in folder.parent.glob('*.py'):
            assert config.name in names


def test_pages_have_what_the_sources_say(site):
    front = (site / INDEX).read_text()
    assert 'Which method, which score' in front
    api = (site / 'docs/en/api/scores.html').read_text()
    assert 'id="mmood.scores.energy"' in api
    assert 'Free energy' in api
    # A name of another module, in the text of a docstring.
    losses = (site / 'docs/en/api/losses.html').read_text()
    text = losses.partition('from inputs to their')[2][:200]
    assert 'href="scores.html#mmood.scores.Samples"' in text
    tutorial = (site / 'docs/en/tutorial.html').read_text()
    assert 'Move the threshold' in tutorial
    assert list(site.glob('_downloads/*/tutorial.ipynb'))
    assert 'which_method.svg' in (site / 'docs/en/choose.html').read_text()


def test_nothing_is_fetched_from_elsewhere(site):
    for path in site.rglob('*.html'):
        for line in path.read_text('utf-8').splitlines():
            if '<script' in line or '<link' in line or '<img' in line:
                assert '="http' not in line, f'{path}: {line}'


def test_a_link_to_nowhere_is_found(tmp_path):
    (tmp_path / 'a.html').write_text(
        '<p id="here"><a href="#here"><a href="b.html#there"><a href="#no">'
        '<a href="c.html"><img src="d.png"><a href="https://e.org/f">'
    )
    (tmp_path / 'b.html').write_text('<a name="there" href="a.html#">')
    broken = ['a.html: #no', 'a.html: c.html', 'a.html: d.png']
    assert broken_links(tmp_path) == broken


def test_tables_are_contents():
    text = '# A\n\n| [x](x.md) | 1 |\n\n## B\n\n| [y z](../y.md) | 2 |\n'
    text += '\n## C\n\nno [table](t.md)\n'
    trees = contents(text)
    assert trees.count('{toctree}') == 2
    assert ':caption: A\n\nx <x.md>\n' in trees
    assert ':caption: B\n\ny z <../y.md>\n' in trees


def test_links_to_folders_lead_to_their_pages(tmp_path):
    (tmp_path / 'configs/a').mkdir(parents=True)
    (tmp_path / 'docs').mkdir()
    text = '[a](../configs/a) [all](../configs) [b](../b) [d](d.md#x)'
    pages = dict(configs='docs/all.md')
    assert folder_links(text, tmp_path / 'docs', tmp_path, pages) == (
        '[a](../configs/a/README.md) [all](all.md) [b](../b) [d](d.md#x)'
    )


def test_docstrings_are_made_markup():
    assert escaped('(N, *) of ``|x| *`` and `a_` |k| b_') == (
        '(N, \\*) of ``|x| *`` and `a_` \\|k\\| b\\_'
    )
    lines = ['One.', 'Source: two.', '', 'Raises three.']
    assert separate(lines) == [*lines[:1], '', *lines[1:]]
    fields = ['a: one', '    more', 'b, c: two', '', 'd: alone', 'no field']
    assert listed(fields) == [':a: one', '    more', ':b, c: two', *fields[3:]]


def test_a_notebook_is_markdown():
    def cell(kind, source, *outputs):
        return dict(cell_type=kind, source=[source], outputs=outputs)

    png = dict(output_type='display_data', data={'image/png': 'AA\n'})
    text = dict(output_type='stream', text=['3\n'])
    value = dict(output_type='execute_result', data={'text/plain': ['4']})
    cells = [
        cell('markdown', '# T'),
        cell('code', 'f()', text, value, png),
        cell('code', ''),
    ]
    page = as_markdown(dict(cells=cells), 'a.ipynb')
    assert [part for part in page.split('\n') if part] == [
        '# T',
        '{download}`Download the notebook <a.ipynb>`',
        *('```python', 'f()', '```'),
        *('```text', '3', '```'),
        *('```text', '4', '```'),
        '![output of the cell](data:image/png;base64,AA)',
    ]
