"""Stages side by side, as child processes with a log file each."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

from mmood.ops import lock_folder

from . import child
from .stage import Stage

_TAIL = 20  # lines of a failed stage's log
_PAUSE = 0.1  # seconds between two looks at the children


def run_stages(
    stages: Sequence[Stage], out: Path, jobs: int = 1, gpus: Sequence[str] = ()
) -> list[Stage]:
    """Do what is left of the stages, ``jobs`` at a time; those that failed.

    Whenever a job is free, the first stage begins whose needs are finished.
    All lie in the folder ``out``, which is locked unless nothing is left:
    FolderInUseError says who has it.
    With ``gpus`` there are as many jobs, and each sees one of them. Without,
    several jobs compute in one thread each unless OMP_NUM_THREADS is set.
    A failed stage ends neither the others nor the call; its log's end is
    shown. On KeyboardInterrupt all children are ended first.
    """
    threads = {'OMP_NUM_THREADS': '1'} if jobs > 1 else {}
    places = [{'CUDA_VISIBLE_DEVICES': gpu} for gpu in gpus] or [{}] * jobs
    crew = _Crew(stages)
    if crew.waiting:
        with lock_folder(out), _interruptible():
            crew.work([{**threads, **os.environ, **one} for one in places])
    return [stage for stage in stages if stage in crew.failed]


class _Crew:
    """What waits, what runs and what came out so far.

    Children are processes in groups of their own, with their data workers.
    They end with this process, even if it is killed, because all of them
    watch one pipe of it (see child.py).
    """

    def __init__(self, stages: Sequence[Stage]) -> None:
        self.waiting = [stage for stage in stages if not stage.finished]
        self.running: list[Stage] = []
        self.failed: list[Stage] = []
        self._children: list[subprocess.Popen] = []
        self._number = {stage: i for i, stage in enumerate(stages, 1)}
        self._done, self._start = 0, time.monotonic()
        for stage in stages:
            if stage not in self.waiting:
                self._say(stage, 'finished before')

    def work(self, environments: Sequence[dict]) -> None:
        """Until nothing waits or runs, a job in each of the environments.

        An interrupt ends all children.
        """
        self._watched, end = os.pipe()
        jobs = [self._job(env) for env in environments]
        try:
            while jobs:
                jobs = [job for job in jobs if next(job, 'ended') is None]
                time.sleep(_PAUSE)
        finally:
            os.close(end)
            for one in self._children:
                one.wait()
            os.close(self._watched)

    def _job(self, env: dict) -> Iterator[None]:
        """Carry out stage after stage, with a pause while a child runs."""
        while self.waiting:
            stage = self._next()
            if not stage:
                yield
                continue
            self.running.append(stage)
            try:
                for step, command in stage.steps():
                    log = stage.log
                    self._say(stage, f'{step}, {self._clock()}, log {log}')
                    process = self._begin(command, log, env)
                    while (status := process.poll()) is None:
                        yield
                    if status:
                        text = f'status {status}, end of {log}:\n{_tail(log)}'
                        raise ValueError(text)
            except Exception as error:
                self._fail(stage, f'failed: {error}')
            self.running.remove(stage)
            self._done += 1

    def _next(self) -> Stage | None:
        """Take the first stage that is ready; leave out what cannot be."""
        for stage in list(self.waiting):
            lost = [need for need in stage.needs if need in self.failed]
            ahead = {*self.waiting, *self.running}.intersection(stage.needs)
            if ahead and not lost:
                continue
            self.waiting.remove(stage)
            if not lost:
                return stage
            self._fail(stage, f'left out, it needs {lost[0].name}')
        return None

    def _begin(
        self, command: list[str], log: Path, env: dict
    ) -> subprocess.Popen:
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open('a') as file:
            file.write(f'$ {shlex.join(command)}\n')
            file.flush()
            process = subprocess.Popen(
                [sys.executable, '-S', child.__file__, *command],
                stdin=self._watched,
                stdout=file,
                stderr=subprocess.STDOUT,
                env=env,
                start_new_session=True,
            )
        self._children.append(process)
        return process

    def _fail(self, stage: Stage, why: str) -> None:
        self._say(stage, why)
        self.failed.append(stage)

    def _say(self, stage: Stage, text: str) -> None:
        head = f'[{self._number[stage]}/{len(self._number)}] {stage.name}'
        print(f'{head}: {text}', file=sys.stderr, flush=True)

    def _clock(self) -> str:
        """Elapsed time, and the rest by the mean time of finished stages."""
        elapsed = time.monotonic() - self._start
        text = f'{_time(elapsed)} elapsed'
        if self._done:
            left = len(self.waiting) + len(self.running)
            text += f', about {_time(elapsed / self._done * left)} left'
        return text


def _tail(log: Path) -> str:
    with log.open(errors='replace') as file:
        return ''.join(f'    {line}' for line in deque(file, _TAIL)).rstrip()


def _time(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))


@contextmanager
def _interruptible() -> Iterator[None]:
    """Have requests to end raise KeyboardInterrupt, unless ignored."""
    ends = (signal.SIGTERM, signal.SIGHUP)
    heeded = [n for n in ends if signal.getsignal(n) is not signal.SIG_IGN]
    old = {n: signal.signal(n, signal.default_int_handler) for n in heeded}
    try:
        yield
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)
