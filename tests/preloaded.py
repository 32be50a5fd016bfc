"""What the server of `processes` does before it forks."""

import mmood.det.datasets
import mmood.det.evaluation
import mmood.det.models
import mmood.det.visualizer
import mmood.generation
import mmood.hooks
import mmood.seg.datasets
import mmood.seg.evaluation
import mmood.seg.models
import mmood.seg.visualizer  # noqa: F401
from quick import collect_less, read_and_format_less

read_and_format_less()
collect_less()
