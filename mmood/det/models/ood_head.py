"""Any head of a known family, with scores, by its name."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from mmdet.models.dense_heads import DETRHead
from mmdet.models.dense_heads.base_dense_head import BaseDenseHead
from torch import nn

from mmood.registry import MODELS, model_class

from .dense import DenseAdapter
from .query import QueryAdapter

FAMILIES = ((BaseDenseHead, DenseAdapter), (DETRHead, QueryAdapter))


@MODELS.register_module()
def OODHead(
    of: str | type[nn.Module],
    scores: Sequence[str | dict] = ('energy',),
    losses: Sequence[dict] = (),
    outliers: dict | None = None,
    *,
    unknown_class: bool = False,
    pseudo: dict | None = None,
    cls_predictor_cfg: dict | None = None,
    **kwargs: object,
) -> nn.Module:
    """The head ``of``, whose boxes say how unknown they are.

    A one-stage head (see `DenseAdapter`) or a DETR head (see
    `QueryAdapter`), with the arguments ``kwargs``. A checkpoint of the head
    itself loads: no key is renamed. ::

        bbox_head=dict(type='mmood.OODHead', of='mmdet.RetinaHead',
                       scores=['energy', 'knn'], num_classes=20, ...)

    Args:
        of: the class, or its name with the scope.
        scores: of each score its name or config, see `ScoreSet`.
        losses: configs of `OODLoss` modules, which see a `Batch` of priors or
            queries.
        outliers: config of an `OutlierSource`; None: no loss needs any.
        unknown_class: whether the last of ``num_classes`` = K + 1 classes is
            'unknown', the label of unknown boxes. No object is annotated with
            it. Scores get the K known logits, losses all of them.
        pseudo: config of what takes queries for unknown objects, see
            `UnknownQueries`; it needs an ``unknown_class``.
        cls_predictor_cfg: config of the layers that classify, such as
            ``dict(type='mmood.GrowingLinear', num_seen=20)``; None: the
            head's own.

    The last three are for DETR heads. Raises ValueError for them elsewhere,
    for a class of no known family, and for what the adapter refuses.
    """
    head = model_class(of, 'mmdet.RetinaHead')
    scoring = _with_scores(head)
    made = head(**kwargs)
    # Not by the constructor: heads ask in theirs which class they are.
    made.__class__ = scoring
    own = dict(
        unknown_class=unknown_class,
        pseudo=pseudo,
        cls_predictor_cfg=cls_predictor_cfg,
    )
    asked = {name: value for name, value in own.items() if value}
    if asked and not isinstance(made, QueryAdapter):
        raise ValueError(
            f'{", ".join(asked)} are for DETR heads, and of={head.__name__} '
            'is none: leave them out'
        )
    made.equip(scores, losses, outliers, **asked)
    return made


@lru_cache(None)
def _with_scores(head: type[nn.Module]) -> type[nn.Module]:
    for family, adapter in FAMILIES:
        if isinstance(head, type) and issubclass(head, family):
            return type(f'OOD{head.__name__}', (adapter, head), {})
    families = ', '.join(family.__name__ for family, _ in FAMILIES)
    raise ValueError(
        f'of={head.__name__} is no head of a known family ({families}): a RoI '
        'head is an mmood.OODRoIHead'
    )
