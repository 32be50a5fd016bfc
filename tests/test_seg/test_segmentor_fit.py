"""Scores of pixels that are fitted on ID images, against a hand computation.

Shapes: B = 2 or 4 images, C = 32 channels, K = 4 classes, cells of 8 x 8
pixels.
"""

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmengine.structures import PixelData
from sklearn.neighbors import NearestNeighbors

from helpers import assert_near
from mmood.hooks import fit_scores
from mmood.registry import SCORES
from mmood.scores import FittedScore, energy, gram_rows, register_score
from seg_helpers import build_segmentor, seg_batch

SLIDE = dict(mode='slide', crop_size=(24, 24), stride=(16, 16))


def build(*scores, **options):
    return build_segmentor(scores=list(scores), losses=[], **options)


def batches(count=4, size=1, shape=(32, 32)):
    """Noise images, some rows of which have no label."""
    images, samples = seg_batch(count, shape)
    for number, sample in enumerate(samples):
        sample.gt_sem_seg.data[0, : 6 * number] = 255
    return [
        dict(
            inputs=list(images[i : i + size]),
            data_samples=samples[i : i + size],
        )
        for i in range(0, count, size)
    ]


def normalized(model, data):
    """Images as the network gets them, and their labels (H, W)."""
    for batch in copy.deepcopy(data):
        done = model.data_preprocessor(batch)
        for image, sample in zip(done['inputs'], done['data_samples']):
            yield image, sample.gt_sem_seg.data[0]


def cells(model, data):
    """Features (n, C), logits (n, K) and classes of the labelled cells."""
    found = []
    for image, label in normalized(model, data):
        features = model.extract_features(image[None])
        with torch.no_grad():
            logits = model._forward(image[None])
        here = label[4::8, 4::8]
        chosen = here != 255
        rows = [x[0].permute(1, 2, 0)[chosen] for x in (features, logits)]
        found.append((*rows, here[chosen]))
    return [torch.cat(part) for part in zip(*found)]


def predicted(model, data):
    with torch.no_grad():
        return [
            sample.pred_ood
            for batch in copy.deepcopy(data)
            for sample in model.test_step(batch)
        ]


def test_mahalanobis_of_the_cells():
    model = build(dict(type='mahalanobis', shrinkage=0.1))
    data = batches()
    x, _, labels = (part.numpy() for part in cells(model, data))
    message = fit_scores(model, copy.deepcopy(data))
    assert message == f'mahalanobis fitted on {len(x)} samples a rank'
    means = np.stack([x[labels == c].mean(0) for c in range(4)])
    offsets = (x - means[labels]).astype(float)
    covariance = offsets.T @ offsets / len(x)
    spread = np.trace(covariance) / 32 * np.eye(32)
    precision = np.linalg.inv(0.9 * covariance + 0.1 * spread)
    for (image, _), maps in zip(
        normalized(model, data), predicted(model, data)
    ):
        own = model.extract_features(image[None])[0].flatten(1).T.numpy()
        offsets = own - means[:, None]
        distances = np.einsum('knc,cd,knd->kn', offsets, precision, offsets)
        expected = torch.from_numpy(np.min(distances, 0)).view(4, 4)
        blocks = torch.kron(expected, torch.ones(8, 8))
        assert_near(maps.mahalanobis[0], blocks.float(), rtol=1e-3)
        assert torch.equal(maps.data, maps.mahalanobis)
        assert maps.mahalanobis.dtype == torch.float32


def test_knn_of_the_cells():
    model, data = build(dict(type='knn', k=3)), batches()
    x, _, _ = cells(model, data)
    fit_scores(model, copy.deepcopy(data))
    near = NearestNeighbors(n_neighbors=3).fit(F.normalize(x).numpy())
    for (image, _), maps in zip(
        normalized(model, data), predicted(model, data)
    ):
        own = model.extract_features(image[None])[0].flatten(1).T
        distances, _ = near.kneighbors(F.normalize(own).numpy())
        expected = torch.from_numpy(distances[:, 2]).float().view(4, 4)
        assert_near(maps.knn[0], torch.kron(expected, torch.ones(8, 8)))


def test_gram_takes_the_logits_of_the_cells():
    """Ranges of each class, of features and logits at one resolution."""
    model, data = build('gram'), batches()
    x, _, labels = cells(model, data)
    fit_scores(model, copy.deepcopy(data))
    score = model.scores.fitted['gram']
    values = gram_rows(x, score.powers)
    for c in range(4):
        assert_near(score.minimum[c], values[labels == c].amin(0))
        assert_near(score.maximum[c], values[labels == c].amax(0))
    maps = predicted(model, data)[0]
    assert maps.gram.shape == (1, 32, 32) and (maps.gram > 0).any()


@pytest.mark.parametrize('size', [1, 2, 4])
def test_a_reservoir_depends_on_the_images_alone(size):
    """Not on their order, batches, or the folder that they lie in."""
    banks = []
    for order in (slice(None), slice(None, None, -1)):
        torch.manual_seed(3)
        model = build(dict(type='knn', k=1, bank_size=9))
        data = batches(size=size)[order]
        for batch in data:
            for sample in batch['data_samples']:
                path = sample.img_path.replace('folder', f'at{order.step}')
                sample.set_metainfo(dict(img_path=path))
        fit_scores(model, data)
        banks.append(model.scores.fitted['knn'].bank)
    assert len(banks[0]) == 9
    assert_near(*banks)


