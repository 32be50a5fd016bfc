"""One version in code, changelog, citation and metafiles."""

import re

from helpers import ROOT
from mmood import __version__


def test_pages_and_metafiles_have_the_version():
    changelog = (ROOT / 'CHANGELOG.md').read_text()
    assert re.findall(r'^## (\S+)', changelog, re.M)[0] == __version__
    readme = (ROOT / 'README.md').read_text()
    assert f'version = {{{__version__}}}' in readme
    for path in ROOT.glob('configs/*/metafile.yml'):
        versions = re.findall('Version: v(.*)', path.read_text())
        assert versions == [__version__], path
