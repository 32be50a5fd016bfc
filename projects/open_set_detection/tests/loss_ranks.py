"""Play losses of RoIs as gloo ranks; the arguments are two files.

Reads a list of (config, state, of each rank the steps' tensors); writes, of
each rank, per case the losses, gradients and the state at the end.
"""

import sys

import torch
import torch.distributed as dist
import torch.nn.functional as F

from projects.open_set_detection import open_set_detection
from roi_batches import (
    gradients,
    linear_view,
    roi_batch,
)


def play(loss: torch.nn.Module, tensors: dict) -> dict:
    """One step of a loss; ``mixed`` are the losses of mixtures."""
    mixed = [torch.zeros(0)]

    def classify(maps: torch.Tensor) -> torch.Tensor:
        logits = linear_view(maps)
        unknown = torch.full((len(maps),), 3)
        mixed.append(F.cross_entropy(logits, unknown, reduction='none'))
        return logits

    batch = roi_batch(classify=classify, **tensors)
    losses = loss(batch)
    return dict(
        losses={name: value.detach() for name, value in losses.items()},
        grads={name: gradients(v, batch) for name, v in losses.items()},
        mixed=torch.cat(mixed).detach(),
    )


def main(source: str, out: str) -> None:
    dist.init_process_group('gloo')
    rank = dist.get_rank()
    result = []
    for cfg, state, ranks in torch.load(source):
        loss = getattr(open_set_detection, cfg.pop('type'))(**cfg)
        loss.load_state_dict(state)
        steps = [play(loss, tensors) for tensors in ranks[rank]]
        result.append(dict(steps=steps, state=loss.state_dict()))
    torch.save(result, f'{out}.{rank}')
    dist.destroy_process_group()


if __name__ == '__main__':
    main(*sys.argv[1:])
