"""Writing a traced model to an ONNX file, with what its runner has to know."""

from __future__ import annotations

import json
import logging
import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module

import torch
from torch import Tensor, nn

from mmood.ops import atomic_write

from .trace import SameNoise

PACKAGES = ('onnx', 'onnxruntime', 'onnxscript')
KEY = 'mmood'  # in the file's metadata
_TALKATIVE = (
    'onnx_ir',
    'onnxscript',
    'torch.onnx',
    'torch.fx.experimental.symbolic_shapes',
)


@dataclass
class Plan:
    """A model to be exported.

    graph: takes ``inputs``, the first of them the picture (1, 3, H, W), the
        others its sizes (2,).
    outputs: names of what it returns.
    about: what the file says of itself, of JSON's types.
    """

    graph: nn.Module
    inputs: Sequence[str]
    outputs: Sequence[str]
    about: dict


def check_packages() -> None:
    """Raises ImportError, with the remedy, without ONNX's packages."""
    for name in PACKAGES:
        try:
            import_module(name)
        except ImportError as error:
            raise ImportError(
                f'exporting needs the package {name}: pip install '
                "'mmood[deploy]'"
            ) from error


def write(
    plan: Plan,
    path: str | os.PathLike,
    size: Sequence[int],
    *,
    is_fixed: bool = False,
) -> str:
    """Write the plan's graph; what was done, in a sentence.

    ``size`` (height, width) is that of the picture that it is traced with.
    Pictures may have any size unless it ``is_fixed`` or the model cannot be
    traced so. Raises ValueError for a model that cannot be exported.
    """
    check_packages()
    sides = torch.tensor(tuple(size))
    _check_size(size, plan.about['divisor'])
    # Values as those of a normalised picture.
    inputs = [torch.rand(1, 3, *size) * 4 - 2]
    inputs += [sides.clone() for _ in plan.inputs[1:]]
    graph = SameNoise(plan.graph, tuple(inputs)).eval()
    reason = None
    if not is_fixed:
        try:
            program = _exported(graph, plan, inputs, is_fixed=False)
        except Exception as error:  # what tracing raises has no common class
            reason = _reason(error)
    if is_fixed or reason:
        try:
            program = _exported(graph, plan, inputs, is_fixed=True)
        except Exception as error:
            raise ValueError(
                f'the model cannot be exported: {_reason(error)}'
            ) from error
    is_fixed = is_fixed or reason is not None
    about = dict(plan.about, size=[*map(int, size)] if is_fixed else None)
    program.model.metadata_props[KEY] = json.dumps(about)
    with atomic_write(path, 'wb') as file:
        file.write(program.model_proto.SerializeToString())
    if not is_fixed:
        return f'{path}: for pictures of any size'
    why = f', as no graph of any size can be traced ({reason})'
    shape = ' x '.join(map(str, size))
    return f'{path}: for {shape} pixels alone{why if reason else ""}'


def _check_size(size: Sequence[int], divisor: int) -> None:
    if any(side % divisor for side in size):
        raise ValueError(
            f'size must be of multiples of {divisor}, to which the model pads '
            f'pictures, got {tuple(size)}'
        )


def _exported(
    graph: nn.Module, plan: Plan, inputs: Sequence[Tensor], is_fixed: bool
) -> object:
    """The ONNX program, of one size or of multiples of the divisor."""
    from .translations import OPSET, table

    sizes: list[dict | None] = [None] * len(inputs)
    if not is_fixed:
        divisor = plan.about['divisor']
        sides = [torch.export.Dim(name) for name in ('rows', 'columns')]
        sides = [side if divisor == 1 else divisor * side for side in sides]
        sizes[0] = dict(enumerate(sides, 2))
    with _quiet():
        traced = torch.export.export(
            graph,
            tuple(inputs),
            dynamic_shapes=(tuple(sizes),),
            strict=False,
        )
        return torch.onnx.export(
            traced,
            dynamo=True,
            opset_version=OPSET,
            input_names=list(plan.inputs),
            output_names=list(plan.outputs),
            custom_translation_table=table(),
            verbose=False,
        )


def _reason(error: Exception) -> str:
    """In a line; the first error of a chain says most."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f'{type(error).__name__}: {lines[0] if lines else ""}'[:300]


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what torch says of torchvision and of itself."""
    loggers = [logging.getLogger(name) for name in _TALKATIVE]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            yield
    finally:
        for logger, level in zip(loggers, levels):
            logger.setLevel(level)
