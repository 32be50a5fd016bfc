"""Checkpoints released by DOoD's authors -> one checkpoint of mmood.

The authors (Galesso et al., ECCV 2024) give two files per model: the
segmentor, a ``state_dict`` of MMSegmentation's ``EncoderDecoder``, and the
diffusion model, ``normalization.*`` and ``denoiser.*``. Nothing is lost and
nothing trained: every weight is renamed, transposed or multiplied by a
number, and a key that is missing or that nothing was made of is an error.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import torch
from torch import Tensor

from mmood.checkpoint import (
    CheckpointError,
    allow_checkpoint_types,
    load_from_local,
)
from mmood.diffusion import DenoisingMLP
from mmood.ops import NotWrittenError, atomic_write

State = dict[str, Tensor]
# T of the released models: their scalar embedding takes t, ours t / T.
NUM_STEPS = 1000
LOSS = 'losses.DenoisingLoss'  # where the diffusion model goes
SEGMENTOR = ('backbone.', 'decode_head.', 'auxiliary_head.')
# Segmenter's head multiplies by these, mmseg's `nn.Linear` by the transposed.
TRANSPOSED = (
    'decode_head.patch_proj.weight',
    'decode_head.classes_proj.weight',
)
# Tolerance of what follows from minimum and maximum, in half ranges.
RTOL = 1e-4
STATISTICS = {'min', 'max', 'mins', 'maxs', 'shift', 'scale'}
# What the released models do not normalise by.
STATISTICS |= {'mean', 'std', 'means', 'stds', 'queue_ptr'}
# Our layers -> theirs, in a block and outside.
BLOCK = dict(
    norm1='in_layers.0',
    linear1='in_layers.2',
    time='emb_layers.1',
    norm2='out_layers.0',
    linear2='out_layers.3',
    skip='skip_connection',
)
OUTSIDE = {
    'time.linear1': 'time_embed.0',
    'time.linear2': 'time_embed.2',
    'head.0': 'out.0',
    'head.2': 'out.2',
}
NUM_GROUPS = 32


def convert(segmentor: State, diffusion: State) -> State:
    """The state dict of a segmentor with DOoD's diffusion model.

    Raises ValueError for a key that is missing or unknown, a shape that does
    not fit, and a normalisation that is not by minimum and maximum.
    """
    released, statistics = split(diffusion)
    denoiser = convert_denoiser(released)
    minimum, maximum, _ = feature_range(statistics)
    if minimum.shape != denoiser['head.0.weight'].shape:
        raise ValueError(
            f'the denoiser is for {len(denoiser["head.0.weight"])} channels, '
            f'normalization for {len(minimum)}; are both of one model?'
        )
    return {
        **convert_segmentor(segmentor),
        **{f'{LOSS}.denoiser.{k}': v for k, v in denoiser.items()},
        f'{LOSS}.feature_range.minimum': minimum,
        f'{LOSS}.feature_range.maximum': maximum,
    }


def convert_segmentor(state: State) -> State:
    """The same, the two projections of Segmenter's mask head transposed."""
    missing = [
        f'{part}*'
        for part in SEGMENTOR[:2]
        if not any(key.startswith(part) for key in state)
    ]
    if any(key in state for key in TRANSPOSED):
        missing += [key for key in TRANSPOSED if key not in state]
    unknown = [key for key in state if not key.startswith(SEGMENTOR)]
    _fail_if('segmentor', missing=missing, unknown=unknown)
    return {
        key: value.T.contiguous() if key in TRANSPOSED else value
        for key, value in state.items()
    }


def split(diffusion: State) -> tuple[State, State]:
    """Denoiser and normalization, both without their prefix."""
    parts: dict[str, State] = dict(denoiser={}, normalization={})
    unknown = []
    for key, value in diffusion.items():
        part, _, name = key.partition('.')
        if part in parts:
            parts[part][name] = value
        else:
            unknown.append(key)
    missing = [f'{part}.*' for part, state in parts.items() if not state]
    _fail_if('diffusion model', missing=missing, unknown=unknown)
    return parts['denoiser'], parts['normalization']


def convert_denoiser(state: State) -> State:
    """Released names -> those of `DenoisingMLP`."""
    arguments = denoiser_arguments(state)
    with torch.device('meta'):
        model = DenoisingMLP(**arguments, groups=NUM_GROUPS)
    if model.head[0].num_groups != NUM_GROUPS:
        raise ValueError(
            f'released denoisers have {NUM_GROUPS} groups, a DenoisingMLP of '
            f'{arguments["channels"]} channels has {model.head[0].num_groups}'
        )
    expected = {released_name(k): k for k in model.state_dict()}
    shapes = {k: tuple(v.shape) for k, v in model.state_dict().items()}
    _fail_if(
        'denoiser',
        missing=[key for key in expected if key not in state],
        unknown=[key for key in state if key not in expected],
        misshapen=[
            f'{key} {tuple(state[key].shape)}, not {shapes[name]}'
            for key, name in expected.items()
            if key in state and tuple(state[key].shape) != shapes[name]
        ],
    )
    result = {name: state[key] for key, name in expected.items()}
    if arguments['time_embedding'] == 'scalar':  # W t = (T W) (t / T)
        name = 'time.linear1.weight'
        result[name] = result[name] * NUM_STEPS
    return result


def denoiser_arguments(state: State) -> dict:
    """Arguments of the `DenoisingMLP` that released weights are for."""
    required = ('out.0.weight', 'input_blocks.0.0.in_layers.0.weight')
    _fail_if('denoiser', missing=[key for key in required if key not in state])
    inputs, middles = (
        {key.split('.')[1] for key in state if key.startswith(f'{stage}.')}
        for stage in ('input_blocks', 'middle_blocks')
    )
    is_periodic = 'time_embed.2.weight' in state
    return dict(
        channels=len(state['out.0.weight']),
        num_blocks=len(inputs),
        num_middle_blocks=len(middles),
        time_embedding='periodic' if is_periodic else 'scalar',
        num_steps=NUM_STEPS,
    )


