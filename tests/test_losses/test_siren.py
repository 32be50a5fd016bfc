"""SIREN's loss, prototypes and score against numpy and scipy."""

import copy
import math
from datetime import timedelta

import numpy as np
import pytest
import scipy.special
import scipy.stats
import torch
import torch.distributed as dist
import torch.multiprocessing
import torch.nn.functional as F
from sklearn.metrics import roc_auc_score
from torch import nn

from batches import known_batch
from helpers import assert_near
from mmood.losses import SIRENLoss
from mmood.registry import MODELS
from mmood.scores import Samples, ScoreSet


def build(in_channels=12, num_classes=4, channels=8, **kwargs):
    return SIRENLoss(in_channels, num_classes, channels=channels, **kwargs)


def objects(n, classes=4, in_channels=12):
    features = torch.randn(n, in_channels, requires_grad=True)
    return features, torch.randint(classes, (n,))


def call(loss, features, labels):
    """The loss of known rows, beside one on no object."""
    rows = torch.cat([features, features.new_ones(1, features.shape[1])])
    labels = torch.cat([labels, torch.tensor([-1])])
    (name, value), *rest = loss(known_batch(rows, labels)).items()
    assert name == 'loss_vmf' and not rest
    return value


def score_of(loss, features):
    scores = ScoreSet(['vmf'], num_classes=len(loss.kappa), losses=[loss])
    return scores(Samples(features=features))['vmf']


def embedded(loss, features):
    """The embedding by its definition, in numpy float64."""
    w1, b1, w2, b2 = (
        p.detach().double().numpy() for p in loss.projection.parameters()
    )
    hidden = np.maximum(features.detach().double().numpy() @ w1.T + b1, 0)
    z = hidden @ w2.T + b2
    return z / np.linalg.norm(z, axis=1, keepdims=True)


def by_scipy(loss, z, labels):
    """Sum of the losses of unit embeddings, without the weight."""
    kappa = np.maximum(loss.kappa.detach().double().numpy(), 0)
    dim = z.shape[1]
    order = dim / 2 - 1
    log_bessel = np.log(scipy.special.ive(order, kappa)) + kappa
    offset = order * np.log(kappa) - log_bessel
    offset -= dim / 2 * math.log(2 * math.pi)
    logits = offset + kappa * (z @ loss.prototypes.double().numpy().T)
    chosen = logits[np.arange(len(z)), labels.numpy()]
    return (scipy.special.logsumexp(logits, axis=1) - chosen).sum()


def followed(prototypes, z, labels, momentum=0.95):
    """What n objects at once make of the prototypes, class by class."""
    result = prototypes.double().numpy().copy()
    for c in np.unique(labels.numpy()):
        mine = z[labels.numpy() == c]
        keep = momentum ** len(mine)
        moved = keep * result[c] + (1 - keep) * mine.mean(0)
        result[c] = moved / np.linalg.norm(moved)
    return result


def unlike(loss):
    """Other values than the initial ones, all classes seen."""
    with torch.no_grad():
        loss.kappa.copy_(torch.rand(len(loss.kappa)) * 40 + 1)
        loss.prototypes.copy_(F.normalize(torch.randn_like(loss.prototypes)))
    return loss


@pytest.mark.parametrize('classes', [1, 4])
@pytest.mark.parametrize('channels', [2, 8, 64])
def test_matches_the_definition(channels, classes):
    loss = unlike(build(channels=channels, num_classes=classes))
    features, labels = objects(9, classes)
    z = embedded(loss, features)
    prototypes = followed(loss.prototypes, z, labels)
    found = call(loss, features, labels)
    np.testing.assert_allclose(loss.prototypes, prototypes, atol=1e-6)
    expected = 0.1 * by_scipy(loss, z, labels) / 9
    assert found.item() == pytest.approx(expected, rel=1e-4)
    if classes == 1:
        assert found == 0


