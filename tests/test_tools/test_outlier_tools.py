"""Tools that cut objects out, and show what is pasted."""

import sys

import cv2
import numpy as np
import pytest

from helpers import ROOT, run_here
from object_sources import one, write_objects
from seg_helpers import write_pair

CONFIG = """
_base_ = ['{root}/configs/_base_/datasets/segmentation.py',
          '{root}/configs/_base_/datasets/camvid.py']
default_scope = 'mmseg'
crop_size = (60, 80)
data_root = '{data}'
train_prefix = dict(img_path='images', seg_map_path='labels')
objects = dict(type='mmood.DrawnObjects')
paste = dict(type='mmood.PasteOutliers', source='$objects', prob=0.0,
             area=(0.05, 0.1))
train_pipeline = [
    dict(type='LoadImageFromFile'),
    '$load_labels',
    dict(type='Resize', scale=(80, 60), keep_ratio=False),
    {paste}
    dict(type='mmseg.PackSegInputs'),
]
"""
MAGENTA = (255, 0, 255)


@pytest.fixture
def config(tmp_path):
    def write(paste="'$paste',"):
        for i in range(3):
            write_pair(tmp_path, f'images/{i}.jpg', f'labels/{i}.png', [3])
        text = CONFIG.format(root=ROOT, data=tmp_path, paste=paste)
        (tmp_path / 'config.py').write_text(text)
        return tmp_path / 'config.py'

    return write


def sheet(patch, config, *options):
    out = config.parent / 'sheet.png'
    arguments = (config, '--out', out, '--number', 2, '--side', 80)
    tool = 'analysis_tools/browse_outliers'
    run_here(patch, tool, *arguments, *options)
    return cv2.imread(str(out))[..., ::-1]


def test_the_sheet_shows_what_is_pasted(config, monkeypatch, capsys):
    path = config()
    pasted = sheet(monkeypatch, path, '--all')
    # Of the labels of both images 5 to 10 %.
    count = (pasted == MAGENTA).all(-1).sum()
    assert 0.04 < count / (2 * 60 * 80) < 0.2
    plain = sheet(monkeypatch, path)
    assert (plain == MAGENTA).all(-1).sum() < 200  # of the legend
    again = sheet(monkeypatch, path, '--all')
    np.testing.assert_array_equal(again, pasted)
    other = sheet(monkeypatch, path, '--all', '--epoch', 1)
    assert other.shape != pasted.shape or (other != pasted).any()
    assert 'wrote ' in capsys.readouterr().out


def test_nothing_to_browse(config, monkeypatch):
    message = 'error: the training pipeline has no mmood.PasteOutliers'
    with pytest.raises(SystemExit, match=message):
        sheet(monkeypatch, config(paste=''))


def test_objects_are_cut_out(tmp_path, monkeypatch, capsys):
    path = write_objects(tmp_path, [one('cat', (20, 10, 40, 30))])
    picture = np.full((60, 80, 3), 40, np.uint8)
    cv2.ellipse(picture, (40, 25), (18, 13), 0, 0, 360, (30, 200, 230), -1)
    cv2.imwrite(str(tmp_path / 'a.png'), picture)
    out = tmp_path / 'deep' / 'out'
    run_here(monkeypatch, 'dream_box/cut_objects', path, '--out', out)
    assert '1 written' in capsys.readouterr().out
    assert cv2.imread(str(out / 'cat_1.png'), -1).shape[2] == 4
    message = 'error: no object of .*instances.json was cut out'
    with pytest.raises(SystemExit, match=message):
        run_here(monkeypatch, 'dream_box/cut_objects', path, '--out', out,
                 '--min-side', 99)  # fmt: skip
    (tmp_path / 'a.png').unlink()
    with pytest.raises(SystemExit, match='error: .*a.png does not exist'):
        run_here(monkeypatch, 'dream_box/cut_objects', path, '--out', out)


def test_benchmark_pastes_from_a_file(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / 'tools/analysis_tools'))
    import benchmark_paste

    for name, few in dict(IMAGES=2, OBJECTS=4, TURN=2).items():
        monkeypatch.setattr(benchmark_paste, name, few)
    table = benchmark_paste.rows(str(tmp_path), 1)
    assert [len(row) for row in table] == [4, 4, 4]
    assert all(row[1] > 0 and row[3] > 0 for row in table)
    assert 'benchmark_paste' in sys.modules