def released_name(name: str) -> str:
    """The released key of a parameter of `DenoisingMLP`."""
    owner, _, kind = name.rpartition('.')
    if owner in OUTSIDE:
        return f'{OUTSIDE[owner]}.{kind}'
    block, _, layer = owner.rpartition('.')
    return f'{block}.0.{BLOCK[layer]}.{kind}'


def feature_range(state: State) -> tuple[Tensor, Tensor, bool]:
    """Minimum and maximum (C,), and whether each channel has its own scale.

    From ``min`` and ``max``, or in older files from the queues ``mins`` and
    ``maxs`` (Q, C). Raises ValueError if they are missing or not finite, or
    if ``shift`` or ``scale``, where given, do not follow from them.
    """
    state = dict(state)
    for name, reduce in (('min', torch.amin), ('max', torch.amax)):
        if name not in state and f'{name}s' in state:
            state[name] = reduce(state[f'{name}s'], 0)
    _fail_if(
        'normalization',
        missing=[name for name in ('min', 'max') if name not in state],
        unknown=[name for name in state if name not in STATISTICS],
    )
    low, high = state['min'], state['max']
    shift, scale = state.get('shift', (low + high) / 2), state.get('scale')
    if not low.shape == high.shape == shift.shape:
        raise ValueError('normalization: min, max and shift differ in shape')
    half = (high - low) / 2
    if not torch.isfinite(half).all() or not (half > 0).any():
        raise ValueError(
            'normalization: minimum and maximum are not finite, or the same '
            'in all channels; this model is not trained'
        )
    largest = half.max()
    has_scales = scale is not None and not _agree(scale, largest, largest)
    wrong = []
    if not _agree(shift, (low + high) / 2, largest):
        wrong.append('shift')
    if has_scales and not _agree(scale, half, largest):
        wrong.append('scale')
    if wrong:
        raise ValueError(
            f'normalization: {" and ".join(wrong)} not as minimum and maximum '
            'say; only models normalised by these can be converted'
        )
    return low, high, has_scales


def _agree(value: Tensor, expected: Tensor, unit: Tensor) -> bool:
    return bool(((value - expected).abs() <= RTOL * unit).all())


def _fail_if(what: str, **problems: list[str]) -> None:
    found = [f'{k}: {_listed(keys)}' for k, keys in problems.items() if keys]
    if found:
        raise ValueError(
            f'this {what} is not one that DOoD released; {"; ".join(found)}'
        )


def _listed(keys: list[str], limit: int = 20) -> str:
    more = f' and {len(keys) - limit} more' * (len(keys) > limit)
    return ', '.join(sorted(keys)[:limit]) + more


def describe(segmentor: State, diffusion: State) -> str:
    """What a config must say to fit the converted checkpoint."""
    released, statistics = split(diffusion)
    head = denoiser_arguments(released)
    is_distilled = 'backbone.dist_token' in segmentor
    backbone = 'mmood.Distilled' * is_distilled + 'VisionTransformer'
    settings = [
        f'backbone.type={backbone!r}',
        f'losses.0.channels={head.pop("channels")}',
        f'losses.0.per_channel={feature_range(statistics)[2]}',
        *(f'losses.0.denoiser.{k}={v!r}' for k, v in head.items()),
    ]
    for key, dim in (('cls_emb', 1), ('conv_seg.weight', 0)):
        if f'decode_head.{key}' in segmentor:
            classes = segmentor[f'decode_head.{key}'].shape[dim]
            settings.append(f'decode_head.num_classes={classes}')
    lines = ['It fits a config whose mmood.OODEncoderDecoder has', *settings]
    return '\n  '.join(lines)


def load(path: str, argument: str) -> dict:
    """A checkpoint, read safely; ends the tool if that cannot be done."""
    try:
        content = load_from_local(path, 'cpu')
    except CheckpointError as error:
        fail(f'{argument}: {error}')
    if 'state_dict' not in content:
        fail(f'{argument}: {path} has no state_dict; is it a checkpoint?')
    if not all(map(_is_weight, content['state_dict'].items())):
        fail(f'{argument}: the state_dict of {path} is not of named tensors')
    return content


def _is_weight(item: tuple) -> bool:
    return isinstance(item[0], str) and isinstance(item[1], Tensor)


def fail(message: str) -> NoReturn:
    """End the tool with one line on stderr and exit code 1."""
    raise SystemExit(f'error: {message}')


def parse_args(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('segmentor', help='*_segm.pth, the segmentor')
    parser.add_argument('diffusion', help='*_diff.pth, the diffusion model')
    parser.add_argument('--out', required=True, type=Path, help='to write')
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    args = parse_args(argv)
    allow_checkpoint_types()
    segmentor = load(args.segmentor, 'segmentor')
    diffusion = load(args.diffusion, 'diffusion')
    states = segmentor['state_dict'], diffusion['state_dict']
    meta = segmentor.get('meta')
    dataset_meta = meta.get('dataset_meta') if isinstance(meta, dict) else None
    meta = dict(dataset_meta=dataset_meta) if dataset_meta else {}
    try:
        state = convert(*states)
        with atomic_write(args.out, 'wb') as file:
            torch.save(dict(meta=meta, state_dict=state), file)
    except (ValueError, NotWrittenError) as error:
        fail(f'{error}')
    print(f'{args.out}: {len(state)} tensors\n{describe(*states)}')


if __name__ == '__main__':
    main()