def test_evaluation_leaves_the_prototypes():
    loss = unlike(build()).eval()
    before = loss.prototypes.clone()
    features, labels = objects(5)
    expected = 0.1 * by_scipy(loss, embedded(loss, features), labels) / 5
    value = call(loss, features, labels).item()
    assert value == pytest.approx(expected, rel=1e-4)
    assert torch.equal(loss.prototypes, before)


def test_gradient_reaches_all_that_learns():
    loss = unlike(build())
    features, labels = objects(20)
    call(loss, features, labels).backward()
    for parameter in (features, *loss.parameters()):
        assert torch.isfinite(parameter.grad).all()
        assert parameter.grad.abs().sum() > 0
    assert (loss.kappa.grad != 0).all()
    assert not loss.prototypes.requires_grad


def test_gradient_of_kappa_is_that_of_finite_differences():
    loss = unlike(build()).double().eval()
    features, labels = objects(7)
    z = embedded(loss, features)
    call(loss, features, labels).backward()
    for c in range(4):
        sides = []
        for step in (1e-4, -1e-4):
            other = copy.deepcopy(loss)
            other.kappa.data[c] += step
            sides.append(by_scipy(other, z, labels))
        slope = 0.1 / 7 * (sides[0] - sides[1]) / 2e-4
        assert loss.kappa.grad[c].item() == pytest.approx(slope, rel=1e-5)


def test_kappa_of_zero_and_below_is_the_uniform_density():
    loss = unlike(build(num_classes=2)).eval()
    loss.kappa.data.copy_(torch.tensor([0.0, -3.0]))
    features, labels = objects(6, 2)
    value = call(loss, features, labels)
    assert value.item() == pytest.approx(0.1 * math.log(2), rel=1e-5)
    value.backward()
    assert loss.kappa.grad.tolist() == [0, 0]
    area = 2 * math.pi**4 / math.gamma(4)
    score = score_of(loss, features)
    np.testing.assert_allclose(score.tolist(), math.log(area), rtol=1e-5)


def test_no_object_keeps_the_graph_and_the_prototypes():
    loss = unlike(build())
    before = loss.prototypes.clone()
    features, labels = objects(0)
    value = call(loss, features, labels)
    assert value == 0
    value.backward()
    for parameter in (features, *loss.parameters()):
        assert parameter.grad.shape == parameter.shape
        assert parameter.grad.abs().sum() == 0
    torch.testing.assert_close(loss.prototypes, before)


def test_no_object_at_the_very_start():
    loss = build()
    assert call(loss, *objects(0)) == 0
    assert not loss.prototypes.any()


@pytest.mark.parametrize(
    ('name', 'value'), [('momentum', 1.0), ('momentum', -1), ('init_kappa', 0)]
)
def test_bad_values(name, value):
    with pytest.raises(ValueError, match=f'{name} must be .*, got {value}'):
        build(**{name: value})


def test_one_object_moves_its_prototype_as_in_the_public_code():
    loss = unlike(build(momentum=0.9))
    features, before = torch.randn(1, 12), loss.prototypes.clone()
    call(loss, features, torch.tensor([2]))
    moved = 0.1 * embedded(loss, features)[0] + 0.9 * before[2].numpy()
    expected = moved / np.linalg.norm(moved)
    np.testing.assert_allclose(loss.prototypes[2], expected, atol=1e-6)
    rest = torch.tensor([0, 1, 3])
    torch.testing.assert_close(loss.prototypes[rest], before[rest])


@pytest.mark.parametrize('n', [5, 60])
def test_stays_near_the_public_sequence(n):
    """Of alike objects one after the other, from elsewhere to their mean."""
    loss = unlike(build(num_classes=1))
    features = torch.randn(12) + 0.05 * torch.randn(n, 12)
    p = loss.prototypes[0].double().numpy()
    for z in embedded(loss, features):
        p = 0.05 * z + 0.95 * p
        p /= np.linalg.norm(p)
    call(loss, features, torch.zeros(n, dtype=torch.int64))
    assert loss.prototypes[0].double().numpy() @ p > 0.99


