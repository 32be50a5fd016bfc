"""Out-of-distribution segmentation: the rim around MMSegmentation."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .apis import OODSegInferencer as OODSegInferencer


def __getattr__(name: str) -> object:
    """`OODSegInferencer`, whose imports no training needs, when asked for."""
    if name == 'OODSegInferencer':
        from .apis import OODSegInferencer

        return OODSegInferencer
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
