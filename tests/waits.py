"""What would have a training step wait for a GPU, seen on a CPU."""

import torch
from torch.utils._python_dispatch import TorchDispatchMode


class Waits(TorchDispatchMode):
    """Refuses operations that wait for the device; ``tolist`` is not seen."""

    names = (
        '_local_scalar_dense', 'bincount', 'equal', 'is_nonzero',
        'masked_select', 'nonzero',
    )  # fmt: skip

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        indices = args[1] if name in ('index', 'index_put_') else []
        masks = [
            index
            for index in indices
            if index is not None and index.dtype == torch.bool
        ]
        assert name not in self.names and not masks, f'{name} waits'
        return func(*args, **(kwargs or {}))
