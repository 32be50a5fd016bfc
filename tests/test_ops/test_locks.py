"""One run at a time writes to a folder; its death is the end of the lock."""

import json
import os
import socket
import subprocess
import sys

import pytest

from mmood.ops import FolderInUseError, NotWrittenError, lock_folder, locks

# Takes the lock, says so, and waits.
HOLD = """
import sys
from filelock import FileLock
lock = FileLock(sys.argv[1])
lock.acquire()
print('held', flush=True)
sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that has the lock of the folder."""
    command = [sys.executable, '-c', HOLD, str(tmp_path / '.mmood-lock')]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == 'held\n'
        yield process
        process.kill()


def refused(folder, message='in use by'):
    with (
        pytest.raises(FolderInUseError, match=message),
        lock_folder(folder),
    ):
        pass


def say_who(folder, **changes):
    content = dict(
        pid=os.getppid(),
        host=socket.gethostname(),
        command='run_table.py a b',
        since='today',
    )
    text = json.dumps({**content, **changes})
    (folder / '.mmood-holder.json').write_text(text)


def test_the_holder_is_named_and_its_death_ends_the_lock(tmp_path, holder):
    refused(tmp_path, 'in use by another run: wait')
    for text in ('{', '[' * 99999, '3', '{"pid": "x"}'):
        (tmp_path / '.mmood-holder.json').write_text(text)
        refused(tmp_path, 'in use by another run: wait')
    say_who(tmp_path)
    message = rf'process {os.getppid()} on .*, since today \(run_table.py a b'
    refused(tmp_path, message)
    holder.kill()
    holder.wait()
    with lock_folder(tmp_path):
        found = json.loads((tmp_path / '.mmood-holder.json').read_text())
        assert found['pid'] == os.getpid()
    assert not (tmp_path / '.mmood-holder.json').exists()


def test_workers_of_a_dead_run_are_waited_for(tmp_path, holder, monkeypatch):
    """They can keep the lock for some seconds."""
    monkeypatch.setattr(locks, '_PATIENCE', 0.1)
    dead = subprocess.Popen([sys.executable, '-S', '-c', ''])
    dead.wait()
    asked = []
    acquire = locks.FileLock.acquire

    def count(self, timeout=None, **kwargs):
        asked.append(timeout)
        return acquire(self, timeout=timeout, **kwargs)

    monkeypatch.setattr(locks.FileLock, 'acquire', count)
    for changes, timeouts in (
        (dict(pid=dead.pid), [0, 0.1]),
        (dict(pid=dead.pid, host='elsewhere'), [0]),
    ):
        say_who(tmp_path, **changes)
        refused(tmp_path)
        assert asked == timeouts
        asked.clear()


def test_within_a_process_too_and_after_errors(tmp_path):
    folder = tmp_path / 'new'
    with lock_folder(folder):
        refused(folder, f'process {os.getpid()} ')
        assert (folder / '.mmood-holder.json').is_file()
    with pytest.raises(KeyError), lock_folder(folder):
        raise KeyError
    with lock_folder(folder):
        pass


def test_a_folder_that_cannot_be_is_named(tmp_path):
    (tmp_path / 'file').touch()
    with (
        pytest.raises(NotWrittenError, match='cannot lock .*/file: File ex'),
        lock_folder(tmp_path / 'file'),
    ):
        pass
