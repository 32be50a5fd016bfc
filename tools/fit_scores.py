"""Fit a trained model's scores and threshold, write a new checkpoint.

For checkpoints without them, such as converted ones, or after a change of
the scores. Scores are fitted on ID training images (fit_dataloader of the
config, or the loader of its mmood.FitScoresHook), the threshold on the
validation set.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from mmengine.dist import is_main_process
from mmengine.hooks import CheckpointHook, EarlyStoppingHook, EMAHook
from mmengine.runner.checkpoint import get_state_dict

from mmood.checkpoint import load_weights
from mmood.hooks import CalibrateOODHook, FitScoresHook
from mmood.hooks.after_training import put_exact_state, unwrapped
from mmood.hooks.calibrate import check_validation
from mmood.launch import (
    add_common_arguments,
    build_runner,
    clear_errors,
    load_config,
    use_checkpoint,
)
from mmood.ops import NotWrittenError, atomic_write

# What else a validation of a training would do.
_TRAINING = (CheckpointHook, EMAHook, EarlyStoppingHook)


@clear_errors(NotWrittenError, ValueError)
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    add_common_arguments(parser)
    parser.add_argument('checkpoint', type=Path)
    parser.add_argument(
        '--out', type=Path, help='file; default: CHECKPOINT with _fitted'
    )
    args = parser.parse_args()
    out = args.out or args.checkpoint.with_name(
        f'{args.checkpoint.stem}_fitted.pth'
    )
    cfg = load_config(args)
    use_checkpoint(cfg, None)  # validating would load it again
    runner = build_runner(cfg)
    runner._hooks = [h for h in runner.hooks if not isinstance(h, _TRAINING)]
    check_validation(runner)
    hooks = {type(hook): hook for hook in runner.hooks}
    checkpoint = load_weights(unwrapped(runner), args.checkpoint)
    hooks.get(FitScoresHook, FitScoresHook()).fit(runner)
    metrics = runner.val()
    hooks.get(CalibrateOODHook, CalibrateOODHook()).after_val_epoch(
        runner, metrics
    )
    checkpoint['state_dict'] = get_state_dict(runner.model)
    put_exact_state(unwrapped(runner), checkpoint)  # in its average too
    if is_main_process():
        with atomic_write(out, 'wb') as file:
            torch.save(checkpoint, file)
        print(f'fitted checkpoint: {out}')


if __name__ == '__main__':
    main()
