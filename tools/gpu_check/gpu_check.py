"""Check mmood on a GPU: equality with the CPU, mixed precision, speed.

Runs the tests marked ``gpu``, trains and tests each method for some steps in
mixed precision, and measures the benchmark's ratios; in about six
minutes on a recent GPU. A part that fails or takes too long does not stop
the others. Everything stands in one JSON file at the end. The exit code is
1 if a part failed, 0 if all passed or if there is no GPU.

Call it from a clone of the repository, as ``make gpu-check`` does.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import replace
from pathlib import Path

import torch
from check_parts import ROOT, Part, all_parts

from mmood import __version__
from mmood.ops import write_json

PACKAGES = (
    ('numpy',),
    ('mmengine', 'onedl-mmengine'),
    ('mmcv', 'onedl-mmcv'),
    ('mmdet', 'onedl-mmdetection'),
    ('mmsegmentation', 'onedl-mmsegmentation'),
)
SLOWER = 10  # a part is without a GPU
TAIL = 2500  # characters of the log of a part that failed


def versions() -> dict[str, str]:
    found = dict(
        mmood=__version__,
        python=platform.python_version(),
        torch=torch.__version__,
        cuda=str(torch.version.cuda),
    )
    for names in PACKAGES:
        for name in names:
            try:
                found[name] = importlib.metadata.version(name)
            except importlib.metadata.PackageNotFoundError:
                continue
    return found


def environment() -> dict[str, str]:
    """The clone's own package first, and few threads for each process."""
    paths = [str(ROOT), os.environ.get('PYTHONPATH')]
    return {
        'OMP_NUM_THREADS': '2',
        **os.environ,
        'PYTHONWARNINGS': 'ignore',
        'PYTHONPATH': os.pathsep.join(filter(None, paths)),
    }


def run_part(part: Part, folder: Path) -> dict:
    """Run a part's command; its status, seconds and numbers."""
    start = time.perf_counter()
    log = folder / f'{part.name}.log'
    result, reason = {}, None
    with open(log, 'w') as file:
        try:
            code = subprocess.run(
                part.command,
                cwd=ROOT,
                env=environment(),
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                timeout=part.budget,
            ).returncode
            reason = f'exit code {code}' if code else None
        except subprocess.TimeoutExpired:
            reason = f'not done after {part.budget} s'
    try:
        result = part.read()
    except (OSError, ValueError, SyntaxError) as error:
        reason = reason or f'left no numbers: {error}'
    result = dict(
        status='failed' if reason else 'passed',
        seconds=round(time.perf_counter() - start, 1),
        budget_s=part.budget,
        **result,
    )
    if reason:
        text = log.read_text(errors='replace')
        result.update(reason=reason, log=text[-TAIL:])
    return result


def run_all(parts: Sequence[Part], folder: Path, jobs: int) -> dict[str, dict]:
    """Several at a time, then one by one those that want to be alone."""
    results: dict[str, dict] = {}

    def done(part: Part, result: dict) -> None:
        results[part.name] = result
        reason = result.get('reason', '')
        print(
            f'[{len(results)}/{len(parts)}] {part.name}: {result["status"]} '
            f'in {result.get("seconds", 0):.0f} s {reason}',
            flush=True,
        )

    waiting = [part for part in parts if not part.alone]
    running = {}
    with ThreadPoolExecutor(jobs) as pool:
        while waiting or running:
            for part in [p for p in waiting if _ready(p, results, parts)]:
                waiting.remove(part)
                running[pool.submit(run_part, part, folder)] = part
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                done(running.pop(future), future.result())
    for part in parts:
        if part.alone:
            done(part, run_part(part, folder))
    return results


def _ready(part: Part, results: dict, parts: Sequence[Part]) -> bool:
    """Whether what it starts from is there, or is not run at all."""
    names = [p.name for p in parts]
    return part.after not in names or part.after in results


def report(path: Path, **content: object) -> None:
    """Write the JSON file whole, and print it."""
    write_json(path, content, indent=1)
    print(path.read_text())


def make_data(folder: Path) -> None:
    """A small Shapes set, and painted objects in it."""
    shapes, painted = folder / 'shapes', folder / 'shapes_dream'
    config = 'configs/dream_box/generation/shapes.py'
    data = f'data.ann_file={shapes}/annotations/train.json'
    for command in (
        ['tools/dataset_converters/shapes.py', '--out', shapes]
        + ['--scale', '0.08'],
        ['tools/dream_box/generate.py', '--out', painted]
        + ['--config', config, '--cfg-options', data]
        + [f'data.img_root={shapes}/'],
    ):
        subprocess.run(
            [sys.executable, *map(str, command)],
            cwd=ROOT,
            env=environment(),
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )


def parser_of_arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument(
        '--out', type=Path, default=Path('work_dirs/gpu_check.json')
    )
    parser.add_argument(
        '--work-dir',
        type=Path,
        help='for data, checkpoints and logs, emptied first; default: beside '
        '--out, with its name',
    )
    parser.add_argument(
        '--jobs',
        type=int,
        default=max(1, min(6, (os.cpu_count() or 1) // 2)),
        help='trainings at a time, default %(default)s',
    )
    parser.add_argument(
        '--parts', nargs='+', help='only those with such a text in the name'
    )
    parser.add_argument(
        '--device',
        default='cuda',
        choices=['cuda', 'cpu'],
        help='cpu: try the script itself, slow and without its point',
    )
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    args = parser_of_arguments().parse_args(argv)
    start = time.perf_counter()
    about = dict(
        gpu=None, versions=versions(), command=[sys.executable, *sys.argv]
    )
    if args.device == 'cuda' and not torch.cuda.is_available():
        print('gpu-check skipped: torch sees no CUDA GPU on this machine')
        report(args.out, status='skipped', reason='no CUDA GPU', **about)
        return 0
    if args.device == 'cuda':
        about['gpu'] = torch.cuda.get_device_name()
    folder = (args.work_dir or args.out.with_suffix('')).resolve()
    parts = all_parts(folder, args.device)
    if args.parts:
        parts = [p for p in parts if any(t in p.name for t in args.parts)]
    if args.device == 'cpu':
        parts = [replace(p, budget=SLOWER * p.budget) for p in parts]
    shutil.rmtree(folder, ignore_errors=True)
    (folder / 'data').mkdir(parents=True)
    print(f'{len(parts)} parts on {about["gpu"] or "the CPU"}', flush=True)
    make_data(folder / 'data')
    results = run_all(parts, folder, args.jobs)
    failed = [name for name, r in results.items() if r['status'] == 'failed']
    report(
        args.out,
        status='failed' if failed else 'passed',
        failed=failed,
        seconds=round(time.perf_counter() - start, 1),
        **about,
        parts=results,
    )
    if failed:
        print(f'gpu-check failed: {", ".join(failed)}; logs are in {folder}')
    return int(bool(failed))


if __name__ == '__main__':
    sys.exit(main())