@pytest.mark.parametrize('n', [1, 5])
def test_first_objects_of_a_class_set_its_prototype(n):
    """The others stay 0, and are as far as can be from deciding."""
    loss = build()
    features = torch.randn(n, 12)
    value = call(loss, features, torch.ones(n, dtype=torch.int64))
    z = embedded(loss, features)
    mean = z.mean(0) / np.linalg.norm(z.mean(0))
    np.testing.assert_allclose(loss.prototypes[1], mean, atol=1e-6)
    assert loss.prototypes.any(1).tolist() == [False, True, False, False]
    # All kappa are 10: the normalizers cancel.
    expected = np.log(np.exp(10 * z @ mean) + 3) - 10 * z @ mean
    expected = pytest.approx(0.1 * expected.mean(), rel=1e-4, abs=1e-6)
    assert value.item() == expected


def test_unit_length_after_many_steps():
    loss = build()
    for _ in range(30):
        call(loss, *objects(16))
    np.testing.assert_allclose(loss.prototypes.norm(dim=1), 1, atol=1e-6)


def rank(number, loss, parts, folder):
    torch.set_num_threads(1)
    dist.init_process_group(
        'gloo',
        init_method=f'file://{folder}/meet',
        rank=number,
        world_size=2,
        timeout=timedelta(seconds=60),
    )
    with torch.no_grad():
        for batch in parts:
            value = call(loss, *batch[number])
    torch.save((loss.prototypes, value), f'{folder}/{number}.pt')
    dist.destroy_process_group()


def test_two_ranks_make_the_prototypes_of_one(tmp_path):
    """Also if a rank has no object, or another class than its peer."""
    one, parts, sizes = build(), [], [(5, 3), (0, 8), (6, 0), (2, 4), (0, 0)]
    for left, right in sizes:
        features, labels = objects(left + right)
        cut = (features.detach().split([left, right]),)
        parts.append(list(zip(*cut, labels.split([left, right]))))
    torch.multiprocessing.start_processes(
        rank, (copy.deepcopy(one), parts, tmp_path), 2, start_method='fork'
    )
    for batch in parts:
        whole = [torch.cat(part) for part in zip(*batch)]
        value = call(one, *whole)
    found = [torch.load(tmp_path / f'{number}.pt') for number in range(2)]
    assert_near(found[0][0], found[1][0])
    torch.testing.assert_close(found[0][0], one.prototypes)
    mean = (found[0][1] + found[1][1]) / 2
    torch.testing.assert_close(mean, value.detach())


def test_embedding():
    loss = build(channels=5)
    features, _ = objects(6)
    z = loss.embed(features)
    assert loss.channels == 5
    np.testing.assert_allclose(z.detach(), embedded(loss, features), atol=1e-6)
    assert loss.embed(torch.zeros(0, 12)).shape == (0, 5)


def test_score_is_the_largest_density_of_the_classes_seen():
    loss = unlike(build())
    loss.prototypes[2] = 0
    features = torch.randn(10, 12)
    z = loss.embed(features).detach()
    densities = [
        scipy.stats.vonmises_fisher(
            loss.prototypes[c].double().numpy(), loss.kappa[c].item()
        ).logpdf(F.normalize(z.double()).numpy())
        for c in (0, 1, 3)
    ]
    expected = -np.max(densities, axis=0)
    found = score_of(loss, features).detach()
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert score_of(loss, features[:0]).shape == (0,)


def test_score_of_nothing_learned():
    loss = build()
    with pytest.raises(RuntimeError, match='no class prototypes: train'):
        score_of(loss, torch.randn(3, 12))


