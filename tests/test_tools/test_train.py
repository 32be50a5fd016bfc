"""Where a training starts, and that it has its work folder alone."""

import os
import runpy

import pytest
import torch
from mmengine.config import Config

from helpers import ROOT, run_here
from mmood.ops import lock_folder

set_start = runpy.run_path(str(ROOT / 'tools/train.py'))['set_start']


@pytest.fixture
def folder(tmp_path):
    """A whole checkpoint and a cut one, which the marker names."""
    content = dict(state_dict={}, meta={}, message_hub={})
    torch.save(content, tmp_path / 'iter_9.pth')
    cut = (tmp_path / 'iter_9.pth').read_bytes()[:-99]
    (tmp_path / 'iter_10.pth').write_bytes(cut)
    (tmp_path / 'last_checkpoint').write_text('iter_10.pth')
    return tmp_path


def start_of(path, **config):
    cfg = Config(dict(launcher='none', **config))
    set_start(cfg, path)
    return cfg.get('resume', False), cfg.get('load_from')


def test_a_cut_checkpoint_is_named_and_the_one_before_taken(folder, capsys):
    expected = (True, f'{folder}/iter_9.pth')
    for resume, more in (
        ('auto', {}),
        ('auto', dict(load_from='other.pth')),
        (None, dict(resume=True)),
    ):
        assert start_of(resume, work_dir=str(folder), **more) == expected
        said = capsys.readouterr().err
        assert f'{folder}/iter_10.pth cannot be read' in said
        assert f'training goes on from {folder}/iter_9.pth' in said
    (folder / 'iter_9.pth').unlink()
    assert start_of('auto', work_dir=str(folder)) == (False, None)
    assert 'training starts anew' in capsys.readouterr().err


def test_where_there_is_nothing_load_from_is_the_beginning(tmp_path, capsys):
    more = dict(work_dir=str(tmp_path), load_from='a.pth')
    assert start_of('auto', **more) == (False, 'a.pth')
    assert start_of(None, **more) == (False, 'a.pth')
    assert capsys.readouterr().err == ''


def test_a_path_is_taken_as_it_is_or_refused(folder, capsys):
    for path in (f'{folder}/iter_9.pth', 'https://somewhere/a.pth'):
        assert start_of(path, work_dir='x', load_from='b') == (True, path)
    with pytest.raises(SystemExit, match='--resume: .*iter_10.pth cannot be'):
        start_of(f'{folder}/iter_10.pth', work_dir='x')


def test_a_second_training_in_the_folder_is_refused(tmp_path, monkeypatch):
    config = ROOT / 'configs/vos/vos_faster-rcnn_r18_fpn_shapes.py'
    message = f'error: {tmp_path} is in use by process {os.getpid()} on '
    with lock_folder(tmp_path), pytest.raises(SystemExit, match=message):
        run_here(monkeypatch, 'train', config, '--work-dir', tmp_path)
