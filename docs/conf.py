"""The documentation site: Markdown pages, docstrings and configs' pages.

The whole repository is the source, so that a link between two of its files
leads to the same place on the site as it does in a checkout.
"""

import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / 'docs/_ext')]

from mmood import __version__  # noqa: E402

project = 'mmood'
author = copyright = 'the authors of mmood'
version = release = __version__

root_doc = 'docs/en/index'
include_patterns = [
    'docs/en/**',
    'configs/*/README.md',
    'projects/*/README.md',
    'README.md',
    'CHANGELOG.md',
]
exclude_patterns = [
    '.*',
    '**/__pycache__',
    'build',
    'data',
    'docs/_*',
    'mmood',
    'mmood.egg-info',
    'tests',
    'tools',
    'work_dirs',
]
extensions = [
    'myst_parser',
    'sphinx.ext.autodoc',
    'sphinx.ext.napoleon',
    'docstrings',
    'internal_links',
    'notebooks',
    'pages',
]
page_tables = ['docs/en/index', 'docs/en/api/index']
pages_of_folders = {
    'configs': 'docs/en/all_configs.md',
    'tools/dataset_converters': 'docs/en/dataset_prepare.md',
}
myst_heading_anchors = 6

autodoc_typehints = 'signature'
autodoc_inherit_docstrings = False
autodoc_member_order = 'bysource'
default_role = 'py:obj'

html_theme = 'furo'
html_title = f'mmood {version}'
html_static_path = ['_static']
html_css_files = ['site.css']
html_extra_path = ['_front']