def test_a_copied_score_goes_with_its_copy():
    """It follows what its own loss learns, and is saved with that."""
    loss, features = unlike(build()), torch.randn(5, 12)
    scores = ScoreSet(['vmf'], num_classes=4, losses=[loss])
    both = copy.deepcopy(nn.ModuleDict(dict(loss=loss, scores=scores)))
    before = scores(Samples(features=features))['vmf']
    both['loss'].prototypes.neg_()
    after = both['scores'](Samples(features=features))['vmf']
    assert_near(scores(Samples(features=features))['vmf'], before)
    assert (after - before).abs().min() > 1e-3
    assert not any('kappa' in name for name in scores.state_dict())


def test_knn_of_the_embeddings():
    loss = unlike(build())
    train, features = torch.randn(30, 12), torch.randn(5, 12)
    configs = [dict(type='siren_knn', k=3), 'vmf']
    scores = ScoreSet(configs, num_classes=4, losses=[loss])
    names = scores.stages()[0]
    assert names == ['siren_knn']
    scores.start(names)
    for part in train.split(10):
        scores.update(Samples(features=part))
    scores.finish()
    bank, z = (torch.from_numpy(embedded(loss, x)) for x in (train, features))
    expected = torch.cdist(z, bank).sort(1).values[:, 2]
    found = scores(Samples(features=features))['siren_knn']
    assert_near(found, expected.float(), atol=1e-4)
    assert scores.state_dict()['siren_knn.bank'].shape == (30, 8)


@pytest.mark.parametrize('name', ['vmf', 'siren_knn'])
def test_scores_need_their_loss(name):
    with pytest.raises(ValueError, match=f"'{name}'.*mmood.SIRENLoss"):
        ScoreSet([name], num_classes=4)


def test_checkpoint():
    loss = unlike(build())
    names = {'kappa', 'prototypes'}
    names |= {
        f'projection.{i}.{p}' for i in (0, 2) for p in ('weight', 'bias')
    }
    assert set(loss.state_dict()) == names
    other = build()
    other.load_state_dict(loss.state_dict())
    features = torch.randn(5, 12)
    assert_near(score_of(loss, features), score_of(other, features))


def test_registered():
    cfg = dict(type='mmood.SIRENLoss', in_channels=1024, num_classes=20)
    loss = MODELS.build(cfg)
    assert isinstance(loss, SIRENLoss)
    assert (loss.channels, loss.momentum, loss.loss_weight) == (64, 0.95, 0.1)
    assert loss.kappa.tolist() == [10] * 20
    shapes = [tuple(p.shape) for p in loss.projection.parameters()]
    assert shapes == [(64, 1024), (64,), (64, 64), (64,)]


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
def test_single_precision_under_autocast(dtype):
    loss = unlike(build())
    other = copy.deepcopy(loss)
    features, labels = objects(8)
    features = features.detach().to(dtype)
    batch = known_batch(features, labels)
    with torch.autocast('cpu', torch.bfloat16):
        found = loss(batch)['loss_vmf']
        score = score_of(loss, features)
    assert_near(found, call(other, features.float(), labels))
    assert score.dtype == torch.float32


def test_training_sets_unknown_blobs_apart():
    """Three known blobs, and one opposite to their mean, all in noise."""
    centres = torch.cat([4 * torch.eye(3, 12), torch.zeros(1, 12)])
    centres[3, :3] = -2
    deviation = torch.tensor([0.3] * 4 + [3.0] * 8)
    loss = build(num_classes=3, channels=34)
    optimizer = torch.optim.SGD(loss.parameters(), lr=1.0, momentum=0.9)

    def draw(kind):
        return centres[kind] + deviation * torch.randn(len(kind), 12)

    @torch.no_grad()
    def auroc(kind):
        score = score_of(loss, draw(kind))
        return roc_auc_score(kind == 3, score)

    values, aurocs, labels = [], [], torch.arange(3).repeat(20)
    for step in range(100):
        value = call(loss, draw(labels), labels)
        if step in (0, 99):
            aurocs.append(auroc(torch.arange(4).repeat(50)))
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        values.append(value.item())
    assert values[-1] < 0.01 * values[0]
    assert aurocs[0] < 0.9
    assert aurocs[1] > 0.995
