"""DOoD's released models: names, shapes and function, without mmood.

From the public model code's facts (PROTOCOLS.md, Sec. 3h). The denoiser is
run from its state dict by functions that share nothing with mmood's modules.
"""

import math

import torch
import torch.nn.functional as F

CITYSCAPES = dict(blocks=6, middles=3, periodic=True)
ADE = dict(blocks=8, middles=4, periodic=False)
TINY = dict(blocks=2, middles=1, periodic=True)
BLOCKS = ('input_blocks', 'middle_blocks', 'output_blocks')


def released_shapes(channels, blocks, middles, periodic):
    """Names and shapes of a released denoiser (PROTOCOLS, section 3h)."""
    shapes = {}

    def affine(name, *shape):
        shapes[f'{name}.weight'] = shape
        shapes[f'{name}.bias'] = shape[:1]

    affine('time_embed.0', channels, channels)
    if periodic:
        affine('time_embed.2', channels, channels)
    for stage, count in zip(BLOCKS, (blocks, middles, blocks)):
        width = 2 * channels if stage == 'output_blocks' else channels
        for i in range(count):
            block = f'{stage}.{i}.0'
            affine(f'{block}.in_layers.0', width)
            affine(f'{block}.in_layers.2', channels, width)
            if periodic:
                affine(f'{block}.emb_layers.1', channels, channels)
            affine(f'{block}.out_layers.0', channels)
            affine(f'{block}.out_layers.3', channels, channels)
            if width != channels:
                affine(f'{block}.skip_connection', channels, width)
    affine('out.0', channels)
    affine('out.2', channels, channels)
    return shapes


def released_denoiser(channels, **form):
    state = {}
    for name, shape in released_shapes(channels, **form).items():
        scale = shape[1] ** -0.5 if len(shape) == 2 else 0.5
        state[name] = scale * torch.randn(shape)
    if not form['periodic']:  # as trained: t itself stays below 1000
        state['time_embed.0.weight'] /= 1000
    return state


def released_forward(state, x, t):
    """The released network, written down from its state dict."""

    def layer(name, x):
        weight, bias = state[f'{name}.weight'], state[f'{name}.bias']
        if weight.dim() == 1:
            return F.silu(F.group_norm(x, 32, weight, bias))
        return F.linear(x, weight, bias)

    def block(name, x):
        h = layer(f'{name}.in_layers.2', layer(f'{name}.in_layers.0', x))
        added = time
        if periodic:
            added = layer(f'{name}.emb_layers.1', F.silu(time))
        h = layer(f'{name}.out_layers.0', h + added)
        h = layer(f'{name}.out_layers.3', h)
        if f'{name}.skip_connection.weight' in state:
            x = layer(f'{name}.skip_connection', x)
        return x + h

    def count(stage):
        return len({k.split('.')[1] for k in state if k.startswith(stage)})

    periodic = 'time_embed.2.weight' in state
    channels, half = x.shape[1], x.shape[1] // 2
    if periodic:
        rates = torch.exp(-math.log(10000) * torch.arange(half) / half)
        angles = t[:, None] * rates
        waves = torch.cat((angles.cos(), angles.sin()), 1)
        time = layer('time_embed.0', waves)
        time = layer('time_embed.2', F.silu(time))
    else:
        time = layer('time_embed.0', t[:, None].float().repeat(1, channels))
    skips = []
    for i in range(count('input')):
        x = block(f'input_blocks.{i}.0', x)
        skips.append(x)
    for i in range(count('middle')):
        x = block(f'middle_blocks.{i}.0', x)
    for i in range(count('output')):
        x = block(f'output_blocks.{i}.0', torch.cat((x, skips.pop()), 1))
    return layer('out.2', layer('out.0', x))


def released_statistics(channels, queue=5, own_scales=False):
    mins = torch.full((queue, channels), float('inf'))
    maxs = -mins
    mins[:3] = -torch.rand(3, channels) - 1
    maxs[:3] = torch.rand(3, channels) + torch.arange(channels) / channels
    low, high = mins[:3].min(0).values, maxs[:3].max(0).values
    scale = (high - low) / 2
    return dict(
        mins=mins,
        maxs=maxs,
        means=torch.full((queue, channels), float('nan')),
        stds=torch.full((queue, channels), float('nan')),
        queue_ptr=torch.tensor([3]),
        min=low,
        max=high,
        mean=torch.zeros(channels),
        std=torch.ones(channels),
        shift=(low + high) / 2,
        scale=scale if own_scales else scale.max().expand(channels).clone(),
    )


def released_diffusion(denoiser=None, statistics=None):
    """Both parts with their prefixes; tiny ones of 256 channels for None."""
    parts = dict(
        denoiser=denoiser or released_denoiser(256, **TINY),
        normalization=statistics or released_statistics(256),
    )
    return {
        f'{part}.{name}': value
        for part, state in parts.items()
        for name, value in state.items()
    }
