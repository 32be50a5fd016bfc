"""Loading of pictures that says which one cannot be loaded.

Shapes: H x W pixels.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mmood.ops.pictures import as_bgr


class PictureLoader:
    """Loads pictures for a pipeline; an error says which one."""

    def __init__(self, loader: Callable) -> None:
        self.loader = loader

    def __call__(self, picture: str | np.ndarray) -> dict:
        try:
            return self.loader(picture)
        except FileNotFoundError:
            raise
        except Exception as error:  # each decoder has its own
            name = picture if isinstance(picture, str) else 'the array'
            reason = f'{type(error).__name__}: {error}'.splitlines()[0]
            raise ValueError(
                f'{name} cannot be read as a picture ({reason}): restore it '
                'or leave it out'
            ) from error

    def picture(self, picture: str | np.ndarray) -> np.ndarray:
        """(H, W, 3) uint8, BGR."""
        image = self(picture)['img'].clip(0, 255).astype(np.uint8)
        return as_bgr(image)
