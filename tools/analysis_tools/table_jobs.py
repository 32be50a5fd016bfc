"""Runs side by side, as child processes with a log file each."""

from __future__ import annotations

import os
import queue
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, nullcontext, suppress
from datetime import timedelta
from pathlib import Path

import table_child
from table_runs import Execute, Run

from mmood.ops import lock_folder

_TAIL = 20  # lines of a failed run's log
_WATCHER = table_child.__file__


class Children:
    """Child processes, each with its data workers in a group of its own.

    They end with this process, even if it is killed (see table_child.py).
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: set[subprocess.Popen] = set()
        self.stopped = False

    def run(self, command: list[str], log: Path, env: dict) -> None:
        """Run to the end; CalledProcessError if it fails or is stopped."""
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open('a') as file:
            file.write(f'$ {shlex.join(command)}\n')
            file.flush()
            with self._lock:
                if self.stopped:
                    raise subprocess.CalledProcessError(1, command)
                child = subprocess.Popen(
                    [sys.executable, '-S', _WATCHER, *command],
                    stdin=subprocess.PIPE,
                    stdout=file,
                    stderr=subprocess.STDOUT,
                    env=env,
                    start_new_session=True,
                )
                self._running.add(child)
        with child:
            status = child.wait()
        with self._lock:
            self._running.discard(child)
        if status:
            raise subprocess.CalledProcessError(status, command)

    def stop(self) -> None:
        """End all children and start no more."""
        with self._lock:
            self.stopped = True
            running = list(self._running)
        for child in running:
            _signal(child, signal.SIGTERM)
        for child in running:
            try:
                child.wait(table_child.GRACE)
            except subprocess.TimeoutExpired:
                _signal(child, signal.SIGKILL)


def _signal(child: subprocess.Popen, number: int) -> None:
    if child.poll() is None:
        with suppress(ProcessLookupError):
            os.killpg(child.pid, number)


class Progress:
    """Lines on stderr, with the time that has passed and what is left."""

    def __init__(self, runs: Sequence[Run]) -> None:
        self._number = {run: i for i, run in enumerate(runs, 1)}
        self._left = sum(not run.finished for run in runs)
        self._done, self._start = 0, time.monotonic()
        self._lock = threading.Lock()

    def say(self, run: Run, text: str) -> None:
        head = f'[{self._number[run]}/{len(self._number)}] {run.name}'
        with self._lock:
            print(f'{head}: {text}', file=sys.stderr, flush=True)

    def count(self) -> None:
        """One run is through."""
        with self._lock:
            self._done, self._left = self._done + 1, self._left - 1

    def clock(self) -> str:
        """Elapsed time, and the rest by the mean time of finished runs."""
        elapsed = time.monotonic() - self._start
        text = f'{_time(elapsed)} elapsed'
        if self._done:
            rest = elapsed / self._done * self._left
            text += f', about {_time(rest)} left'
        return text


def _time(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))


def run_all(
    runs: Sequence[Run],
    work: Callable[[Run, Execute], None],
    out: Path,
    jobs: int = 1,
    gpus: Sequence[str] = (),
) -> list[Run]:
    """Work on the runs, in order, ``jobs`` at a time; those that failed.

    They lie in the folder ``out``, which is locked unless all are finished:
    FolderInUseError says who has it.
    With ``gpus`` there are as many jobs, and each sees one of them. Without,
    several jobs compute in one thread each unless OMP_NUM_THREADS is set.
    A failed run ends neither the others nor the call; its log's end is
    shown. On KeyboardInterrupt all children are ended first.
    """
    crew = _Crew(runs, work, jobs, gpus)
    is_idle = all(run.finished for run in runs)
    with (
        nullcontext() if is_idle else lock_folder(out),
        ThreadPoolExecutor(len(gpus) or jobs) as pool,
        _interruptible(),
    ):
        try:
            for run in runs:
                crew.futures[run] = pool.submit(crew.job, run)
            return [run for run in runs if not crew.futures[run].result()]
        except KeyboardInterrupt:
            pool.shutdown(wait=False, cancel_futures=True)
            crew.children.stop()
            raise


class _Crew:
    """What the jobs share: children, GPUs, progress, what came out so far."""

    def __init__(
        self,
        runs: Sequence[Run],
        work: Callable[[Run, Execute], None],
        jobs: int,
        gpus: Sequence[str],
    ) -> None:
        self.children = Children()
        self.futures: dict[Run, Future] = {}
        self._work, self._jobs = work, jobs
        self._progress = Progress(runs)
        self._free: queue.Queue = queue.Queue()
        for slot in gpus or [None] * jobs:
            self._free.put(slot)

    def job(self, run: Run) -> bool:
        """Work on a run where it is due; whether it is finished."""
        if run.finished:
            self._progress.say(run, 'finished before')
            return True
        if run.needs and not self.futures[run.needs].result():
            self._progress.say(run, f'left out, it needs {run.needs.name}')
            return False
        gpu = self._free.get()
        try:
            return self._attempt(run, _environment(self._jobs, gpu))
        finally:
            self._free.put(gpu)

    def _attempt(self, run: Run, env: dict) -> bool:
        progress, log = self._progress, run.folder / 'run.log'

        def execute(step: str, command: list[str]) -> None:
            progress.say(run, f'{step}, {progress.clock()}, log {log}')
            self.children.run(command, log, env)

        try:
            self._work(run, execute)
        except subprocess.CalledProcessError as error:
            if not self.children.stopped:
                head = f'failed with status {error.returncode}, end of {log}:'
                progress.say(run, f'{head}\n{_tail(log)}')
            return False
        except Exception as error:
            progress.say(run, f'failed: {error}')
            return False
        finally:
            progress.count()
        return True


def _tail(log: Path) -> str:
    with log.open(errors='replace') as file:
        return ''.join(f'    {line}' for line in deque(file, _TAIL)).rstrip()


def _environment(jobs: int, gpu: str | None) -> dict:
    if gpu is not None:
        return {**os.environ, 'CUDA_VISIBLE_DEVICES': gpu}
    if jobs > 1:
        return {'OMP_NUM_THREADS': '1', **os.environ}
    return dict(os.environ)


@contextmanager
def _interruptible() -> Iterator[None]:
    """Have requests to end raise KeyboardInterrupt, unless ignored."""
    names = [signal.SIGTERM, signal.SIGHUP]
    old = {n: signal.getsignal(n) for n in names}
    for number, handler in old.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler)
    try:
        yield
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)
