"""Train and test configs over seeds, print mean and deviation.

Unattended and resumable: each run has its folder ``OUT/CONFIG/seed_N``; a
finished one (its ``ood/metrics.json`` exists) is only read, an interrupted
training goes on from its last checkpoint. Configs that need a trained
segmentor (``configs/dood``) get it from --segmentor, one per seed. With --tag
the trained checkpoints are tested once more, with other --test-options.
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
DETECTION = ('FPR95', 'AUROC', 'AUPR', 'recall', 'flagged')
SEGMENTATION = ('AP', 'AUROC', 'FPR95', 'Fmax')


def train(config: Path, folder: Path, options: list[str]) -> str:
    """Train unless done, go on if interrupted; the last checkpoint."""
    done = folder / 'trained'
    if not done.is_file():
        script = [sys.executable, str(TOOLS / 'train.py'), str(config)]
        common = ['--work-dir', str(folder), '--cfg-options', *options]
        subprocess.run([*script, '--resume', *common], check=True)
        done.touch()
    return (folder / 'last_checkpoint').read_text().strip()


def run(config: Path, seed: int, args: argparse.Namespace) -> dict:
    """Train what the config needs, train it, test it; the metrics."""
    folder = args.out / config.stem / f'seed_{seed}'
    out = folder / (f'ood_{args.tag}' if args.tag else 'ood')
    metrics = out / 'metrics.json'
    if metrics.is_file():
        return json.loads(metrics.read_text())
    options, start = [f'randomness.seed={seed}'], []
    if args.segmentor:
        own = args.out / args.segmentor.stem / f'seed_{seed}'
        checkpoint = train(args.segmentor, own, options)
        start = [f'load_from={checkpoint}']
        if args.cache:
            cache = str(folder / 'features')
            script = [sys.executable, str(TOOLS / 'extract_features.py')]
            script += [str(config), checkpoint, '--out', cache]
            subprocess.run([*script, '--work-dir', str(folder)], check=True)
            start.append(f'train_dataloader.dataset.cache={cache}')
    options = [*options, *args.cfg_options]
    checkpoint = train(config, folder, [*options, *start])
    script = [sys.executable, str(TOOLS / 'test.py'), str(config), checkpoint]
    common = ['--work-dir', str(folder), '--out-dir', str(out)]
    options += args.test_options
    subprocess.run([*script, *common, '--cfg-options', *options], check=True)
    return json.loads(metrics.read_text())


def summarize(runs: list[dict]) -> tuple[list[str], list[list[str]]]:
    """Columns, and rows (score, set, columns...) in %, mean and deviation."""
    keys = [key for key in runs[0] if key.endswith('/AUROC')]
    is_detection = 'bbox_mAP' in runs[0]
    columns = DETECTION if is_detection else SEGMENTATION
    rows = []
    for key in sorted(keys, key=lambda k: k.split('/')[1]):
        origin, score, _ = key.split('/')
        names = [f'{origin}/{score}/{c}' for c in columns]
        names = ['bbox_mAP', *names] if is_detection else names
        cells = [spread([one[name] for one in runs]) for name in names]
        rows.append([score, origin, *cells])
    return ['ID mAP', *columns] if is_detection else [*columns], rows


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
    parser.add_argument(
        '--segmentor', type=Path, help='config to train first, per seed'
    )
    parser.add_argument(
        '--cache',
        action='store_true',
        help="train on the segmentor's features, extracted once per seed",
    )
    parser.add_argument(
        '--test-options', nargs='+', default=[], help='for the tests alone'
    )
    parser.add_argument('--tag', help='name of a test with such options')
    args = parser.parse_args(argv)
    for config in filter(None, [*args.configs, args.segmentor]):
        if not config.is_file():
            parser.error(f'config {config} does not exist')
    rows, total = [], len(args.configs) * len(args.seeds)
    for i, config in enumerate(args.configs):
        runs = []
        for j, seed in enumerate(args.seeds):
            number = i * len(args.seeds) + j + 1
            print(f'[{number}/{total}] {config.stem}, seed {seed}', flush=True)
            runs.append(run(config, seed, args))
        columns, part = summarize(runs)
        rows += [[config.stem, *row] for row in part]
    headers = ('config', 'score', 'OOD set', *columns)
    print(tabulate(rows, headers, args.format))
    print(f'in %, mean ± deviation over seeds {args.seeds}')


if __name__ == '__main__':
    main()
