"""Make one page of what tests found, to be opened in any browser.

Reads what tools/test.py left in its --out-dir, below the given folders, and
puts the runs side by side: curves, a movable threshold, classes, pictures of
what went well and wrong, configs and versions. The page needs no server and
no network.
"""

from __future__ import annotations

import argparse
import sys
import warnings

from mmood.ops import NotWrittenError, atomic_write
from mmood.visualization.report import (
    NoPlotlyError,
    NoTestError,
    build_report,
)


def positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f'must be at least 1, got {value}')
    return value


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        'work_dirs',
        nargs='+',
        metavar='WORK_DIR',
        help='the --out-dir of a test, or a folder above one or several',
    )
    parser.add_argument(
        '-o', '--out', default='report.html', help='the page to write'
    )
    parser.add_argument(
        '--limit',
        type=positive,
        default=8,
        help='pictures of each kind, for each set and score',
    )
    args = parser.parse_args()
    warnings.showwarning = _say
    try:
        page = build_report(args.work_dirs, args.limit)
        with atomic_write(args.out) as file:
            file.write(page)
    except (
        FileNotFoundError,
        NoPlotlyError,
        NoTestError,
        NotWrittenError,
    ) as error:
        raise SystemExit(f'error: {error}') from error
    print(f'{args.out}: {len(page.encode()) / 1e6:.1f} MB')


def _say(message: Warning | str, *rest: object) -> None:
    print(f'warning: {message}', file=sys.stderr)


if __name__ == '__main__':
    main()
