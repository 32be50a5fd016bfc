"""A toy with a warp layer, and its training by hand."""

from __future__ import annotations

import torch
from mmengine.model import BaseModel
from mmengine.registry import DATASETS
from torch import nn
from torch.utils.data import Dataset

from mmood.registry import MODELS

WIDTH, STORED, BATCH, STORED_BATCH = 3, 8, 2, 3
LR, MOMENTUM, DECAY = 0.1, 0.9, 0.05


@MODELS.register_module()
class WarpedToy(BaseModel):
    """Task layer, batch normalization, warp layer; squared error."""

    def __init__(self):
        super().__init__()
        generator = torch.Generator().manual_seed(3)
        self.task = nn.Linear(WIDTH, WIDTH)
        self.norm = nn.BatchNorm1d(WIDTH)
        self.warp = nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, 1))
        self.frozen = nn.Linear(1, 1).requires_grad_(False)
        for parameter in self.parameters():
            parameter.data = torch.randn(parameter.shape, generator=generator)

    def forward(self, inputs, targets, mode):
        outputs = self.warp(self.norm(self.task(torch.stack(inputs))))
        error = outputs.squeeze(1) - torch.stack(targets)
        return dict(loss=error.square().mean())


@DATASETS.register_module()
class ToySamples(Dataset):
    def __init__(self, seed, count):
        generator = torch.Generator().manual_seed(seed)
        self.inputs = torch.randn(count, WIDTH, generator=generator)
        self.targets = torch.randn(count, generator=generator)

    def __len__(self):
        return len(self.targets)

    def __getitem__(self, index):
        return dict(inputs=self.inputs[index], targets=self.targets[index])


class Descent:
    """Momentum and weight decay, by hand; batch statistics too."""

    def __init__(self):
        model = WarpedToy()
        self.values = {n: p.detach() for n, p in model.named_parameters()}
        self.velocity = {}
        self.mean, self.var = torch.zeros(WIDTH), torch.ones(WIDTH)
        self.losses = []

    def loss(self, values, data):
        maps = data.inputs @ values['task.weight'].T + values['task.bias']
        mean, var = maps.mean(0), maps.var(0, unbiased=False)
        maps = (maps - mean) / (var + 1e-5).sqrt()
        maps = maps * values['norm.weight'] + values['norm.bias']
        for i in '01':
            maps = maps @ values[f'warp.{i}.weight'].T
            maps = maps + values[f'warp.{i}.bias']
        self.batch = mean.detach(), maps.new_tensor(len(maps)), var.detach()
        return (maps.squeeze(1) - data.targets).square().mean()

    def step(self, data, active, lr):
        leaves = {
            n: v.clone().requires_grad_() for n, v in self.values.items()
        }
        loss = self.loss(leaves, data)
        names = [n for n in leaves if not n.startswith('frozen')]
        gradients = torch.autograd.grad(loss, [leaves[n] for n in names])
        for name, gradient in zip(names, gradients):
            if not active(name):
                continue
            gradient = gradient + DECAY * self.values[name]
            before = self.velocity.get(name)
            self.velocity[name] = (
                gradient if before is None else MOMENTUM * before + gradient
            )
            self.values[name] = self.values[name] - lr * self.velocity[name]
        return loss.item()

    def observe(self):
        mean, count, var = self.batch
        self.mean = 0.9 * self.mean + 0.1 * mean
        self.var = 0.9 * self.var + 0.1 * var * count / (count - 1)


class Part:
    def __init__(self, data, indices):
        self.inputs, self.targets = data.inputs[indices], data.targets[indices]


def stored_batches(passes, seed=0):
    """The batches of passes over the stored samples, each shuffled anew."""
    batches = []
    for number in range(passes):
        generator = torch.Generator().manual_seed(seed + number)
        order = torch.randperm(STORED, generator=generator)
        batches += order.split(STORED_BATCH)
    return batches


def by_hand(iterations=9, layer='warp.', interval=2):
    """The training as it should be."""
    descent, stored = Descent(), iter(stored_batches(5))
    tasks, stores = ToySamples(1, 4), ToySamples(2, STORED)
    for i in range(iterations):
        lr = LR if i < 4 else LR / 2
        part = Part(tasks, [0, 1] if i % 2 == 0 else [2, 3])
        descent.losses.append(
            descent.step(part, lambda n: not n.startswith(layer), lr)
        )
        descent.observe()
        if (i + 1) % interval == 0:
            part = Part(stores, next(stored))
            descent.step(part, lambda n: n.startswith(layer), lr)
    return descent
