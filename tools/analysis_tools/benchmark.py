"""Speed ratios, ours against the direct way, from one run."""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path

import torch
from tabulate import tabulate

from mmood.ops import write_json

COLUMNS = ('ours_ms', 'direct_ms', 'ratio')
PARTS = ['metrics', 'scoring', 'bfloat16', 'plain', 'training', 'cached']
PARTS += ['masks', 'paste']
SCORE_PARTS = ['sampling', 'knn', 'cdnp', 'logits']


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        'task',
        nargs='?',
        default='det',
        choices=['det', 'seg', 'scores', 'heads'],
    )
    parser.add_argument('--runs', type=int, default=15)
    parser.add_argument('--device', default='cpu', choices=['cpu', 'cuda'])
    parser.add_argument(
        '--size',
        type=int,
        help='of images, pixels; 512, seg 768; of masks the height',
    )
    parser.add_argument(
        '--batch-size', type=int, help='images per step; 2 det, 16 seg'
    )
    parser.add_argument(
        '--tokens', type=int, default=8192, help='of the scored map (seg)'
    )
    parser.add_argument(
        '--parts',
        nargs='+',
        choices=PARTS + SCORE_PARTS,
        help=f'{PARTS} of seg, {SCORE_PARTS} of scores; all by default',
    )
    parser.add_argument('--out', type=Path, help='JSON file for the numbers')
    return parser.parse_args()


def measure(args: argparse.Namespace) -> tuple[list, str]:
    """Rows of name and `COLUMNS`, and what was measured."""
    if args.task == 'det':
        from benchmark_det import rows

        size, batch = args.size or 512, args.batch_size or 2
        table = rows(args.device, args.runs, size, batch)
        return table, f'R-50 FPN, {size} px, {batch} images per training step'
    if args.task == 'scores':
        from benchmark_scores import rows

        size = args.size or 512
        parts = args.parts or SCORE_PARTS
        table = rows(parts, args.device, args.runs, size)
        return table, f'R-50 FPN, 1 image of {size} px; vectors of 1024'
    if args.task == 'heads':
        from benchmark_heads import BANK, rows

        size = args.size or 512
        table = rows(args.device, args.runs, size)
        what = f'R-50, 1 image of {size} px, kNN over {BANK} x 256'
        return table, what
    from benchmark_seg import rows

    size, batch = args.size or 768, args.batch_size or 16
    parts = args.parts or PARTS
    table = rows(parts, args.device, args.runs, size, batch, args.tokens)
    return table, f'ViT-B, {batch} images of {size} px per step in the loop'


def main() -> None:
    args = parse_args()
    warnings.filterwarnings('ignore')
    table, what = measure(args)
    headers = ('', 'ours (ms)', 'direct (ms)', 'ours / direct')
    digits = ('', '.1f', '.1f', '.3g')
    print(tabulate(table, headers, 'github', floatfmt=digits))
    print(
        f'{what}, {args.runs} runs, {args.device}, '
        f'{torch.get_num_threads()} threads'
    )
    if args.out:
        numbers = {name: dict(zip(COLUMNS, row)) for name, *row in table}
        write_json(args.out, dict(what=what, runs=args.runs, rows=numbers))


if __name__ == '__main__':
    main()
