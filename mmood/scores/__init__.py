"""OOD scores; higher is more out-of-distribution."""

from .csi import CSIScore
from .diffusion import diffusion_score, directional_error
from .fitted import FittedScore, Samples, View
from .generalized_odin import (
    DecomposedLinear,
    GeneralizedODIN,
    select_epsilon,
)
from .gram import GramMatrices, gram_deviation, gram_rows
from .knn import KNN, knn_distance
from .logits import (
    class_logits,
    energy,
    entropy,
    get_score,
    max_logit,
    msp,
    score_names,
)
from .mahalanobis import Mahalanobis, mahalanobis
from .odin import ODIN, odin, perturb
from .thresholds import Thresholded, Thresholds, check_score_name
from .vmf import log_vmf_density, log_vmf_normalizer, vmf_score

__all__ = [
    'CSIScore',
    'DecomposedLinear',
    'FittedScore',
    'GeneralizedODIN',
    'GramMatrices',
    'KNN',
    'Mahalanobis',
    'ODIN',
    'Samples',
    'Thresholded',
    'Thresholds',
    'View',
    'check_score_name',
    'class_logits',
    'diffusion_score',
    'directional_error',
    'energy',
    'entropy',
    'get_score',
    'gram_deviation',
    'gram_rows',
    'knn_distance',
    'log_vmf_density',
    'log_vmf_normalizer',
    'mahalanobis',
    'max_logit',
    'msp',
    'odin',
    'perturb',
    'score_names',
    'select_epsilon',
    'vmf_score',
]
