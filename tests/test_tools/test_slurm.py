"""The slurm scripts against a stand-in for srun that prints its call."""

import os

import pytest

from helpers import run


@pytest.mark.parametrize(
    ('script', 'arguments'),
    [
        ('train', ['CONFIG', '--amp']),
        ('test', ['CONFIG', 'CHECKPOINT', '--out-dir', 'a b']),
    ],
)
def test_srun_gets_resources_and_the_tool_its_options(
    tmp_path, script, arguments
):
    srun = tmp_path / 'srun'
    srun.write_text('#!/usr/bin/env bash\nprintf "<%s>" "$@"\n')
    srun.chmod(0o755)
    output = run(
        f'tools/slurm_{script}.sh',
        'PARTITION',
        'JOB',
        *arguments,
        PATH=f'{tmp_path}:{os.environ["PATH"]}',
        GPUS='16',
        SRUN_ARGS='--mem=9G --quiet',
    )
    assert '<-p><PARTITION><--job-name=JOB>' in output
    assert '<--gres=gpu:8><--ntasks=16><--ntasks-per-node=8>' in output
    assert '<--mem=9G><--quiet>' in output
    given = ''.join(f'<{argument}>' for argument in arguments)
    tool = f'<tools/{script}.py>{given}<--launcher><slurm>'
    assert output.endswith(tool)
