"""Making a model ready to be traced once, for all pictures."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, Protocol, TypeVar

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from mmood.backbones import FrozenBackbone
from mmood.scores import KNN, NotFittedError, ScoreSet

# Buffers that a score asks for in an `if`.
_ASKED = ('is_fitted', 'fitted_percentile', 'fitted_for')
Model = TypeVar('Model', bound=nn.Module)
_GRADIENTS = 'it takes a gradient, and an ONNX graph goes one way'


class Chosen(NamedTuple):
    """The scores of a graph, and why the others are left out, by name."""

    names: list[str]
    left_out: dict[str, str]


def choose_scores(scores: ScoreSet, names: Iterable[str] | None) -> Chosen:
    """All scores by default, without those that cannot be exported.

    The first one decides what is OOD, so it is never left out, and nor are
    those in ``names``. Raises ValueError for one of these that cannot be
    exported, NotFittedError for one that is not fitted, and ValueError for a
    name that is not in the list.
    """
    asked = list(scores.names if names is None else names)
    unknown = [name for name in asked if name not in scores.names]
    if unknown or not asked:
        raise ValueError(
            f'scores must be of {list(scores.names)}, got {unknown or "none"}'
        )
    kept: list[str] = []
    errors: dict[str, Exception] = {}
    # Those that compounds are made of come before these.
    for name in sorted(asked, key=lambda name: bool(_parts(scores, name))):
        error = _objection(scores, name, kept)
        if error is None:
            kept.append(name)
        else:
            errors[name] = error
    for name in asked[:1] if names is None else asked:
        if name in errors:
            raise _with_remedy(errors[name], kept)
    left_out = {name: str(error) for name, error in errors.items()}
    return Chosen([name for name in asked if name in kept], left_out)


def _parts(scores: ScoreSet, name: str) -> Sequence[str]:
    """What a compound is made of."""
    return getattr(scores.fitted.get(name), 'of', ())


def _objection(
    scores: ScoreSet, name: str, others: Iterable[str]
) -> Exception | None:
    """Why a score cannot be exported beside these others."""
    if scores.by_gradient(name):
        return ValueError(
            f'the score {name!r} cannot be exported: {_GRADIENTS}'
        )
    score = scores.fitted.get(name)
    if score is not None and not score.is_fitted:
        return NotFittedError(
            f'the score {name!r} is not fitted: run tools/fit_scores.py '
            'CONFIG CHECKPOINT and export what it writes'
        )
    missing = set(_parts(scores, name)) - set(others)
    if missing:
        return ValueError(
            f'the compound {name!r} is of {sorted(missing)}, which are not '
            'exported: name them too'
        )
    return None


def _with_remedy(error: Exception, others: Sequence[str]) -> Exception:
    """With the scores that can be exported, the first of which decides."""
    if not others:
        return error
    return type(error)(
        f'{error}; or name the others, the first of which is to decide: '
        f'--scores {" ".join(others)}'
    )


def known_thresholds(
    scores: ScoreSet, names: Iterable[str]
) -> dict[str, float]:
    """Those of the scores that were calibrated."""
    found = {name: float(scores.thresholds[name]) for name in names}
    return {name: value for name, value in found.items() if value == value}


def traceable(model: Model, divisor: int = 1) -> Model:
    """A copy in eval mode in which no `if` depends on a tensor.

    Nor on the size of pictures whose sides are multiples of ``divisor``, in
    patch embeddings that pad nothing to these.
    """
    model = copy.deepcopy(model).eval().requires_grad_(False)
    for module in model.modules():
        for name in set(_ASKED) & set(module._buffers):
            value = module._buffers.pop(name)
            setattr(module, name, None if value is None else value.item())
        if isinstance(module, FrozenBackbone):
            module.drop_cache()
        if _pads_nothing(getattr(module, 'adap_padding', None), divisor):
            module.register_module('adap_padding', None)
        if isinstance(module, KNN):
            module.arguments = {**module.arguments, 'backend': 'torch'}
    return model


class _Padding(Protocol):
    """What an `AdaptivePadding` has, of both sides."""

    kernel_size: Sequence[int]
    stride: Sequence[int]
    dilation: Sequence[int]


def _pads_nothing(padding: _Padding | None, divisor: int) -> bool:
    """Whether one finds whole patches."""
    if padding is None:
        return False
    kernels = zip(padding.kernel_size, padding.stride, padding.dilation)
    return all(
        (kernel - 1) * dilation + 1 <= stride and divisor % stride == 0
        for kernel, stride, dilation in kernels
    )


class SameNoise(nn.Module):
    """A graph whose random numbers are drawn once, and are constants then.

    They are drawn by a first pass over ``inputs``, as `torch.randn`; the
    graph is the same for all pictures.
    """

    def __init__(self, graph: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        super().__init__()
        self.body = graph  # torch's traces have a `graph` of their own
        with torch.no_grad(), _Draws() as drawn:
            graph(*inputs)
        self.count = len(drawn.values)
        for i, value in enumerate(drawn.values):
            self.register_buffer(f'noise_{i}', value)

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        values = [getattr(self, f'noise_{i}') for i in range(self.count)]
        with _Draws(values):
            return self.body(*inputs)


class _Draws(TorchFunctionMode):
    """Notes what `torch.randn` draws inside, or gives out the ``known``."""

    def __init__(self, known: Iterable[Tensor] | None = None) -> None:
        super().__init__()
        self.values: list[Tensor] = []
        self._known = None if known is None else iter(known)

    def __torch_function__(
        self, func: Callable, types: object, args: tuple = (), kwargs=None
    ) -> object:
        kwargs = kwargs or {}
        if func is not torch.randn:
            return func(*args, **kwargs)
        if self._known is not None:
            return next(self._known)
        self.values.append(func(*args, **kwargs))
        return self.values[-1]
