"""Anomaly scores of pictures, from the folder that this script lies in.

``python run.py`` does what a container of Fishyscapes has to: of each
``/input/DDDD_*.png`` it writes ``/output/DDDD_anomaly.npy`` (H, W) float32,
higher is more anomalous, and ``/output/DDDD_segmentation.npy`` (H, W) uint8,
the classes. `anomaly_score` is the same of one picture, for evaluations in
Python. Pictures whose files are there and whole are left out.
"""

from __future__ import annotations

import argparse
import functools
import json
import math
import re
import sys
from pathlib import Path
from typing import cast

import cv2
import numpy as np

HERE = Path(__file__).resolve().parent
if (HERE / 'submission.json').is_file() and str(HERE) not in sys.path:
    sys.path.insert(0, str(HERE))  # where the package's copy is

_PICTURE = re.compile(r'(\d{4})_.*\.png', re.IGNORECASE)


class Method:
    """What a folder's model says of a picture.

    ``device``: ``'cuda'``, ``'cpu'``; None: what there is.
    """

    def __init__(self, folder: Path = HERE, device: str | None = None) -> None:
        from mmood.seg import OODSegInferencer

        about = (folder / 'submission.json').read_text(encoding='utf-8')
        self.score = json.loads(about)['score']
        self._infer = OODSegInferencer(
            str(folder / 'config.py'),
            str(folder / 'checkpoint.pth'),
            device=device,
            ood_threshold=math.inf,  # nothing is to be decided
        )
        self._infer.show_progress = False
        self.classes = self._infer.model.dataset_meta['classes']

    def predict(self, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Scores, float32, and classes, uint8, (H, W, 3) -> twice (H, W).

        ``image`` is uint8 in RGB. Raises ValueError for another type or
        shape, and for scores that are no numbers.
        """
        if image.dtype != np.uint8 or image.shape[2:] != (3,):
            raise ValueError(
                'image must be an array (H, W, 3) of uint8 in RGB, got '
                f'{image.shape} of {image.dtype}'
            )
        answer = self._infer(
            np.ascontiguousarray(image[..., ::-1]),
            score=self.score,
            ood_threshold=math.inf,
        )
        found = cast('dict[str, np.ndarray]', answer)  # of one picture
        scores = found['ood_scores'].astype(np.float32)
        wrong = scores.size - int(np.isfinite(scores).sum())
        if wrong:
            raise ValueError(
                f'{wrong} of {scores.size} values of the score '
                f'{self.score!r} are nan or infinite'
            )
        return scores, found['predictions'].astype(np.uint8)


@functools.lru_cache(maxsize=1)
def load() -> Method:
    """The folder's method, built once."""
    return Method()


def anomaly_score(image: np.ndarray) -> np.ndarray:
    """Scores of an RGB picture, (H, W, 3) uint8 -> (H, W) float32."""
    return load().predict(image)[0]


def list_inputs(folder: Path) -> dict[str, Path]:
    """Pictures ``DDDD_*.png`` by their four digits.

    Raises ValueError if there is none, or two of the same digits.
    """
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        match = _PICTURE.fullmatch(path.name)
        if match is None:
            continue
        if match[1] in found:
            raise ValueError(
                f'{found[match[1]]} and {path} have the same number: their '
                'results would be one file'
            )
        found[match[1]] = path
    if not found:
        raise ValueError(f'{folder} has no picture called DDDD_*.png')
    return found


def process(method: Method, inputs: Path, outputs: Path) -> int:
    """Write the maps of all pictures that lack them; the number of these."""
    from mmood.ops import atomic_write

    count = 0
    for number, path in list_inputs(inputs).items():
        picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
        if picture is None:
            raise ValueError(f'{path} is not a readable picture')
        targets = [
            outputs / f'{number}_{name}.npy'
            for name in ('anomaly', 'segmentation')
        ]
        if all(is_complete(one, picture.shape[:2]) for one in targets):
            continue
        for target, found in zip(targets, method.predict(picture[..., ::-1])):
            with atomic_write(target, 'wb') as file:
                np.save(file, found)
        count += 1
    return count


def is_complete(path: Path, shape: tuple[int, int]) -> bool:
    """Whether the file has an array of that shape."""
    try:
        return np.load(path).shape == shape
    except (OSError, ValueError, EOFError):
        return False


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--input', type=Path, default=Path('/input'))
    parser.add_argument('--output', type=Path, default=Path('/output'))
    args = parser.parse_args()
    count = process(load(), args.input, args.output)
    print(f'maps of {count} pictures are in {args.output}')


if __name__ == '__main__':
    main()
