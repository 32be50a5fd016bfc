"""Fitted scores of a segmentor's classifier, as of its cells and pixels.

Shapes: C = 32 channels, K = 4 classes, cells of 8 x 8 pixels.
"""

import copy
import functools

import pytest
import torch

from helpers import assert_near
from mmood.hooks import fit_scores
from mmood.scores import (
    FDBD,
    KLMatching,
    Mahalanobis,
    NNGuide,
    OpenMax,
    RelativeMahalanobis,
    Residual,
    Samples,
    SimplifiedHopfieldEnergy,
    ViM,
)
from score_helpers import fit
from seg_helpers import build_segmentor, seg_batch

C, K = 32, 4
SHRUNK = dict(shrinkage=0.1, normalize=True)
# As in a config, and made by hand.
OF_CELLS = {
    'mahalanobis': (SHRUNK, lambda: Mahalanobis(C, K, **SHRUNK)),
    'rmds': (SHRUNK, lambda: RelativeMahalanobis(C, K, **SHRUNK)),
    'she': ({}, lambda: SimplifiedHopfieldEnergy(C, K)),
    'residual': (dict(dim=4), lambda: Residual(C, 4)),
    'vim': (dict(dim=9), lambda: ViM(C, 9)),
    'nnguide': (dict(k=5), lambda: NNGuide(C, 5)),
    'fdbd': ({}, lambda: FDBD(C, K)),
}
OF_PIXELS = {
    'openmax': ({}, lambda: OpenMax(K)),
    'kl_matching': ({}, lambda: KLMatching(K)),
}


@pytest.fixture(scope='module')
def data():
    """Four noise images, some rows of which have no label."""
    images, samples = seg_batch(4)
    for number, sample in enumerate(samples):
        sample.gt_sem_seg.data[0, : 6 * number] = 255
    pairs = zip(images, samples)
    return [dict(inputs=[x], data_samples=[sample]) for x, sample in pairs]


@pytest.fixture(scope='module')
def model(data):
    """Its labels are its own classes, in two of three cells."""
    torch.manual_seed(4)
    scores = [
        dict(type=name, **options)
        for name, (options, _) in {**OF_CELLS, **OF_PIXELS}.items()
    ]
    probe = dict(classifier=True)
    model = build_segmentor(scores=scores, losses=[], probe=probe)
    for x, label in normalized(model, data):
        said = samples_of(model, x).logits[0].argmax(0)
        cells = label[::8, ::8]
        said[::3] = (said[::3] + 1) % K
        said[cells == 255] = 255
        label.copy_(torch.kron(said, torch.ones(8, 8).long()))
    fit_scores(model, copy.deepcopy(data))
    return model


def normalized(model, data):
    """Images as the network gets them, and their labels (H, W)."""
    for batch in data:
        done = model.data_preprocessor(copy.deepcopy(batch))
        label = batch['data_samples'][0].gt_sem_seg.data[0]
        yield done['inputs'][0][None], label


@torch.no_grad()
def samples_of(model, x):
    """Maps of the cells: what conv_seg gets and gives."""
    features = model.extract_features(x)
    layer = model.probe.linear(model)
    logits = torch.nn.functional.conv2d(
        features, layer.weight[..., None, None], layer.bias
    )
    return Samples(logits, features, classifier=layer)


def labelled(model, data, parts):
    """Rows of maps (1, ., H, W) that have a label, and their labels."""
    found = []
    for part, (_, label) in zip(parts, normalized(model, data)):
        size = label.shape[0] // part.logits.shape[-1]
        label = label[size // 2 :: size, size // 2 :: size]
        chosen = label != 255
        logits, features = (
            None if maps is None else maps[0].movedim(0, -1)[chosen]
            for maps in (part.logits, part.features)
        )
        found.append((Samples(logits, features), label[chosen]))
    samples, labels = zip(*found)
    rows = functools.reduce(Samples.cat, samples)
    rows.classifier = model.probe.linear(model)
    return rows, torch.cat(labels)


@torch.no_grad()
def predicted(model, data):
    return [model.test_step(batch)[0] for batch in copy.deepcopy(data)]


def assert_alike(found, expected):
    """In units of their spread: noise images differ little."""
    unit = expected.std()
    assert unit > 1e-6
    assert_near(found / unit, expected / unit, rtol=2e-3, atol=0.02)


@pytest.mark.filterwarnings('ignore:.*without any sample')
@pytest.mark.parametrize('name', [*OF_CELLS])
def test_scores_of_features_are_those_of_the_cells(model, data, name):
    cells = [samples_of(model, x) for x, _ in normalized(model, data)]
    score = fit(OF_CELLS[name][1](), *labelled(model, data, cells))
    for own, sample in zip(cells, predicted(model, data)):
        expected = score(own)[0].float()
        blocks = torch.kron(expected, torch.ones(8, 8))
        assert_alike(sample.pred_ood.get(name)[0], blocks)


@pytest.mark.filterwarnings('ignore:.*without any sample')
@pytest.mark.parametrize('name', [*OF_PIXELS])
def test_scores_of_logits_are_those_of_the_pixels(model, data, name):
    samples = predicted(model, data)
    pixels = [Samples(sample.seg_logits.data[None]) for sample in samples]
    score = fit(OF_PIXELS[name][1](), *labelled(model, data, pixels))
    for own, sample in zip(pixels, samples):
        found = sample.pred_ood.get(name)[0]
        assert_alike(found, score(own)[0].float())
