"""Print or write a config as it runs, with all that follows from it.

What it writes inherits from nothing and runs with MMDetection's and
MMSegmentation's own tools, such as `mim test mmseg`.
"""

from __future__ import annotations

import argparse

from mmood.launch import OptionsAction, clear_errors
from mmood.ops import atomic_write
from mmood.recipe import load


@clear_errors(OSError)
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('config', help='config file')
    parser.add_argument('--out', help='Python file; else it is printed')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=OptionsAction,
        help='overrides, such as max_epochs=3 or ood.outliers.queue_size=100',
    )
    args = parser.parse_args()
    text = load(args.config, args.cfg_options).pretty_text
    if not args.out:
        print(text, end='')
        return
    with atomic_write(args.out, 'w') as file:
        file.write(text)


if __name__ == '__main__':
    main()
