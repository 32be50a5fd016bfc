"""The tool that writes the report."""

import numpy as np
import pytest

from helpers import run_here
from mmood.visualization.report import page
from report_helpers import box_records, write_box_test, write_picture


@pytest.fixture
def finished(tmp_path):
    rng = np.random.default_rng(0)
    path = write_picture(tmp_path / 'a.png')
    records = [
        one
        for origin in ('id', 'far')
        for one in box_records(rng, origin, [path], 4, 1.0)
    ]
    write_box_test(tmp_path / 'run/ood', records)
    return tmp_path / 'run'


def test_it_writes_one_page_and_says_where(
    finished, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(page, '_plotly', lambda: 'var Plotly = {};')
    out = tmp_path / 'new/report.html'
    run_here(monkeypatch, 'analysis_tools/report', finished, '-o', out)
    assert capsys.readouterr().out.startswith(f'{out}: 0.')
    assert out.read_text('utf-8').startswith('<!DOCTYPE html>')


@pytest.mark.parametrize(
    ('folder', 'reason'),
    [('empty', 'has no test: run tools/test.py'), ('no', 'does not exist')],
)
def test_what_is_no_test_is_refused_in_a_sentence(
    tmp_path, monkeypatch, folder, reason
):
    monkeypatch.setattr(page, '_plotly', str)
    (tmp_path / 'empty').mkdir()
    out = tmp_path / 'report.html'
    with pytest.raises(SystemExit, match=f'error: .*{reason}'):
        run_here(
            monkeypatch,
            'analysis_tools/report',
            tmp_path / folder,
            '-o',
            out,
        )
    assert not out.exists()


def test_no_picture_at_all_is_no_limit(finished, monkeypatch, capsys):
    with pytest.raises(SystemExit):
        run_here(monkeypatch, 'analysis_tools/report', finished, '--limit', 0)
    assert 'must be at least 1, got 0' in capsys.readouterr().err
