"""Run synthesis steps as gloo ranks; the arguments are two files.

Reads a list of ranks' lists of (features, labels); writes, of each
rank, the state and the outliers' counts, or the error.
"""

import sys

import torch
import torch.distributed as dist

from batches import known_batch
from mmood.outliers import VirtualOutlierSynthesis


def main(source: str, out: str) -> None:
    options, ranks = torch.load(source)
    dist.init_process_group('gloo')
    rank = dist.get_rank()
    module = VirtualOutlierSynthesis(**options)
    counts, error = [], ''
    try:
        for step in ranks[rank]:
            outliers, _ = module(known_batch(*step))
            counts.append(0 if outliers is None else len(outliers))
    except ValueError as exception:
        error = str(exception)
    result = dict(state=module.state_dict(), counts=counts, error=error)
    torch.save(result, f'{out}.{rank}')
    dist.destroy_process_group()


if __name__ == '__main__':
    main(*sys.argv[1:])
