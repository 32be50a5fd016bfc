"""The same computation on the CPU and elsewhere, chance included."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

# Largest difference, absolute and as a share, by the precision of the inputs.
# float32 with TF32 off; both kinds of half precision have few digits, and a
# GPU adds in another order.
TOLERANCES = {
    torch.float64: 1e-4,  # what the float32 of the CPU is worth
    torch.float32: 1e-4,
    torch.float16: 2e-2,
    torch.bfloat16: 1e-1,
}
_DRAWS = {
    torch.randn,
    torch.rand,
    torch.randn_like,
    torch.rand_like,
    torch.randint,
    torch.randperm,
    torch.bernoulli,
    torch._standard_gamma,
    torch._sample_dirichlet,
}


class DrawOnCPU(TorchFunctionMode):
    """What is drawn inside comes from the CPU's generator, in float32."""

    def __torch_function__(
        self,
        func: Callable,
        types: tuple,
        args: tuple = (),
        kwargs: dict | None = None,
    ) -> object:
        kwargs = kwargs or {}
        if func not in _DRAWS:
            return func(*args, **kwargs)
        like = next((a for a in args if isinstance(a, Tensor)), None)
        place = torch.device('cpu') if like is None else like.device
        place = kwargs.get('device') or place
        dtype = kwargs.get('dtype') or (None if like is None else like.dtype)
        skipped = ('device', 'dtype', 'generator')
        kwargs = {k: v for k, v in kwargs.items() if k not in skipped}
        args = [a.cpu().float() if isinstance(a, Tensor) else a for a in args]
        return func(*args, **kwargs).to(place, dtype)


@dataclass(frozen=True)
class Place:
    """Where a case runs: it puts its inputs and modules there."""

    device: str = 'cpu'
    dtype: torch.dtype = torch.float32

    def __call__(self, x: Tensor | nn.Module) -> Tensor | nn.Module:
        if isinstance(x, nn.Module):
            # Half precision meets modules of float32, as under autocast.
            wide = self.dtype == torch.float64
            return x.to(self.device, self.dtype if wide else None)
        return x.to(self.device, self.dtype if x.is_floating_point() else None)

    def randn(self, *size: int, seed: int = 0) -> Tensor:
        """Fixed numbers, in half precision rounded."""
        generator = torch.Generator().manual_seed(seed)
        return self(torch.randn(size, generator=generator))

    def labels(self, count: int, classes: int) -> Tensor:
        return (torch.arange(count) * 7 % classes).to(self.device)


def computed(case: Callable, place: Place) -> list[Tensor]:
    """What a case gives there, as float64 on the CPU."""
    torch.manual_seed(0)
    with DrawOnCPU():
        values = case(place)
    values = values if isinstance(values, (list, tuple)) else [values]
    for value in values:
        assert value.device.type == place.device
    return [value.detach().cpu().double() for value in values]


def with_gradient(loss: Tensor | dict, *inputs: Tensor) -> list[Tensor]:
    """A loss, and its gradients of the inputs that it depends on."""
    parts = loss if isinstance(loss, dict) else dict(loss=loss)
    total = sum(parts.values())
    found = torch.autograd.grad(total, inputs, allow_unused=True)
    return [*parts.values(), *(g for g in found if g is not None)]


def largest_excess(found: list[Tensor], expected: list[Tensor]) -> float:
    """Of ``|a - b| / (1 + |b|)`` over all numbers; shapes must agree."""
    assert [f.shape for f in found] == [e.shape for e in expected]
    excess = 0.0
    for a, b in zip(found, expected):
        assert torch.equal(a.isfinite(), b.isfinite())
        gap = ((a - b).abs() / (1 + b.abs()))[b.isfinite()]
        excess = max(excess, gap.max().item() if gap.numel() else 0.0)
    return excess


@contextmanager
def without_tf32() -> Iterator[None]:
    kinds = (torch.backends.cuda.matmul, torch.backends.cudnn)
    before = [kind.allow_tf32 for kind in kinds]
    for kind in kinds:
        kind.allow_tf32 = False
    try:
        yield
    finally:
        for kind, allowed in zip(kinds, before):
            kind.allow_tf32 = allowed


def compare(case: Callable, place: Place, record: Callable) -> None:
    """Run a case here and there; the difference goes into the report."""
    expected = computed(case, Place())
    half = torch.finfo(place.dtype).bits == 16
    dtype = place.dtype if half else None
    with without_tf32(), torch.autocast(place.device, dtype, enabled=half):
        found = computed(case, place)
    excess = largest_excess(found, expected)
    tolerance = TOLERANCES[place.dtype]
    record('difference', f'{excess:.2g}')
    record('tolerance', f'{tolerance:g}')
    assert excess <= tolerance
