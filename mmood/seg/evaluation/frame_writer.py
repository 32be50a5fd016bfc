"""Score maps of a test as files of a benchmark."""

from __future__ import annotations

import os.path as osp
from collections.abc import Sequence

from mmengine.evaluator import BaseMetric

from mmood.ops import stated_origin
from mmood.registry import METRICS
from mmood.seg.submission.frames import frame_path, import_h5py, write_frame
from mmood.seg.submission.names import check_method


@METRICS.register_module()
class SMIYCFrameWriter(BaseMetric):
    """Writes the maps of one score as SegmentMeIfYouCan's kit has them.

    As ``anomaly_p/METHOD/SET/FRAME.hdf5``, see `mmood.seg.submission`; the
    set is the ``origin`` of a sample. Returns ``submission/frames``, their
    number, over all ranks.

    Args:
        folder: of outputs.
        method: its name.
        score: name of a predicted score.

    Raises ImportError without h5py, ValueError for another name of a method,
    a score that is not predicted and a map that float16 cannot hold.
    """

    default_prefix = 'submission'

    def __init__(self, folder: str, method: str, score: str, **kwargs) -> None:
        super().__init__(**kwargs)
        import_h5py()
        self.folder, self.method = folder, check_method(method)
        self.score = score

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        for sample in data_samples:
            path = sample['img_path']
            maps = sample.get('pred_ood', {})
            if self.score not in maps:
                raise ValueError(
                    f'{path}: the score {self.score!r} is not predicted; '
                    f'there are {sorted(maps.get("score_names", ()))}'
                )
            origin = stated_origin(sample, path)
            frame = osp.splitext(osp.basename(path))[0]
            target = frame_path(self.folder, self.method, origin, frame)
            score = maps[self.score][0].float().cpu().numpy()
            write_frame(target, score, f'{path}: the {self.score} map')
            self.results.append(str(target))

    def compute_metrics(self, results: list[str]) -> dict[str, float]:
        return dict(frames=len(set(results)))
