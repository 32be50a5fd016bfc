"""Train a few iterations with as many CPU ranks as torchrun started.

Arguments: config, output file. Writes each rank's losses and the weights.
Random choices that depend on the rank (which RoIs are sampled, flips) are
replaced by fixed ones, so that ranks x batch is all that differs.
"""

import sys
from pathlib import Path

import torch
import torch.distributed as dist
from mmdet.models.task_modules import RandomSampler
from mmdet.registry import TASK_UTILS
from mmengine.config import Config
from mmengine.hooks import Hook

from mmood.launch import build_runner


@TASK_UTILS.register_module()
class FirstSampler(RandomSampler):
    """Take the first candidates instead of random ones."""

    def random_choice(self, gallery, num):
        return gallery[:num]


class Record(Hook):
    def __init__(self):
        self.losses = []

    def after_train_iter(self, runner, batch_idx, data_batch, outputs):
        names = sorted(k for k in outputs if k.startswith('loss'))
        self.losses.append({k: float(outputs[k]) for k in names})


def main(config: str, out: str) -> None:
    # For `projects.*`; last, so that mmood is the one installed.
    sys.path.append(str(Path(__file__).parents[2]))
    runner = build_runner(Config.fromfile(config))
    record = Record()
    runner.register_hook(record)
    runner.train()
    model = getattr(runner.model, 'module', runner.model)
    rank = dist.get_rank() if dist.is_initialized() else 0
    torch.save(
        dict(losses=record.losses, state=model.state_dict()), f'{out}.{rank}'
    )


if __name__ == '__main__':
    main(*sys.argv[1:])
