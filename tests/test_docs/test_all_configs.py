"""docs/en/all_configs.md has what the metafiles say."""

import runpy

from helpers import ROOT

SCRIPT = runpy.run_path(str(ROOT / 'docs/all_configs.py'))


def test_the_page_is_up_to_date():
    assert SCRIPT['PAGE'].read_text() == SCRIPT['page'](), (
        'run python docs/all_configs.py'
    )


def test_every_final_config_has_a_row():
    page = SCRIPT['PAGE'].read_text()
    for readme in ROOT.glob('configs/*/metafile.yml'):
        for config in readme.parent.glob('*.py'):
            path = config.relative_to(ROOT).as_posix()
            assert f'| [{config.stem}](../../{path}) |' in page
