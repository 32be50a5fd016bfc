"""Writing a traced model to an ONNX file, with what its runner has to know."""

from __future__ import annotations

import json
import logging
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module

import numpy as np
import torch
from torch import Tensor, nn
from torch.export import Dim

from mmood.ops import atomic_write

from .pipeline import multiples
from .trace import SameNoise

PACKAGES = ('onnx', 'onnxruntime', 'onnxscript')
KEY = 'mmood'  # in the file's metadata
_FAR = 0.5  # share of what differs, from which a graph is wrong
_OF_NOISE = 'its noise has the size of a map'
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
    left_out: why scores of the model are not in the file, by name.
    """

    graph: nn.Module
    inputs: Sequence[str]
    outputs: Sequence[str]
    about: dict
    left_out: Mapping[str, str] = field(default_factory=dict)


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
    traced so. What is written has computed the same as PyTorch, of another
    size too. Raises ValueError for a model that cannot be exported.
    """
    check_packages()
    divisor = multiples(plan.about)
    _check_size(size, divisor)
    inputs = _example(plan, size)
    graph = SameNoise(plan.graph, inputs).eval()
    reason = _OF_NOISE if graph.count else None
    if not is_fixed and not reason:
        other = (size[0] + divisor, size[1])
        content, reason = _tried(graph, plan, inputs, other)
    if is_fixed or reason:
        content, error = _tried(graph, plan, inputs, None)
        if error:
            raise ValueError(f'the model cannot be exported: {error}')
    with atomic_write(path, 'wb') as file:
        file.write(content)
    path = f'{path}, {len(content) / 1e6:.1f} MB'
    if not is_fixed and reason is None:
        return f'{path}: for pictures of any size'
    why = f', as no graph of any size can be traced ({reason})'
    shape = ' x '.join(map(str, size))
    return f'{path}: for {shape} pixels alone{why if reason else ""}'


def _example(plan: Plan, size: Sequence[int]) -> tuple[Tensor, ...]:
    """Inputs of a picture with values as those of a normalised one."""
    sides = [torch.tensor(tuple(size)) for _ in plan.inputs[1:]]
    return torch.rand(1, 3, *size) * 4 - 2, *sides


def _tried(
    graph: nn.Module,
    plan: Plan,
    inputs: tuple[Tensor, ...],
    other: Sequence[int] | None,
) -> tuple[bytes, str | None]:
    """A file's content, and why it is none.

    Of any size, if ``other`` is a size to try it with, or of one.
    """
    size = [*map(int, inputs[0].shape[2:])]
    try:
        program = _exported(graph, plan, inputs, is_fixed=other is None)
        about = dict(plan.about, size=None if other else size)
        program.model.metadata_props[KEY] = json.dumps(about)
        content = program.model_proto.SerializeToString()
        differing = _differing(content, graph, plan, other or size)
    except Exception as error:  # what tracing raises has no common class
        return b'', _reason(error)
    if differing:
        return b'', f'{differing} would not be what PyTorch computes'
    return content, None


def _differing(
    content: bytes, graph: nn.Module, plan: Plan, size: Sequence[int]
) -> str | None:
    """The first output that is not what PyTorch makes of a picture."""
    import onnxruntime

    options = dict(providers=['CPUExecutionProvider'])
    session = onnxruntime.InferenceSession(content, **options)
    inputs = _example(plan, size)
    taken = {given.name for given in session.get_inputs()}
    feed = {
        name: x.numpy()
        for name, x in zip(plan.inputs, inputs)
        if name in taken
    }
    with torch.no_grad():
        expected = graph(*inputs)
    for name, ours, theirs in zip(
        plan.outputs, session.run(None, feed), expected
    ):
        rows = min(len(ours), len(theirs))
        pair = ours[:rows], theirs[:rows].numpy()
        # Of noise some boxes are close calls, and one shifts those behind.
        far = ~np.isclose(*pair, rtol=1e-2, atol=1e-2)
        if far.size and far.mean() > _FAR:
            return name
    return None


def _check_size(size: Sequence[int], divisor: int) -> None:
    if any(side % divisor for side in size):
        raise ValueError(
            f'size must be of multiples of {divisor}, to which pictures are '
            f'padded or resized, got {tuple(size)}'
        )


def _exported(
    graph: nn.Module, plan: Plan, inputs: tuple[Tensor, ...], is_fixed: bool
) -> torch.onnx.ONNXProgram:
    """The ONNX program, of one size or of multiples of the divisor."""
    from .translations import OPSET, table

    sizes: list[dict | None] = [None] * len(inputs)
    if not is_fixed:
        divisor = multiples(plan.about)
        # One row of cells would be another case wherever sizes are compared.
        sides = [Dim(name, min=2) for name in ('rows', 'columns')]
        sides = [side if divisor == 1 else divisor * side for side in sides]
        sizes[0] = dict(enumerate(sides, 2))
    with _quiet():
        traced = torch.export.export(
            graph,
            inputs,
            dynamic_shapes=(tuple(sizes),),
            strict=False,
        )
        program = torch.onnx.export(
            traced,
            dynamo=True,
            opset_version=OPSET,
            input_names=list(plan.inputs),
            output_names=list(plan.outputs),
            custom_translation_table=table(),
            verbose=False,
        )
    if program is None:
        raise RuntimeError('torch.onnx.export gave no program')
    return program


def _reason(error: BaseException) -> str:
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
