"""Run an ONNX file that tools/deploy/export.py wrote.

Needs onnxruntime and numpy, neither torch nor an OpenMMLab package. ::

    import cv2
    from mmood.deploy.run import OnnxModel

    model = OnnxModel('detector.onnx')
    found = model(cv2.imread('street.jpg'))
    found['boxes'], found['class_names'], found['is_ood']

Shapes: pictures (H, W, 3), n boxes.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

import numpy as np

from .pictures import prepare

KEY = 'mmood'  # of what the file says about itself
_PREFIX = 'ood_scores_'


class OnnxModel:
    """A detector or segmentor in an ONNX file, called with a picture.

    ``about`` is what the file says: ``task``, ``classes``, the names of
    ``scores``, their ``thresholds`` by name, ``size`` (height, width) of what
    the network gets, None: any, and the preprocessing.

    Args:
        path: the file.
        providers: of onnxruntime, such as ``['CUDAExecutionProvider']``.
        threads: for one operator; None: onnxruntime's choice.

    Raises FileNotFoundError, and ValueError for a file without that.
    """

    def __init__(
        self,
        path: str | os.PathLike,
        *,
        providers: Sequence[str] = ('CPUExecutionProvider',),
        threads: int | None = None,
    ) -> None:
        onnxruntime = _onnxruntime()
        if not Path(path).is_file():
            raise FileNotFoundError(f'there is no file {path}')
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        if threads is not None:
            options.intra_op_num_threads = threads
        try:
            self.session = onnxruntime.InferenceSession(
                os.fspath(path), options, providers=list(providers)
            )
        except Exception as error:  # onnxruntime's own have no common class
            raise ValueError(
                f'{path} is no ONNX file that onnxruntime can run: {error}'
            ) from error
        said = self.session.get_modelmeta().custom_metadata_map.get(KEY)
        if said is None:
            raise ValueError(
                f'{path} says nothing about its preprocessing: write it with '
                'tools/deploy/export.py'
            )
        self.about: dict = json.loads(said)
        self.outputs = [output.name for output in self.session.get_outputs()]

    def __call__(
        self,
        picture: np.ndarray,
        *,
        threshold: float | None = None,
        score: str | None = None,
        order: str = 'bgr',
    ) -> dict:
        """What is found in a picture (H, W, 3) of uint8.

        Of a detector ``boxes`` (n, 4), x1 y1 x2 y2 in the picture's pixels,
        ``labels`` (n,), ``class_names``, ``scores`` (n,), the confidences,
        best first, and ``ood_scores``, by name (n,). Of a segmentor
        ``classes`` (H, W) and ``ood_scores``, by name (H, W). With a
        threshold also ``is_ood``. ``score`` and ``threshold`` say what was
        judged by.

        Args:
            threshold: score above which something is OOD; None: the file's.
                If that has none, ``is_ood`` is left out.
            score: name of the score to judge by; None: the first one.
            order: of the channels, ``'bgr'`` as OpenCV reads them or
                ``'rgb'``.

        Raises ValueError for what is no picture, for another size than that
        of a file of one size and for a score that is not there.
        """
        names = self.about['scores']
        score = names[0] if score is None else score
        if score not in names:
            raise ValueError(f'score must be one of {names}, got {score!r}')
        if threshold is None:
            threshold = self.about['thresholds'].get(score)
        raw, scale = self.raw(picture, order)
        scores = {name: raw[_PREFIX + name] for name in names}
        if self.about['task'] == 'detection':
            labels = raw['labels']
            found = dict(
                boxes=raw['boxes'] / np.array([*scale[::-1]] * 2, np.float32),
                labels=labels,
                class_names=[self.about['classes'][i] for i in labels],
                scores=raw['scores'],
            )
        else:
            scores = {name: value[0] for name, value in scores.items()}
            found = dict(classes=raw['classes'][0])
        found.update(ood_scores=scores, score=score, threshold=threshold)
        if threshold is not None:
            found['is_ood'] = scores[score] > threshold
        return found

    def raw(
        self, picture: np.ndarray, order: str = 'bgr'
    ) -> tuple[dict[str, np.ndarray], tuple[float, float]]:
        """The graph's outputs by name, and what the picture was resized by."""
        image, inner, scale = prepare(picture, self.about, order)
        size = self.about['size']
        if size and tuple(size) != image.shape[2:]:
            raise ValueError(
                f'this file is for {size[0]} x {size[1]} pixels, and a '
                f'picture of {picture.shape[0]} x {picture.shape[1]} becomes '
                f'{image.shape[2]} x {image.shape[3]}: give it pictures of '
                'one shape, and export with --size for another'
            )
        feed = dict(image=image, inner=np.array(inner))
        if self.about['task'] != 'detection':
            feed['size'] = np.array(picture.shape[:2])
        taken = {given.name for given in self.session.get_inputs()}
        feed = {name: x for name, x in feed.items() if name in taken}
        values = self.session.run(None, feed)
        return dict(zip(self.outputs, values)), scale


def _onnxruntime() -> ModuleType:
    try:
        import onnxruntime
    except ImportError as error:
        raise ImportError(
            'running an ONNX file needs the package onnxruntime: pip install '
            "onnxruntime, or 'mmood[deploy]'"
        ) from error
    return onnxruntime
