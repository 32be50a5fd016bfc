"""Scripts in new processes whose imports are done.

Importing torch and mmdet costs more than a tiny training. A server does it
once and forks a process for each script, or for each of its ranks: nothing
of the tests is in it, as in one that was launched.
"""

from __future__ import annotations

import multiprocessing
import os
import runpy
import socket
import sys
import tempfile
import time
from multiprocessing import connection, forkserver
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

CONTEXT = multiprocessing.get_context('forkserver')
CONTEXT.set_forkserver_preload(['preloaded'])
# Many small processes on few cores.
QUIET = dict(PYTHONWARNINGS='ignore', OMP_NUM_THREADS='1')
LIMIT = 900  # seconds


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        return probe.getsockname()[1]


def start_script(
    out: str, cwd: Path, script: Path, *arguments: object, ranks=0, **env: str
) -> list[BaseProcess]:
    """Start a script, or as many ranks as torchrun would.

    What they print is appended to the file ``out``.
    """
    env = {**os.environ, **QUIET, **env}
    _start_server()
    places = [{}]
    if ranks:
        group = dict(MASTER_ADDR='127.0.0.1', MASTER_PORT=str(free_port()))
        group.update(WORLD_SIZE=str(ranks), LOCAL_WORLD_SIZE=str(ranks))
        places = [
            dict(group, RANK=str(rank), LOCAL_RANK=str(rank))
            for rank in range(ranks)
        ]
    command = [str(part) for part in (script, *arguments)]
    processes = [
        CONTEXT.Process(
            target=_work, args=(out, str(cwd), command, {**env, **place})
        )
        for place in places
    ]
    for process in processes:
        process.start()
    return processes


def run_script(
    cwd: Path, script: Path, *arguments: object, ranks=0, check=True, **env
) -> str:
    """Run a script to its end; what it printed."""
    with tempfile.NamedTemporaryFile('r', errors='replace') as out:
        processes = start_script(
            out.name, cwd, script, *arguments, ranks=ranks, **env
        )
        ended = _join(processes)
        output = out.read()
    if check:
        assert ended, output[-4000:]
    return output


def _start_server() -> None:
    with pytest.MonkeyPatch.context() as patch:
        path = os.pathsep.join(part for part in sys.path if part)
        for name, value in dict(QUIET, PYTHONPATH=path).items():
            patch.setenv(name, value)
        forkserver.ensure_running()


def _work(out: str, cwd: str, command: list[str], env: dict) -> None:
    """As ``python script arguments`` in a folder and an environment."""
    file = os.open(out, os.O_WRONLY | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(file, stream)
    os.environ.clear()
    os.environ.update(env)
    os.chdir(cwd)
    sys.argv = command
    sys.path.insert(0, str(Path(command[0]).parent))
    runpy.run_path(command[0], run_name='__main__')


def _join(processes: list[BaseProcess]) -> bool:
    """Whether all ended well; once one did not, the others are ended."""
    end, alive = time.monotonic() + LIMIT, processes
    while alive and not any(process.exitcode for process in processes):
        left = end - time.monotonic()
        if left <= 0:
            break
        connection.wait([process.sentinel for process in alive], left)
        alive = [process for process in processes if process.is_alive()]
    for process in alive:
        process.kill()
    for process in processes:
        process.join()
    return not any(process.exitcode for process in processes)
