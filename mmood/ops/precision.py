"""Raising half precision to float32."""

from __future__ import annotations

import torch
from torch import Tensor


def raised(x: Tensor) -> Tensor:
    """``x`` in float32 if it is float16 or bfloat16, otherwise ``x`` itself.

    Any shape. Sums of exponentials and scores of confident samples differ in
    digits that half precision does not have.
    """
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
