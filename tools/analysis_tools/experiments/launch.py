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
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from mmood.ops import lock_folder

from . import child
from .stage import Stage, Step

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
    crew = _Crew(stages, _environments(jobs, gpus))
    if crew.waiting:
        with lock_folder(out), _interruptible():
            try:
                crew.work()
            finally:
                crew.stop()
    return [stage for stage in stages if stage in crew.failed]


@dataclass
class _Job:
    """A stage at work: the steps that are left, and the child at one."""

    stage: Stage
    steps: Iterator[Step]
    env: dict
    child: subprocess.Popen | None = None


class _Crew:
    """What waits, what runs and what came out so far.

    Children are processes in groups of their own, with their data workers.
    They end with this process, even if it is killed (see child.py).
    """

    def __init__(self, stages: Sequence[Stage], envs: Sequence[dict]) -> None:
        self.waiting = [stage for stage in stages if not stage.finished]
        self.running: list[_Job] = []
        self.failed: list[Stage] = []
        self._free = deque(envs)
        self._number = {stage: i for i, stage in enumerate(stages, 1)}
        self._done, self._start = 0, time.monotonic()
        for stage in stages:
            if stage not in self.waiting:
                self._say(stage, 'finished before')

    def work(self) -> None:
        """Until nothing waits or runs."""
        while self.waiting or self.running:
            while self._free and (stage := self._next()):
                job = _Job(stage, stage.steps(), self._free.popleft())
                self.running.append(job)
                self._go_on(job)
            time.sleep(_PAUSE)
            for job in list(self.running):
                if job.child.poll() is not None:
                    self._go_on(job)

    def stop(self) -> None:
        """End all children."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            for job in self.running:
                if job.child and job.child.poll() is None:
                    with suppress(ProcessLookupError):
                        os.killpg(job.child.pid, number)
            limit = time.monotonic() + child.GRACE
            for job in self.running:
                with suppress(subprocess.TimeoutExpired):
                    job.child.wait(limit - time.monotonic())

    def _next(self) -> Stage | None:
        """Take the first stage that is ready; leave out what cannot be."""
        busy = {job.stage for job in self.running}
        for stage in list(self.waiting):
            lost = [need for need in stage.needs if need in self.failed]
            if lost:
                self._say(stage, f'left out, it needs {lost[0].name}')
                self.failed.append(stage)
            elif busy.intersection(stage.needs) or any(
                need in self.waiting for need in stage.needs
            ):
                continue
            self.waiting.remove(stage)
            if not lost:
                return stage
        return None

    def _go_on(self, job: _Job) -> None:
        """Begin the next step of a job, or end it."""
        stage = job.stage
        try:
            if job.child:
                job.child.stdin.close()
                subprocess.CompletedProcess(
                    job.child.args, job.child.returncode
                ).check_returncode()
            step, command = next(job.steps, (None, None))
            if step:
                self._say(stage, f'{step}, {self._clock()}, log {stage.log}')
                job.child = _start(command, stage.log, job.env)
                return
        except subprocess.CalledProcessError as error:
            head = f'failed with status {error.returncode}, end of {stage.log}'
            self._say(stage, f'{head}:\n{_tail(stage.log)}')
            self.failed.append(stage)
        except Exception as error:
            self._say(stage, f'failed: {error}')
            self.failed.append(stage)
        self.running.remove(job)
        self._free.append(job.env)
        self._done += 1

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


def _start(command: list[str], log: Path, env: dict) -> subprocess.Popen:
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open('a') as file:
        file.write(f'$ {shlex.join(command)}\n')
        file.flush()
        return subprocess.Popen(
            [sys.executable, '-S', child.__file__, *command],
            stdin=subprocess.PIPE,
            stdout=file,
            stderr=subprocess.STDOUT,
            env=env,
            start_new_session=True,
        )


def _tail(log: Path) -> str:
    with log.open(errors='replace') as file:
        return ''.join(f'    {line}' for line in deque(file, _TAIL)).rstrip()


def _time(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))


def _environments(jobs: int, gpus: Sequence[str]) -> list[dict]:
    if gpus:
        return [{**os.environ, 'CUDA_VISIBLE_DEVICES': gpu} for gpu in gpus]
    threads = {'OMP_NUM_THREADS': '1'} if jobs > 1 else {}
    return [{**threads, **os.environ}] * jobs


@contextmanager
def _interruptible() -> Iterator[None]:
    """Have requests to end raise KeyboardInterrupt, unless ignored."""
    old = {n: signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGHUP)}
    for number, handler in old.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler)
    try:
        yield
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)
