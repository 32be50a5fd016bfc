"""Raising half precision to float32, and products in all of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from mmengine.structures import BaseDataElement
from torch import Tensor


def raised(x: Tensor) -> Tensor:
    """``x`` in float32 if it is float16 or bfloat16, otherwise ``x`` itself.

    Any shape. Sums of exponentials and scores of confident samples differ in
    digits that half precision does not have.
    """
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


@contextmanager
def full_products() -> Iterator[None]:
    """Multiply matrices of float32 in float32 inside, as torch's default.

    Whatever ``torch.set_float32_matmul_precision`` says outside.
    """
    outside = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision('highest')
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(outside)


def to_float32(element: BaseDataElement) -> None:
    """Give all floating-point fields, at any depth, full precision."""
    for name, value in element.items():
        if isinstance(value, BaseDataElement):
            to_float32(value)
        elif isinstance(value, Tensor) and value.is_floating_point():
            element.set_data({name: value.float()})
