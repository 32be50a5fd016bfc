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

from helpers import assert_near
from mmood.losses import SIRENLoss
from mmood.registry import MODELS


def build(in_channels=12, num_classes=4, channels=8, **kwargs):
    return SIRENLoss(in_channels, num_classes, channels=channels, **kwargs)


def objects(n, classes=4, in_channels=12):
    features = torch.randn(n, in_channels, requires_grad=True)
    return features, torch.randint(classes, (n,))


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


# ------------------------------------------------------------------- loss
@pytest.mark.parametrize('classes', [1, 4])
@pytest.mark.parametrize('channels', [2, 8, 64])
def test_matches_the_definition(channels, classes):
    loss = unlike(build(channels=channels, num_classes=classes))
    features, labels = objects(9, classes)
    z = embedded(loss, features)
    prototypes = followed(loss.prototypes, z, labels)
    found = loss(features, labels)
    assert list(found) == ['loss_vmf']
    np.testing.assert_allclose(loss.prototypes, prototypes, atol=1e-6)
    expected = 0.1 * by_scipy(loss, z, labels) / 9
    assert found['loss_vmf'].item() == pytest.approx(expected, rel=1e-4)
    if classes == 1:
        assert found['loss_vmf'] == 0


def test_evaluation_leaves_the_prototypes():
    loss = unlike(build()).eval()
    before = loss.prototypes.clone()
    features, labels = objects(5)
    expected = 0.1 * by_scipy(loss, embedded(loss, features), labels) / 5
    value = loss(features, labels)['loss_vmf'].item()
    assert value == pytest.approx(expected, rel=1e-4)
    assert torch.equal(loss.prototypes, before)


@pytest.mark.parametrize(
    ('factor', 'divisor'),
    [(None, 6), (2.0, 2), (torch.tensor(30.0), 30), (0.25, 0.25), (0.0, 1)],
)
def test_factor_and_weight(factor, divisor):
    loss = unlike(build(loss_weight=1.5)).eval()
    features, labels = objects(6)
    found = loss(features, labels, factor=factor, inputs=None, view=print)
    expected = 1.5 * by_scipy(loss, embedded(loss, features), labels) / divisor
    assert found['loss_vmf'].item() == pytest.approx(expected, rel=1e-4)


def test_gradient_reaches_all_that_learns():
    loss = unlike(build())
    features, labels = objects(20)
    loss(features, labels)['loss_vmf'].backward()
    for parameter in (features, *loss.parameters()):
        assert torch.isfinite(parameter.grad).all()
        assert parameter.grad.abs().sum() > 0
    assert (loss.kappa.grad != 0).all()
    assert not loss.prototypes.requires_grad


def test_gradient_of_kappa_is_that_of_finite_differences():
    loss = unlike(build()).double().eval()
    features, labels = objects(7)
    z = embedded(loss, features)
    loss(features, labels)['loss_vmf'].backward()
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
    value = loss(features, labels)['loss_vmf']
    assert value.item() == pytest.approx(0.1 * math.log(2), rel=1e-5)
    value.backward()
    assert loss.kappa.grad.tolist() == [0, 0]
    area = 2 * math.pi**4 / math.gamma(4)
    score = loss.scores()['vmf'](loss.embed(features))
    np.testing.assert_allclose(score.tolist(), math.log(area), rtol=1e-5)


def test_no_object_keeps_the_graph_and_the_prototypes():
    loss = unlike(build())
    before = loss.prototypes.clone()
    features, labels = objects(0)
    value = loss(features, labels, factor=0.0)['loss_vmf']
    assert value == 0
    value.backward()
    for parameter in (features, *loss.parameters()):
        assert parameter.grad.shape == parameter.shape
        assert parameter.grad.abs().sum() == 0
    torch.testing.assert_close(loss.prototypes, before)


def test_no_object_at_the_very_start():
    loss = build()
    assert loss(*objects(0))['loss_vmf'] == 0
    assert not loss.prototypes.any()


@pytest.mark.parametrize(
    ('name', 'value'), [('momentum', 1.0), ('momentum', -1), ('init_kappa', 0)]
)
def test_bad_values(name, value):
    with pytest.raises(ValueError, match=f'{name} must be .*, got {value}'):
        build(**{name: value})


# ------------------------------------------------------------- prototypes
def test_one_object_moves_its_prototype_as_in_the_public_code():
    loss = unlike(build(momentum=0.9))
    features, before = torch.randn(1, 12), loss.prototypes.clone()
    loss(features, torch.tensor([2]))
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
    loss(features, torch.zeros(n, dtype=torch.int64))
    assert loss.prototypes[0].double().numpy() @ p > 0.99


@pytest.mark.parametrize('n', [1, 5])
def test_first_objects_of_a_class_set_its_prototype(n):
    """The others stay 0, and are as far as can be from deciding."""
    loss = build()
    features = torch.randn(n, 12)
    value = loss(features, torch.ones(n, dtype=torch.int64))['loss_vmf']
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
        loss(*objects(16))
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
            value = loss(*batch[number], factor=4.0)['loss_vmf']
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
        value = one(*whole, factor=4.0)['loss_vmf']
    found = [torch.load(tmp_path / f'{number}.pt') for number in range(2)]
    assert_near(found[0][0], found[1][0])
    torch.testing.assert_close(found[0][0], one.prototypes)
    torch.testing.assert_close(found[0][1] + found[1][1], value.detach())


# ------------------------------------------------------ embedding, scores
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
    score = loss.scores()['vmf']
    assert score.source == 'embedding'
    z = loss.embed(torch.randn(10, 12)).detach()
    densities = [
        scipy.stats.vonmises_fisher(
            loss.prototypes[c].double().numpy(), loss.kappa[c].item()
        ).logpdf(F.normalize(z.double()).numpy())
        for c in (0, 1, 3)
    ]
    expected = -np.max(densities, axis=0)
    np.testing.assert_allclose(score(z).detach(), expected, atol=1e-4)
    assert score(z[:0]).shape == (0,)
    loss.prototypes.neg_()  # the score follows what it is bound to
    assert not np.allclose(score(z).detach(), expected, atol=0.1)


def test_score_of_nothing_learned():
    loss = build()
    with pytest.raises(RuntimeError, match='no class prototypes: train'):
        loss.scores()['vmf'](torch.randn(3, 8))


def test_a_copied_score_goes_with_its_copy():
    loss = unlike(build())
    both = copy.deepcopy(dict(loss=loss, score=loss.scores()['vmf']))
    assert both['score'].loss is both['loss'] is not loss


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
    for module in (loss, other):
        module.score = module.scores()['vmf'](module.embed(features))
    assert_near(loss.score, other.score)


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
    with torch.autocast('cpu', torch.bfloat16):
        found = loss(features, labels)['loss_vmf']
        score = loss.scores()['vmf'](loss.embed(features))
    assert_near(found, other(features.float(), labels)['loss_vmf'])
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
        score = loss.scores()['vmf'](loss.embed(draw(kind)))
        return roc_auc_score(kind == 3, score)

    values, aurocs, labels = [], [], torch.arange(3).repeat(20)
    for step in range(100):
        value = loss(draw(labels), labels)['loss_vmf']
        if step in (0, 99):
            aurocs.append(auroc(torch.arange(4).repeat(50)))
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        values.append(value.item())
    assert values[-1] < 0.01 * values[0]
    assert aurocs[0] < 0.9
    assert aurocs[1] > 0.995
