"""Each loss of `gpu_cases`, on fixed inputs, with its gradients."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from torch import Tensor, nn

from gpu_helpers import Place, with_gradient
from mmood import losses, scores

N, M, K, C = 40, 24, 5, 8
LOGITS = (K,)
Case = Callable[[Place], object]


class Head(nn.Module):
    """A small box head: pooled maps (N, 2, 3, 3) -> `Samples`."""

    def __init__(self, classifier: nn.Module | None = None) -> None:
        super().__init__()
        self.fc = nn.Linear(18, C)
        self.classifier = classifier or nn.Linear(C, K)

    def forward(self, maps: Tensor) -> scores.Samples:
        features = self.fc(maps.flatten(1)).tanh()
        numerators = getattr(self.classifier, 'numerators', lambda x: None)
        logits = self.classifier(features)
        return scores.Samples(logits, features, numerators(features))


def leaves(place: Place, *shapes: tuple) -> list[Tensor]:
    return [
        place.randn(*shape, seed=seed).requires_grad_()
        for seed, shape in enumerate(shapes)
    ]


def of_logits(loss: nn.Module, shape: tuple, place: Place) -> list[Tensor]:
    """A loss of known samples and outliers."""
    known, outlier = leaves(place, (N, *shape), (M, *shape))
    return with_gradient(place(loss)(known, outlier), known, outlier)


def consistency(place: Place) -> list[Tensor]:
    pair = leaves(place, (N, K), (N, K))
    return with_gradient(losses.ConsistencyLoss(1.0)(*pair), *pair)


def csi_loss(place: Place) -> list[Tensor]:
    head, loss = place(Head()), place(losses.CSILoss(C, channels=4))
    maps, second = leaves(place, (N, 2, 3, 3), (N, 2, 3, 3))
    features, labels = place.randn(N, C), place.labels(N, K)
    found = loss(features, labels, inputs=maps, second=second, view=head)
    return with_gradient(found, maps, second)


def siren(place: Place) -> list[Tensor]:
    loss = place(losses.SIRENLoss(C, K))
    (features,) = leaves(place, (N, C))
    found = with_gradient(loss(features, place.labels(N, K)), features)
    score = loss.scores()['vmf']
    return [*found, score(loss.embed(place.randn(M, C, seed=1)))]


LOSSES: dict[str, Case] = dict(
    LogisticUncertaintyLoss=lambda place: of_logits(
        losses.LogisticUncertaintyLoss(K), LOGITS, place
    ),
    BlurredClassifierLoss=lambda place: of_logits(
        losses.BlurredClassifierLoss(C), (C,), place
    ),
    ConfidenceLoss=partial(of_logits, losses.ConfidenceLoss(), LOGITS),
    EnergyOODLoss=lambda place: of_logits(
        losses.EnergyOODLoss(), LOGITS, place
    ),
    UncertaintyLoss=partial(of_logits, losses.UncertaintyLoss(), LOGITS),
    ConsistencyLoss=consistency,
    CSILoss=csi_loss,
    SIRENLoss=siren,
)