def test_all_windows_are_fitted_on():
    """Each with the features that the network has of it."""
    model, data = build('knn', test_cfg=SLIDE), batches(1, shape=(40, 24))
    (image, label) = next(normalized(model, data))
    expected = []
    for top in (0, 16):
        crop = image[None, :, top : top + 24]
        features = model.extract_features(crop)[0].permute(1, 2, 0)
        here = label[top : top + 24][4::8, 4::8]
        expected.append(F.normalize(features[here != 255]))
    fit_scores(model, data)
    bank, expected = model.scores.fitted['knn'].bank, torch.cat(expected)
    assert len(bank) == len(expected) == 18
    assert (torch.cdist(bank, expected).amin(1) < 1e-4).all()
    maps = predicted(model, data)[0]
    assert maps.knn.shape == (1, 40, 24) and maps.knn.amin() < 0.5


def test_compounds_of_pixels_and_of_fitted_scores():
    """The second pass knows the first one's Mahalanobis distances."""
    of = ['mahalanobis', 'energy', 'entropy']
    scores = [dict(type='compound', of=of), *of[:2]]
    model = build(*scores, 'entropy')
    data = batches()
    message = fit_scores(model, copy.deepcopy(data))
    count = sum(int((s[1] != 255).sum()) for s in normalized(model, data))
    assert message.endswith(f'compound fitted on {count} samples a rank')
    values = {name: [] for name in of}
    maps = predicted(model, data)
    for part, (_, label) in zip(maps, normalized(model, data)):
        for name in of:
            values[name].append(part.get(name)[0][label != 255].double())
    joined = {name: torch.cat(parts) for name, parts in values.items()}
    compound = model.scores.fitted['compound']
    for i, x in enumerate(joined.values()):
        assert_near(compound.mean[i], x.mean())
        assert_near(compound.std[i], x.std())
    x = maps[2]
    expected = [(x.get(n) - v.mean()) / v.std() for n, v in joined.items()]
    assert_near(x.compound, (sum(expected) / 3).float())
    assert torch.equal(x.data, x.compound)


def test_maps_of_the_original_size_and_a_smaller_label():
    """The scores have twice the size of the label."""
    model = build(dict(type='compound', of=['energy', 'entropy']), 'energy',
                  'entropy')  # fmt: skip
    data = batches(2)
    for batch in data:
        batch['data_samples'][0].set_metainfo(dict(ori_shape=(64, 64)))
    fit_scores(model, copy.deepcopy(data))
    ones = torch.ones(2, 2).long()
    values = torch.cat(
        [
            maps.energy[0][torch.kron(label, ones) != 255]
            for maps, (_, label) in zip(
                predicted(model, data), normalized(model, data)
            )
        ]
    )
    assert_near(
        model.scores.fitted['compound'].mean[0], values.double().mean()
    )


def test_labels_of_the_original_of_a_resized_image():
    """The network sees half the size, padded on the right."""
    model = build(dict(type='knn', k=1))
    images, samples = seg_batch(1, (32, 40))
    meta = dict(ori_shape=(64, 64), padding_size=(0, 8, 0, 0))
    samples[0].set_metainfo(meta)
    label = torch.full((64, 64), 255)
    label[16:32, 32:48] = 2  # one cell
    samples[0].gt_sem_seg = PixelData(data=label[None])
    data = [dict(inputs=list(images), data_samples=samples)]
    ((image, _),) = normalized(model, data)
    features = model.extract_features(image[None])
    fit_scores(model, data)
    bank = model.scores.fitted['knn'].bank
    assert_near(bank, F.normalize(features[:, :, 1, 2]))


def test_an_image_without_a_label():
    model, data = build('knn'), batches(1)
    del data[0]['data_samples'][0].gt_sem_seg
    message = '0.png has no label .* LoadAnnotations .* fit_dataloader'
    with pytest.raises(ValueError, match=message):
        fit_scores(model, data)
    assert not model.keeps_samples


def test_nothing_but_ignored_pixels():
    model, data = build('mahalanobis'), batches(1)
    data[0]['data_samples'][0].gt_sem_seg.data.fill_(255)
    with pytest.raises(ValueError, match='no sample to fit Mahalanobis on'):
        fit_scores(model, data)
    with pytest.raises(RuntimeError, match='not fitted'):
        predicted(model, data)


def test_without_a_fit_the_energy_takes_its_place():
    model, data = build('knn'), batches(1)
    model.scores.skips_unfitted = True
    with torch.no_grad():
        sample = model.test_step(data[0])[0]
    assert sample.pred_ood.score_names == ('energy',)
    expected = energy(sample.seg_logits.data, dim=0)
    assert_near(sample.pred_ood.data[0], expected)
    assert not sample.pred_ood.is_ood.any()


@pytest.fixture
def prior():
    """A user's own score: how rare the predicted class was in training."""

    @register_score('prior')
    class Prior(FittedScore):
        def __init__(self, num_classes: int) -> None:
            super().__init__()
            self.register_buffer('count', torch.zeros(num_classes))

        def vectors(self, samples):
            return samples.logits

        def _start(self):
            self.count.zero_()

        def _add(self, samples, labels, keys):
            self.count += labels.bincount(minlength=len(self.count))

        def _finish(self):
            pass

        def _score(self, samples):
            return -self.count[samples.logits.argmax(1)]

    yield
    del SCORES.module_dict['prior']


def test_a_score_of_ones_own_of_pixels(prior):
    model, data = build('prior', 'gram'), batches()
    labels = torch.cat(
        [label.flatten() for _, label in normalized(model, data)]
    )
    expected = labels[labels != 255].bincount(minlength=4)
    fit_scores(model, copy.deepcopy(data))
    score = model.scores.fitted['prior']
    assert score.count.tolist() == expected.tolist()
    with torch.no_grad():
        sample = model.test_step(data[0])[0]
    found = -expected[sample.pred_sem_seg.data[0]].float()
    assert torch.equal(sample.pred_ood.data[0], found)
