"""Timing two functions in turns, which cancels drifts of the machine."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable

import numpy as np
import torch
from tqdm import trange


def compare(
    name: str,
    ours: Callable,
    other: Callable,
    runs: int,
    device: str,
    warmup: int = 2,
) -> list:
    """Medians of both, in ms, and of the ratio ours / other.

    The two run in turns, A B A B ...; the ratio is the median over
    neighbours, so that a machine whose speed drifts does not matter.
    """
    times = np.zeros((runs, 2))
    for i in trange(-warmup, runs, desc=name):
        for j, function in enumerate((ours, other)):
            seconds = timed(function, device)
            if i >= 0:
                times[i, j] = seconds
    low, ratio, high = np.quantile(
        times[:, 0] / times[:, 1], (0.25, 0.5, 0.75)
    )
    ours_ms, other_ms = 1000 * np.median(times, 0)
    print(
        f'{name}: {ours_ms:.1f} ms / {other_ms:.1f} ms, {ratio:.3f} (half of '
        f'the pairs: {low:.3f} to {high:.3f})'
    )
    return [name, ours_ms, other_ms, ratio]


def peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(
    name: str, ours: Callable, direct: Callable, runs: int, device: str
) -> list:
    """`compare`; of the first run also print what the two gave and took."""
    outputs, peaks = [], [peak_mib()]

    def watched(function: Callable) -> Callable:
        def run() -> None:
            output = function()
            if len(outputs) < 2:
                outputs.append(np.asarray(output.tolist()))
                peaks.append(peak_mib())

        return run

    row = compare(name, watched(ours), watched(direct), runs, device, 0)
    gap = abs(outputs[0] - outputs[1]).max()
    print(
        f'{name}: largest difference {gap:.2g}, peak memory + '
        f'{peaks[1] - peaks[0]:.0f} MiB ours, + {peaks[2] - peaks[0]:.0f} MiB '
        'direct'
    )
    return row


def timed(function: Callable, device: str) -> float:
    synchronize = torch.cuda.synchronize if device == 'cuda' else bool
    synchronize()
    start = time.perf_counter()
    function()
    synchronize()
    return time.perf_counter() - start
