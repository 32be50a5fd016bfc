"""The pipeline of a test whose images have no labels."""

from __future__ import annotations

from collections.abc import Iterable

from mmood.families import short_name

_LOADERS = ('LoadOODAnnotations', 'LoadAnnotations', 'LoadDepthAnnotation')


def without_labels(pipeline: Iterable[dict]) -> list[dict]:
    """The steps but those that load labels."""
    return [step for step in pipeline if short_name(step) not in _LOADERS]
