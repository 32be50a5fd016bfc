"""Load predictions with their OOD scores into FiftyOne, to be looked at.

First test with ``tools/test.py CONFIG CHECKPOINT --results DIR``.
"""

from __future__ import annotations

import argparse
import sys

from mmood.visualization.fiftyone_dataset import write_dataset


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('results', help='SET.bbox.json of the test')
    parser.add_argument('annotations', help='COCO json of the set')
    parser.add_argument('images', help='folder of its images')
    parser.add_argument('--name', required=True, help='of the new dataset')
    args = parser.parse_args()
    try:
        write_dataset(args.name, args.results, args.annotations, args.images)
    except (ImportError, OSError, ValueError) as error:
        sys.exit(f'error: {error}')
    print(f'look at it with: fiftyone app launch {args.name}')


if __name__ == '__main__':
    main()
