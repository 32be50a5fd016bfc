"""Has the parts of the incremental runner, and of the builder, be found."""

import sys

import stage_helpers  # noqa: F401
from helpers import ROOT

sys.path.append(str(ROOT / 'tools/dataset_converters'))
sys.path.append(str(ROOT / 'projects/open_world_detection'))
