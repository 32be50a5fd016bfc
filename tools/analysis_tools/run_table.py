"""Train and test configs over seeds, print mean and deviation.

Unattended and resumable: each run has its folder ``OUT/CONFIG/seed_N``; a
finished one (its ``ood/metrics.json`` exists) is only read, an interrupted
training goes on from its last checkpoint.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
from tabulate import tabulate

TOOLS = Path(__file__).resolve().parents[1]
COLUMNS = ('FPR95', 'AUROC', 'AUPR', 'recall', 'flagged')


def run(config: Path, seed: int, folder: Path, options: list[str]) -> dict:
    """Train and test unless done; the metrics of the test."""
    metrics = folder / 'ood' / 'metrics.json'
    if not metrics.is_file():
        common = ['--work-dir', str(folder), '--cfg-options']
        common += [f'randomness.seed={seed}', *options]
        script = [sys.executable, str(TOOLS / 'train.py'), str(config)]
        subprocess.run([*script, '--resume', *common], check=True)
        checkpoint = (folder / 'last_checkpoint').read_text().strip()
        script = [sys.executable, str(TOOLS / 'test.py'), str(config)]
        out = ['--out-dir', str(metrics.parent)]
        subprocess.run([*script, checkpoint, *out, *common], check=True)
    return json.loads(metrics.read_text())


def summarize(runs: list[dict]) -> list[list[str]]:
    """Rows (score, set, mAP, columns...) in %, mean and sample deviation."""
    keys = [key for key in runs[0] if key.endswith('/AUROC')]
    rows = []
    for key in sorted(keys, key=lambda k: k.split('/')[1]):
        origin, score, _ = key.split('/')
        names = ['bbox_mAP', *(f'{origin}/{score}/{c}' for c in COLUMNS)]
        cells = [spread([one[name] for one in runs]) for name in names]
        rows.append([score, origin, *cells])
    return rows


def spread(values: list[float]) -> str:
    values = 100 * np.asarray(values, dtype=float)
    deviation = values.std(ddof=1) if len(values) > 1 else float('nan')
    return f'{values.mean():.1f} ± {deviation:.1f}'


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('configs', nargs='+', type=Path)
    parser.add_argument('--seeds', nargs='+', type=int, default=[0, 1, 2])
    parser.add_argument(
        '--out', type=Path, default=Path('work_dirs/table'), help='folder'
    )
    parser.add_argument(
        '--format', default='github', choices=['github', 'latex', 'tsv']
    )
    parser.add_argument(
        '--cfg-options', nargs='+', default=[], help='for all the runs'
    )
    args = parser.parse_args(argv)
    for config in args.configs:
        if not config.is_file():
            parser.error(f'config {config} does not exist')
    rows, total = [], len(args.configs) * len(args.seeds)
    for i, config in enumerate(args.configs):
        runs = []
        for j, seed in enumerate(args.seeds):
            number = i * len(args.seeds) + j + 1
            print(f'[{number}/{total}] {config.stem}, seed {seed}', flush=True)
            folder = args.out / config.stem / f'seed_{seed}'
            runs.append(run(config, seed, folder, args.cfg_options))
        rows += [[config.stem, *row] for row in summarize(runs)]
    headers = ('config', 'score', 'OOD set', 'ID mAP', *COLUMNS)
    print(tabulate(rows, headers, args.format))
    print(f'in %, mean ± deviation over seeds {args.seeds}')


if __name__ == '__main__':
    main()
