"""What is compared and taken over between folders of stages."""

from __future__ import annotations

import json
import os
from pathlib import Path

import folders
import pytest
from folders import (
    compare,
    config_file,
    differences,
    last_checkpoint,
    reuse,
    write,
)
from mmengine.config import Config

CONFIG = dict(
    model=dict(type='A', sizes=(1, 2), teacher='there.pth'),
    custom_hooks=[dict(type='H', n=1)],
    work_dir='a',
    load_from='b',
    note='c',
)


@pytest.fixture
def stored(tmp_path) -> Path:
    """A folder with a config beside it."""
    folder = tmp_path / 'run/old'
    folder.mkdir(parents=True)
    write(config_file(folder), Config(CONFIG))
    return folder


def changed(**values) -> Config:
    cfg = Config(CONFIG)
    cfg.merge_from_dict(values)
    return cfg


def test_paths_and_notes_may_differ(stored):
    cfg = changed(work_dir='x', load_from='y', note='z', more=1)
    cfg.model.teacher = 'elsewhere.pth'
    assert differences(config_file(stored), cfg) == []
    compare(stored, cfg)
    compare(stored.with_name('missing'), changed(**{'model.type': 'B'}))


def test_differences_are_named(stored):
    cfg = changed(**{'model.type': 'B', 'train_cfg.max_epochs': 3})
    cfg.custom_hooks = [dict(type='H', n=list(range(100)))]
    del cfg.model['sizes']
    first, *rest = sorted(differences(config_file(stored), cfg))
    assert first.startswith("custom_hooks is [{'n': 1, 'type': 'H'}] there, ")
    assert first.endswith(' ... here') and len(first) < 200
    assert rest == [
        'model.sizes is [1, 2] there, unset here',
        'model.type is A there, B here',
        'train_cfg.max_epochs is unset there, 3 here',
    ]
    with pytest.raises(
        ValueError, match='run/old was made with other options'
    ):
        compare(stored, cfg)


def test_checkpoint_beside_its_marker(tmp_path):
    assert last_checkpoint(tmp_path / 'nowhere') is None
    marker = tmp_path / 'last_checkpoint'
    marker.write_text('/before/it/was/moved/iter_4.pth\n')
    assert last_checkpoint(tmp_path) is None
    (tmp_path / 'iter_4.pth').touch()
    assert last_checkpoint(tmp_path) == tmp_path / 'iter_4.pth'


@pytest.fixture
def finished(stored) -> Path:
    folder = stored
    (folder / 'last_checkpoint').write_text('x/e.pth')
    (folder / '.mmood-lock').touch()
    (folder / 'e.pth').write_text('weights')
    (folder / 'metrics.json').write_text(json.dumps({'AP50': 1.0}))
    return folder


@pytest.mark.parametrize('can_link', [True, False])
def test_an_equal_finished_stage_is_taken_over(
    finished, tmp_path, monkeypatch, can_link
):
    if not can_link:

        def link(*_):
            raise OSError('not here')

        monkeypatch.setattr(folders.os, 'link', link)
    new = tmp_path / 'new'
    (tmp_path / 'new.part').mkdir()  # of an attempt that was interrupted
    (tmp_path / 'new.part/old').touch()
    assert reuse(finished, new, changed(work_dir='mine'))
    names = ['e.pth', 'last_checkpoint', 'metrics.json']
    assert sorted(os.listdir(new)) == names
    assert Config.fromfile(config_file(new)).work_dir == 'mine'
    assert Config.fromfile(config_file(finished)).work_dir == 'a'
    assert os.path.samefile(new / 'e.pth', finished / 'e.pth') == can_link
    assert (new / 'e.pth').read_text() == 'weights'


def test_other_or_unfinished_stages_are_not(finished, tmp_path):
    new = tmp_path / 'new'
    assert not reuse(finished, new, changed(**{'model.type': 'B'}))
    (finished / 'e.pth').rename(finished / 'f.pth')
    assert not reuse(finished, new, Config(CONFIG))
    (finished / 'f.pth').rename(finished / 'e.pth')
    (finished / 'metrics.json').unlink()
    assert not reuse(finished, new, Config(CONFIG))
    (finished / 'metrics.json').touch()
    config_file(finished).unlink()
    assert not reuse(finished, new, Config(CONFIG))
    assert not new.exists()
