"""OOD scores; higher is more out-of-distribution."""

from .build import score_names
from .classifier import LinearClassifier
from .compound import CompoundScore
from .diffusion import diffusion_score, directional_error
from .fitted import FittedScore, NotFittedError
from .generalized_odin import (
    DecomposedLinear,
    generalized_odin,
    select_epsilon,
)
from .gram import GramMatrices, gram_deviation, gram_rows
from .knn import KNN, knn_distance
from .logits import (
    class_logits,
    energy,
    entropy,
    joint_energy,
    max_logit,
    msp,
)
from .mahalanobis import Mahalanobis, mahalanobis
from .odin import odin, odin_score, perturb
from .samples import Samples, View, register_score
from .score_set import ScoreSet
from .thresholds import FirstThreshold, Thresholds
from .vmf import log_vmf_density, log_vmf_normalizer, vmf_score

__all__ = [
    'CompoundScore',
    'DecomposedLinear',
    'FirstThreshold',
    'FittedScore',
    'GramMatrices',
    'KNN',
    'LinearClassifier',
    'Mahalanobis',
    'NotFittedError',
    'Samples',
    'ScoreSet',
    'Thresholds',
    'View',
    'class_logits',
    'diffusion_score',
    'directional_error',
    'energy',
    'entropy',
    'generalized_odin',
    'gram_deviation',
    'gram_rows',
    'joint_energy',
    'knn_distance',
    'log_vmf_density',
    'log_vmf_normalizer',
    'mahalanobis',
    'max_logit',
    'msp',
    'odin',
    'odin_score',
    'perturb',
    'register_score',
    'score_names',
    'select_epsilon',
    'vmf_score',
]
