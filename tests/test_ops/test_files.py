"""A reader never sees half a file."""

import json
import math
import os
import resource
import signal
import subprocess
import sys

import pytest
import torch

from mmood.ops import NotWrittenError, atomic_write, files, write_json


@pytest.fixture
def small_disk():
    """Files end at 1 kB, as where the disk is full."""
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    signal.signal(signal.SIGXFSZ, handler)


@pytest.fixture(scope='module')
def dead():
    """The id of a process that is no more."""
    child = subprocess.Popen([sys.executable, '-S', '-c', ''])
    child.wait()
    return child.pid


def test_text_takes_the_place_of_the_old_one_at_the_end(tmp_path):
    path = tmp_path / 'a.txt'
    path.write_text('old')
    with atomic_write(path) as file:
        file.write('é')
        assert path.read_text() == 'old'
    assert path.read_bytes() == 'é'.encode()
    assert list(tmp_path.iterdir()) == [path]


def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / 'a.bin'
    path.write_bytes(b'old')
    with pytest.raises(KeyError), atomic_write(path, 'wb') as file:
        file.write(b'ne')
        raise KeyError
    assert path.read_bytes() == b'old'
    assert list(tmp_path.iterdir()) == [path]


def test_folders_are_made_and_links_followed(tmp_path):
    (tmp_path / 'link').symlink_to(tmp_path / 'new/a')
    with atomic_write(tmp_path / 'link') as file:
        file.write('text')
    assert (tmp_path / 'link').is_symlink()
    assert (tmp_path / 'new/a').read_text() == 'text'


@pytest.mark.parametrize(
    'write',
    [
        lambda file: file.write(bytes(9999)),
        lambda file: torch.save(torch.zeros(9999), file),
    ],
)
def test_a_full_disk_is_named(tmp_path, small_disk, write):
    path = tmp_path / 'a.bin'
    path.write_bytes(b'old')
    message = f'cannot write {path}: File too large; make room or set the '
    with (
        pytest.raises(NotWrittenError, match=message),
        atomic_write(path, 'wb') as file,
    ):
        write(file)
    assert path.read_bytes() == b'old'
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_is_a_file_is_named(tmp_path):
    (tmp_path / 'file').touch()
    with (
        pytest.raises(
            NotWrittenError, match='cannot write .*file/a: .*exists'
        ),
        atomic_write(tmp_path / 'file' / 'a'),
    ):
        pass


def test_the_clean_up_does_not_hide_the_error(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, 'No space left on device')

    def denied(self):
        raise PermissionError(13, 'Permission denied')

    monkeypatch.setattr(os, 'replace', full)
    monkeypatch.setattr(files.Path, 'unlink', denied)
    with (
        pytest.raises(NotWrittenError, match='No space left'),
        atomic_write(tmp_path / 'a'),
    ):
        pass


def test_errors_of_other_files_stay_theirs(tmp_path):
    with (
        pytest.raises(FileNotFoundError, match='other'),
        atomic_write(tmp_path / 'a'),
    ):
        (tmp_path / 'other').read_text()


def test_what_a_killed_writer_left_goes_with_the_next_write(tmp_path, dead):
    host = files._HOST
    left = tmp_path / f'.mmood-{host}-{dead}-3.part'
    old = tmp_path / '.mmood-some-host-77-0.part'
    kept = [
        tmp_path / f'.mmood-{host}-{os.getppid()}-0.part',
        tmp_path / '.mmood-some-host-77-1.part',
        tmp_path / f'.a.{dead}.part',
        tmp_path / f'.mmood-{host}-x-0.part',
        tmp_path / f'.mmood-{host}-{10**30}-0.part',
    ]
    for path in (left, old, *kept):
        path.touch()
    os.utime(old, (0, 0))
    with atomic_write(tmp_path / 'a'):
        pass
    assert set(tmp_path.iterdir()) == {*kept, tmp_path / 'a'}


def test_json_has_null_for_what_is_no_number(tmp_path):
    path = tmp_path / 'new/a.json'
    scores = (1.5, math.nan, math.inf, -math.inf)
    # A name that is no UTF-8 comes from the system with a lone surrogate.
    content = dict(scores=scores, deep=[dict(x=math.nan)], name='é\udc80')
    write_json(str(path), content)

    def refuse(word):
        raise AssertionError(word)

    back = json.loads(path.read_text('utf-8'), parse_constant=refuse)
    assert back == {
        'scores': [1.5, None, None, None],
        'deep': [{'x': None}],
        'name': 'é\udc80',
    }
    assert [p.name for p in path.parent.iterdir()] == ['a.json']


def test_a_name_that_is_no_utf8_is_written_all_the_same(tmp_path):
    with atomic_write(tmp_path / 'a.html') as file:
        file.write('é\udc80')
    assert (tmp_path / 'a.html').read_text('utf-8') == 'é\\udc80'
