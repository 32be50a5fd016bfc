"""`train_cpu_ranks.py` for DOoD, with noise that follows from the features."""

import sys
from pathlib import Path

from train_cpu_ranks import main

from mmood.losses import DenoisingLoss

sys.path.append(str(Path(__file__).parents[1]))
from helpers import content_noise

if __name__ == '__main__':
    DenoisingLoss._perturbation = content_noise
    main(*sys.argv[1:])
