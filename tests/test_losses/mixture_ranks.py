"""Train Gaussian mixtures as gloo ranks; the arguments are two files.

Reads the arguments of `GaussianMixtures`, its state and the ranks' lists of
(x, labels); writes, of each rank, the state, the losses and gradients.
"""

import sys

import torch
import torch.distributed as dist

from mixture_steps import train


def main(source: str, out: str) -> None:
    options, state, ranks = torch.load(source)
    dist.init_process_group('gloo')
    rank = dist.get_rank()
    torch.save(train(options, state, ranks[rank]), f'{out}.{rank}')
    dist.destroy_process_group()


if __name__ == '__main__':
    main(*sys.argv[1:])
