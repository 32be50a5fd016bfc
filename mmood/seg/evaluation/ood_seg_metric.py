"""Pixel and component measures of OOD segmentation, in one pass.

Shapes: K classes, H x W pixels.
"""

from __future__ import annotations

import os.path as osp
from collections.abc import Sequence

import numpy as np
from mmengine.dist import get_rank, get_world_size
from mmengine.evaluator import BaseMetric
from mmengine.logging import MMLogger
from torch import Tensor

from mmood.metrics import ScoreHistogram, check_share, protocol_rule
from mmood.metrics.remarks import aurocs_by_set, separation_remarks
from mmood.ops import check_populations, stated_origin, write_json
from mmood.registry import METRICS
from mmood.scores import Samples, ScoreSet, class_logits

from .components import ComponentStore
from .details import PixelDetails
from .measures import pixel_measures, resampled_measures, warn_one_sided
from .output import (
    fit_map,
    plot_sets,
    predicted_classes,
    report,
    report_components,
)
from .pixel_counts import PixelCounts, merge_into

_BESIDE = {'data', 'is_ood'}  # in ``pred_ood``, beside the scores


@METRICS.register_module()
class OODSegMetric(BaseMetric):
    """AP, AUROC, FPR95 and Fmax of OOD pixels, for each set and score.

    The scores are those that the model predicted, ``pred_ood`` of each
    sample (`mmood.OODEncoderDecoder`). Pixels of a whole set are pooled;
    labels are 0 ID, 1 OOD, 255 ignored (`mmood.OODSegDataset`); sets have a
    name each, ID ones `id`. Pixels are counted in bins
    (`mmood.metrics.ScoreHistogram`): memory does not grow with the set, and
    ranks agree with one process exactly.

    Returns ``<set>/<score>/{AP,AUROC,FPR95,Fmax}`` in [0, 1] under the prefix
    ``ood``, nan with a warning where a set has no OOD or no ID pixel, or a
    map of that score has nan; with ``resample`` also ``..._mean`` and
    ``..._std``, with ``components`` what `ComponentStore.measure` returns;
    and ``ood_threshold/<score>``, the value that ``tpr`` of the pixels of the
    set named ``id`` do not exceed, and ``ood_threshold``, that of the first
    score.

    Args:
        scores: of the logits of a stock segmentor, which predicts no scores;
            only for those.
        protocol: see `mmood.metrics.fpr_at_tpr`. For those that take ID as
            the positive side AP, Fmax and FPR95 do; ``openood`` takes AP by
            trapezoids.
        tpr: share of positives to keep in FPR95, and of ID pixels.
        resample: mean and deviation over ten subsets of 90 % of the images
            (DOoD, ECCV 2024, Appendix A.1.3).
        components: arguments of the component measures of
            SegmentMeIfYouCan, e.g. ``dict(score='compound')``: ``score``,
            ``min_prediction_size``, ``min_object_size``, ``protocol``;
            None: without. This protocol is ``'smiyc'`` where the metric's
            is, else ``'definition'`` (`ComponentStore`).
        upsample: mode for score maps smaller than the label.
        out_dir: folder for ``metrics.json``, curves and what stands out
            (`PixelDetails`); None: no files.
        save_maps: also keep the maps of ``components.score``, or of the
            first score, as ``out_dir/maps/SET/IMAGE.npy``.
    """

    default_prefix = 'ood'

    def __init__(
        self,
        scores: Sequence[str] = (),
        protocol: str = 'dood',
        *,
        tpr: float = 0.95,
        resample: bool = False,
        components: dict | None = None,
        upsample: str = 'nearest',
        out_dir: str | None = None,
        save_maps: bool = False,
        **kwargs,
    ) -> None:
        super().__init__(**kwargs)
        protocol_rule(protocol)
        check_share('tpr', tpr)
        if save_maps and not out_dir:
            raise ValueError('save_maps needs out_dir, the folder to save in')
        self.scores = tuple(scores)
        self.protocol, self.tpr, self.resample = protocol, tpr, resample
        self.upsample, self.out_dir = upsample, out_dir
        self.save_maps, self.component_args = save_maps, components
        self._reset()

    def _reset(self) -> None:
        """Forget all pixels."""
        self._counts = PixelCounts()
        self._details = PixelDetails() if self.out_dir else None
        self._pending: dict | None = None
        self._merged: dict = {}
        self._reasons: dict = {}
        self._store: ComponentStore | None = None
        if self.component_args is not None or self.save_maps:
            folder = None
            if self.out_dir and self.save_maps:
                folder = osp.join(self.out_dir, 'maps')
            arguments = dict(self.component_args or {})
            self._map_score = arguments.pop('score', None)
            if self.protocol == 'smiyc':
                arguments.setdefault('protocol', 'smiyc')
            self._store = ComponentStore(folder, **arguments)

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        for sample in data_samples:
            record = self._record(sample)
            self._count_pending()
            self._pending = record
            self.results.append(record['place'])

    def _record(self, sample: dict) -> dict:
        path = sample.get('img_path')
        name = path or 'image without a path'
        label = sample['gt_sem_seg']['data'][0].cpu().numpy()
        origin = stated_origin(sample, path)
        return dict(
            name=name,
            origin=origin,
            place=(origin, sample.get('source'), path),
            fold=sample.get('fold', 0) if self.resample else 0,
            label=label,
            classes=predicted_classes(sample) if self._details else None,
            maps={
                key: fit_map(score, label.shape, self.upsample, name, key)
                for key, score in self._predicted(sample, name).items()
            },
        )

    def _predicted(self, sample: dict, name: str) -> dict[str, Tensor]:
        """Score maps (H, W) by name, the first score's first."""
        if 'pred_ood' in sample:
            maps = sample['pred_ood']
            names = maps.get('score_names') or set(maps) - _BESIDE
            return {key: maps[key][0] for key in names}
        if not self.scores:
            raise ValueError(
                f'{name}: the model predicted no OOD scores: set '
                "model.type='mmood.OODEncoderDecoder' and model.scores, such "
                "as ['energy', 'msp']"
            )
        logits = class_logits(sample['seg_logits']['data'])[None]
        scores = ScoreSet(self.scores, num_classes=logits.shape[1])
        return {k: v[0] for k, v in scores(Samples(logits)).items()}

    def _count_pending(self) -> None:
        """Count the last image; see `evaluate` for why it waits."""
        record, self._pending = self._pending, None
        if record is None:
            return
        valid = record['label'] != 255
        is_ood = record['label'][valid] == 1
        if record['origin'] == 'id':  # there 1 is a class
            is_ood = np.zeros_like(is_ood)
        for key, score in record['maps'].items():
            place = (record['origin'], key, record['fold'])
            name = f'{record["name"]}: the {key} map'
            self._counts.add(place, score[valid], is_ood, name)
        if self._details:
            self._details.add(record)
        if self._store is not None:
            maps = record['maps']
            key = self._map_score or next(iter(maps))
            if key not in maps:
                raise ValueError(
                    f'components.score is {key!r}; there are {sorted(maps)}'
                )
            self._store.add(
                record['origin'], record['name'], maps[key], record['label']
            )

    def evaluate(self, size: int) -> dict[str, float]:
        """The parent's, after the ranks have put their counts together.

        A sampler that gives all ranks the same number of images repeats
        some; a rank's surplus one is its last, which is not counted then.
        """
        own = len(range(get_rank(), size, get_world_size()))
        if len(self.results) <= own:
            self._count_pending()
        self._merged = self._counts.gather()
        self._void_spoilt()
        if self._details:
            self._details.gather()
        try:
            self._components = self._component_measures()
            return super().evaluate(size)
        finally:
            self._reset()

    def _void_spoilt(self) -> None:
        """A map with nan leaves nothing of its score on its set."""
        spoilt = self._counts.spoilt.items()
        self._reasons = {place[:2]: why for place, why in spoilt}
        for place in self._merged:
            if place[:2] in self._reasons:
                self._merged[place] = ScoreHistogram()
        for (origin, key), why in self._reasons.items():
            place = 'ood_threshold' if origin == 'id' else origin
            MMLogger.get_current_instance().warning(
                f'{place}/{key} is nan: {why}'
            )

    def compute_metrics(self, results: list) -> dict[str, float]:
        check_populations(results)
        sets = self._pooled()
        metrics: dict[str, float] = {}
        for (origin, score), histogram in sets.items():
            if origin == 'id':
                threshold = histogram.quantile(self.tpr)
                metrics.setdefault('ood_threshold', threshold)
                metrics[f'ood_threshold/{score}'] = threshold
        rows = []
        for (origin, score), histogram in sets.items():
            if origin == 'id':
                continue
            row = pixel_measures(histogram, self.protocol, self.tpr)
            if self.resample:
                groups = self._groups(origin, score)
                row.update(resampled_measures(groups, self.protocol, self.tpr))
            rows.append((origin, score, row))
            if (origin, score) not in self._reasons:
                warn_one_sided(origin, histogram)
        rows += [(*key, found) for key, found in self._components.items()]
        for origin, score, row in rows:
            metrics.update({f'{origin}/{score}/{k}': row[k] for k in row})
        self._print(report(metrics, [key for key in sets if key[0] != 'id']))
        for remark in separation_remarks(
            aurocs_by_set(metrics), None, 'pixels'
        ):
            MMLogger.get_current_instance().info(remark)
        if self._components:
            table = report_components(self._components)
            self._print(table, 'shares in %, numbers of components')
        if self.out_dir:
            self._dump(self.out_dir, metrics, sets)
        return metrics

    def _pooled(self) -> dict[tuple, ScoreHistogram]:
        """Histogram of each (set, score), all images together."""
        sets: dict[tuple, ScoreHistogram] = {}
        for (origin, score, _), histogram in self._merged.items():
            merge_into(sets, (origin, score), histogram)
        return sets

    def _groups(self, origin: str, score: str) -> list[ScoreHistogram]:
        """One for each fold."""
        return [
            histogram
            for (o, s, _), histogram in sorted(self._merged.items())
            if (o, s) == (origin, score)
        ]

    def _component_measures(self) -> dict[tuple, dict[str, float]]:
        """A collective call: every rank measures its own images."""
        if self.component_args is None or self._store is None:
            return {}
        sets = self._pooled()
        score = self._map_score or next((key for _, key in sets), None)
        thresholds = {
            origin: histogram.best_f1()[1]
            for (origin, key), histogram in sets.items()
            if key == score and origin != 'id'
        }
        found = self._store.measure(thresholds)
        return {(origin, score): row for origin, row in found.items()}

    def _print(self, table: str, unit: str = 'in %') -> None:
        if table:
            note = f'protocol {self.protocol}, {unit}'
            MMLogger.get_current_instance().info(f'{note}\n{table}')

    def _dump(
        self, folder: str, metrics: dict[str, float], sets: dict
    ) -> None:
        plot_sets(folder, sets)
        if self._details is not None:
            self._details.write(
                folder, sets, protocol=self.protocol, tpr=self.tpr
            )
        values = {k: float(v) for k, v in metrics.items()}
        write_json(osp.join(folder, 'metrics.json'), values)
