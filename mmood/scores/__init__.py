"""OOD scores; higher is more out-of-distribution."""

from .build import score_names
from .classifier import LinearClassifier
from .compound import CompoundScore
from .dice import DICE, largest_contributions
from .diffusion import diffusion_score, directional_error
from .fdbd import FDBD, fdbd
from .fitted import FittedScore, NotFittedError
from .generalized_odin import (
    DecomposedLinear,
    generalized_odin,
    select_epsilon,
)
from .gradnorm import gradnorm, gradnorm_score
from .gram import GramMatrices, gram_deviation, gram_rows
from .kl_matching import KLMatching, kl_matching
from .knn import KNN, knn_distance
from .logits import (
    class_logits,
    energy,
    entropy,
    gen,
    joint_energy,
    max_logit,
    mixture,
    mixture_energy,
    msp,
)
from .mahalanobis import Mahalanobis, mahalanobis
from .maskomaly import Maskomaly
from .masks import Mask2Anomaly, ensemble_of_masks, mask_anomaly, rba
from .nnguide import NNGuide, mean_of_largest_products
from .odin import odin, odin_score, perturb
from .openmax import OpenMax, openmax
from .queries import MaskQueries
from .react import ReAct
from .relative_mahalanobis import RelativeMahalanobis
from .reshaping import ASH, Scale, ash, scale
from .residual import Residual, ViM, residual
from .samples import Samples, View, register_score
from .score_set import ScoreSet
from .she import SimplifiedHopfieldEnergy
from .temperature import Temperature, fit_temperature
from .thresholds import FirstThreshold, Thresholds
from .vmf import log_vmf_density, log_vmf_normalizer, vmf_score

__all__ = [
    'ASH',
    'CompoundScore',
    'DICE',
    'DecomposedLinear',
    'FDBD',
    'FirstThreshold',
    'FittedScore',
    'GramMatrices',
    'KLMatching',
    'KNN',
    'LinearClassifier',
    'Mahalanobis',
    'Mask2Anomaly',
    'MaskQueries',
    'Maskomaly',
    'NNGuide',
    'NotFittedError',
    'OpenMax',
    'ReAct',
    'RelativeMahalanobis',
    'Residual',
    'Samples',
    'Scale',
    'ScoreSet',
    'SimplifiedHopfieldEnergy',
    'Temperature',
    'Thresholds',
    'ViM',
    'View',
    'ash',
    'class_logits',
    'diffusion_score',
    'directional_error',
    'energy',
    'ensemble_of_masks',
    'entropy',
    'fdbd',
    'fit_temperature',
    'gen',
    'generalized_odin',
    'gradnorm',
    'gradnorm_score',
    'gram_deviation',
    'gram_rows',
    'joint_energy',
    'kl_matching',
    'knn_distance',
    'largest_contributions',
    'log_vmf_density',
    'log_vmf_normalizer',
    'mahalanobis',
    'mask_anomaly',
    'max_logit',
    'mean_of_largest_products',
    'mixture',
    'mixture_energy',
    'msp',
    'odin',
    'odin_score',
    'openmax',
    'perturb',
    'rba',
    'register_score',
    'residual',
    'scale',
    'score_names',
    'select_epsilon',
    'vmf_score',
]
