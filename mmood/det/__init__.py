"""Out-of-distribution object detection: the rim around MMDetection."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .apis import OODDetInferencer as OODDetInferencer


def __getattr__(name: str) -> object:
    """`OODDetInferencer`, whose imports no training needs, when asked for."""
    if name == 'OODDetInferencer':
        from .apis import OODDetInferencer

        return OODDetInferencer
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
