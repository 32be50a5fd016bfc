"""Runs side by side, on several GPUs, one after another, and their end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import run_table
from experiments.launch import run_stages
from experiments.stage import Stage

from mmood.ops import lock_folder


def main(*arguments):
    run_table.main([str(argument) for argument in arguments])


def failure(*arguments):
    with pytest.raises(SystemExit) as stop:
        main(*arguments)
    return stop.value.code


def test_two_jobs_overlap_in_one_thread_each(tools, write_spec, monkeypatch):
    monkeypatch.setenv('STUB_MEET', '1')  # each waits for the other
    main(write_spec(seeds=[0]), '--jobs', 2)
    done = {(c['tool'], c['folder']): c for c in tools.calls}
    a, b = done['train', 'a'], done['train', 'b']
    assert a['start'] < b['end'] and b['start'] < a['end']
    assert {c['OMP_NUM_THREADS'] for c in done.values()} == {'1'}
    assert done['test', 'a']['start'] > a['end']


def test_one_job_keeps_its_threads(tools, write_spec):
    main(write_spec(seeds=[0]))
    assert {c['OMP_NUM_THREADS'] for c in tools.calls} == {None}


def test_one_job_per_gpu(tools, write_spec):
    main(write_spec(seeds=[0, 1, 2]), '--gpus', 2, 5)
    done = tools.calls
    assert {c['CUDA_VISIBLE_DEVICES'] for c in done} == {'2', '5'}
    for gpu in ('2', '5'):
        times = sorted(
            (c['start'], c['end'])
            for c in done
            if c['CUDA_VISIBLE_DEVICES'] == gpu
        )
        assert all(a[1] <= b[0] for a, b in zip(times, times[1:]))
    assert {c['OMP_NUM_THREADS'] for c in done} == {None}


def test_jobs_are_not_for_gpus(tools, write_spec, capsys):
    assert failure(write_spec(), '--gpus', 0, 1, '--jobs', 4) == 2
    assert failure(write_spec(), '--jobs', 0) == 2
    assert '--jobs is 1 or more' in capsys.readouterr().err


def test_segmentor_comes_first_and_once(tools, write_spec):
    for name in ('seg', 'c'):
        (tools.folder.parent / f'{name}.py').touch()
    rows = [
        dict(name=n, config=f'{n}.py', load_from='seg.py', cache=n == 'b')
        for n in ('a', 'b')
    ]
    rows[1]['cfg_options'] = {'model.probe.keys': -2}
    main(write_spec(*rows, seeds=[0]), '--jobs', 3)
    done = {(c['tool'], c['folder']): c for c in tools.calls}
    assert len(done) == 6 and ('test', 'seg') not in done
    first = done['train', 'seg']
    assert tools.options(first) == ['randomness.seed=0']
    assert first['end'] < done['train', 'a']['start']
    start = "load_from='out/seg/seed_0/last.pth'"
    assert tools.options(done['train', 'a'])[1:] == [start]
    cache = "ood.features.cache='out/b/seed_0/features'"
    option = 'model.probe.keys=-2'
    assert tools.options(done['train', 'b'])[1:] == [option, start, cache]
    assert done['extract_features', 'b']['arguments'] == [
        'b.py',
        'out/seg/seed_0/last.pth',
        '--out',
        'out/b/seed_0/features',
        '--work-dir',
        'out/b/seed_0',
        '--cfg-options',
        'randomness.seed=0',
        'model.probe.keys=-2',
    ]
    # Finished, the table does without the segmentor.
    (tools.folder.parent / 'out/seg/seed_0/trained').unlink()
    main(write_spec(*rows, seeds=[0]))
    assert len(tools.calls) == 6


def test_without_its_segmentor_a_run_is_left_out(tools, write_spec, capsys):
    tools.break_tool('train', 'b')
    row = dict(name='A', config='a.py', load_from='b.py')
    code = failure(write_spec(row, seeds=[0]))
    assert code.startswith('failed: b, seed 0; a, seed 0.')
    assert 'a, seed 0: left out, it needs b, seed 0' in capsys.readouterr().err
    assert tools.steps == [('train', 'b', 0)]


@pytest.mark.parametrize('options', [('--jobs', 2), ('--gpus', 0, 1)])
def test_what_waits_for_its_start_takes_no_job(
    tools, write_spec, monkeypatch, options
):
    """The starts of both seeds are trained side by side."""
    monkeypatch.setenv('STUB_MEET', '1')  # each waits for the other
    row = dict(name='A', config='a.py', load_from='b.py')
    main(write_spec(row), *options)
    done = {(c['tool'], c['folder'], c['seed']): c for c in tools.calls}
    first, second = done['train', 'b', 0], done['train', 'b', 1]
    assert first['start'] < second['end'] and second['start'] < first['end']
    assert done['train', 'a', 0]['start'] > first['end']
    assert done['train', 'a', 1]['start'] > second['end']


class Fake(Stage):
    """A stage without tests that is trained by a shell command."""

    options = {}

    def __init__(self, name, command, *needs):
        super().__init__(name, Path('out', name), list(needs))
        self.command = command

    def train(self):
        (self.folder / 'e.pth').touch()
        (self.folder / 'last_checkpoint').write_text('e.pth')
        yield 'training', ['sh', '-c', self.command]


def test_the_first_that_is_ready_begins(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    # Ends when the last of the plan has ended, else only after a minute.
    wait = 'for i in $(seq 600); do [ -e d ] && exit; sleep 0.1; done; exit 9'
    a = Fake('a', wait)
    stages = [a, Fake('b', ':', a), Fake('c', ':'), Fake('d', 'touch d')]
    assert run_stages(stages, Path('out'), jobs=2) == []
    lines = capsys.readouterr().err.splitlines()
    begun = [line.split(': training')[0] for line in lines]
    assert begun == ['[1/4] a', '[3/4] c', '[4/4] d', '[2/4] b']


def test_only_what_needs_a_failed_stage_is_left_out(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    a = Fake('a', 'echo why >&2; exit 7')
    b = Fake('b', ':', a)
    stages = [a, b, Fake('c', ':', b), Fake('d', 'touch d')]
    assert run_stages(stages, Path('out')) == stages[:3]
    assert (tmp_path / 'd').is_file()
    error = capsys.readouterr().err
    assert 'a: failed: status 7, end of out/a/run.log:\n' in error
    assert '    why\n' in error
    assert '[2/4] b: left out, it needs a\n' in error
    assert '[3/4] c: left out, it needs b\n' in error


@pytest.mark.parametrize('name', ['SIGTERM', 'SIGHUP', 'SIGKILL'])
def test_children_end_with_their_parent(tools, write_spec, name):
    code = (
        'import sys, pathlib, signal\n'
        f'sys.path.insert(0, {str(Path(run_table.__file__).parent)!r})\n'
        'signal.signal(signal.SIGHUP, signal.SIG_DFL)\n'
        'import run_table, experiments.stage\n'
        f'experiments.stage.TOOLS = pathlib.Path({str(tools.folder)!r})\n'
        f'run_table.main([{str(write_spec())!r}, "--jobs", "2"])\n'
    )
    (tools.folder / 'train.py').write_text(
        'import os, sys, time\n'
        f'open(f"{tools.folder}/pid_{{os.getpid()}}", "w").close()\n'
        'time.sleep(60)\n'
    )
    process = subprocess.Popen(
        [sys.executable, '-W', 'ignore', '-c', code],
        stderr=subprocess.PIPE,
        text=True,
    )
    limit = time.monotonic() + 150
    while len(pids := list(tools.folder.glob('pid_*'))) < 2:
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < limit
        time.sleep(0.05)
    process.send_signal(signal.Signals[name])
    error = process.communicate(timeout=30)[1]
    if name == 'SIGKILL':  # the children see it a moment later
        while any(map(is_alive, pids)):
            assert time.monotonic() < limit
            time.sleep(0.05)
        return
    assert process.returncode == 130
    assert error.rstrip().endswith(
        'stopped; called again it goes on from here'
    )
    assert 'failed' not in error
    assert not any(map(is_alive, pids))


def is_alive(pid):
    try:
        os.kill(int(pid.name[4:]), 0)
    except ProcessLookupError:
        return False
    return True


def test_a_second_table_in_the_folder_is_refused(tools, write_spec, capsys):
    spec = write_spec(seeds=[0])
    with lock_folder('out'):
        assert failure(spec) == 2
    message = f'out is in use by process {os.getpid()} on '
    assert message in capsys.readouterr().err
    assert not (tools.folder / 'calls').exists()
    main(spec)
    with lock_folder('out'):
        main(spec)  # nothing is left to do: it is only read
    assert len(tools.calls) == 4
