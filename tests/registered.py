"""All registered losses, sources of outliers and scores, ready to be called.

Each is built with the sizes that it asks for and sees all that there is.
Shapes: N samples, C = 6 channels, K = 4 classes.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace

import torch
from torch import Tensor, nn

import mmood.losses
from batches import full_batch
from mmood.losses import (
    BACKGROUND,
    IGNORE,
    OUTLIER,
    Batch,
    OODLoss,
    build_part,
)
from mmood.outliers import OutlierSource
from mmood.registry import MODELS, SCORES
from mmood.scores import (
    LinearClassifier,
    MaskQueries,
    Samples,
    ScoreSet,
    score_names,
)

C, K = 6, 4
# Arguments, where the defaults ask for more than there is here.
OPTIONS = dict(
    CSILoss=dict(channels=4),
    DenoisingLoss=dict(channels=C),
    RPLLoss=dict(
        source_channels=C,
        target_channels=C,
        source='part',
        target='part',
        channels=4,
        dilations=(1,),
    ),
    SIRENLoss=dict(channels=8),
    VirtualOutlierSynthesis=dict(queue_size=3, num_candidates=20, patience=0),
)
# A model whose part gets maps (N, C, *), the first K channels the logits.
MODEL = nn.Sequential(OrderedDict(part=nn.Identity()))
SCORE_OPTIONS = dict(
    compound=dict(of=['energy', 'max_logit']),
    diffusion=dict(timesteps=3),
    knn=dict(k=3),
    maskomaly=dict(mask_threshold=0.4, min_iou=0.0),
    nnguide=dict(k=3),
    siren_knn=dict(k=3),
)


def registered(base: type, room: str) -> list[str]:
    """Names of the classes of a room of ours."""
    MODELS.import_from_location()
    return sorted(
        name
        for name, kind in MODELS.module_dict.items()
        if isinstance(kind, type)  # no function that chooses one
        and issubclass(kind, base)
        and kind.__module__.startswith(room)
    )


LOSSES = registered(OODLoss, 'mmood.losses')
SOURCES = registered(OutlierSource, 'mmood.outliers')
NAMES = [
    name
    for name in score_names()
    if SCORES.get(name).__module__.startswith('mmood.')
]


def build(name: str) -> nn.Module:
    """A loss, or a source of outliers."""
    width = 'in_channels' if name in LOSSES else 'channels'
    config = dict(type=f'mmood.{name}', **OPTIONS.get(name, {}))
    built = build_part(config, num_classes=K, **{width: C})
    if hasattr(built, 'attach'):
        built.attach(MODEL)
    if isinstance(built, mmood.losses.RPLLoss):
        nn.init.normal_(built.block.out.weight)  # else it changes nothing
    return built


def rows(count: int, seed: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, C, generator=generator)


def labels(count: int) -> Tensor:
    """The classes in turn, and rows that are on none."""
    values = torch.tensor([*range(K), *range(K), BACKGROUND, IGNORE])
    return values.repeat(count)[:count]


def batch(x: Tensor, start: int = 0, loss: object = None) -> Batch:
    """Rows x, which ``start`` others come before, and as many outliers.

    For a loss on pixels each row is an image of one, every third an outlier.
    """
    own = labels(start + len(x))[start:].to(x.device)
    if getattr(loss, 'of_pixels', False):
        own[torch.arange(start, start + len(x)) % 3 == 1] = OUTLIER
        own[own == BACKGROUND] = IGNORE
        maps = x[..., None, None]
        return Batch(
            maps[:, :K],
            own[:, None, None],
            num_classes=K,
            kind='mask',
            inputs=maps,
            view=lambda maps: Samples(logits=MODEL(maps)[:, :K]),
        )
    return full_batch(x, 0.5 * x.flip(1), own, K)


def seen(x: Tensor) -> Samples:
    """All that an adapter can show of rows (N, C)."""

    def view(maps: Tensor) -> Samples:
        features = MODEL(maps)[..., 0, 0]
        return Samples(
            features[:, :K],
            features,
            numerators=features[:, :K].float().sigmoid(),
            classifier=LinearClassifier(torch.eye(K, C), torch.zeros(K)),
        )

    inputs = x[..., None, None].expand(-1, -1, 2, 2)
    samples = view(inputs)
    samples.inputs, samples.view = inputs, view
    return samples


def seen_of_masks(x: Tensor) -> Samples:
    """Each row as an image of a pixel, which two queries look at."""
    samples = seen(x)
    samples.kind, samples.logits = 'mask', x[:, :K, None, None].relu()
    classes = torch.stack([x[:, : K + 1], x[:, 1 : K + 2]], 1)
    masks = x[:, :2, None, None]
    samples.queries = MaskQueries(classes, masks, (1, 1))
    view = samples.view
    samples.view = lambda maps: replace(
        view(maps), logits=maps[:, :K, :1, :1].relu()
    )
    return samples


def trained() -> list[nn.Module]:
    """Losses that have learned something, for the scores that need them."""
    losses = [build(name) for name in LOSSES]
    for loss in losses:
        loss(batch(rows(20), loss=loss))
        if isinstance(loss, mmood.losses.CSILoss):
            loss.shift_classifier.bias.data += 5
        if isinstance(loss, mmood.losses.EnergyWeibulls):
            energies = torch.linspace(-10, 0, 22)[:, None]
            loss.queues.append(energies, (energies[:, 0] > -5).long())
        loss.eval()
    return [*losses, mixtures()]


def mixtures() -> nn.Module:
    """Those of a decode head, all of whose components have seen something."""
    made = mmood.losses.GaussianMixtures(K, C, queue_size=3)
    made.queues.seen.fill_(1)
    return made


class Score(nn.Module):
    """A score, `seen` rows (N, C) -> (N,), and what it is made of."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name, options = name, SCORE_OPTIONS.get(name, {})
        of_masks = SCORES.get(name).kinds == ('mask',)
        self.kind = 'mask' if of_masks else 'softmax'
        self.seen = seen_of_masks if of_masks else seen
        with torch.random.fork_rng():  # one loss more changes no score
            self.losses = nn.ModuleList(trained())
        self.scores = ScoreSet(
            [dict(type=name, **options), *options.get('of', [])],
            num_classes=K,
            channels=C,
            kind=self.kind,
            losses=self.losses,
            missing=dict(classifier=''),
        )

    def fit(self, x: Tensor) -> Score:
        places = torch.arange(len(x), device=x.device)
        # Every second one is what the logits say.
        said = x[:, :K].argmax(1)
        own = torch.where(places % 2 == 0, said, places // 2 % K)
        for names in self.scores.stages():
            self.scores.start(names)
            if self.scores.fitted_on == 'outliers':  # every second one
                own = own.masked_fill(places % 2 == 0, 254)[:, None, None]
            samples = self.scores.with_values(self.seen(x))
            self.scores.update(samples, own, places)
            self.scores.finish()
        return self

    def forward(self, x: Tensor) -> Tensor:
        return self.scores(self.seen(x))[self.name].reshape(len(x))
