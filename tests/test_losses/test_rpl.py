"""The residual block and its three terms, against numpy and torch."""

import numpy as np
import pytest
import scipy.special
import scipy.stats
import torch
import torch.nn.functional as F
from torch import nn

from mmood.losses import IGNORE, OUTLIER, Batch, ResidualBlock, RPLLoss
from mmood.scores import Samples, ScoreSet
from seg_helpers import lively

K = 4


class Net(nn.Module):
    """Maps (B, 3, h, w) -> logits (B, K, h / 2, w / 2)."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 6, 3, padding=1)
        self.pool = nn.Sequential(nn.AvgPool2d(2))
        self.last = nn.Sequential(nn.Conv2d(6, K, 1))

    def forward(self, x):
        return self.last(self.pool(self.first(x)))


def attached(**options):
    """A net that stays as it is and a loss beside it, none of it zero."""
    net = lively(Net()).requires_grad_(False)
    sizes = dict(source_channels=6, target_channels=6, channels=5)
    places = dict(source='pool', target='last', dilations=(1, 2))
    loss = lively(RPLLoss(**{**sizes, **places, **options}))
    loss.attach(net)
    return net, loss


def batch_of(net, images, labels):
    def view(images):
        logits = F.interpolate(net(images), labels.shape[1:], mode='bilinear')
        return Samples(logits=logits)

    logits = view(images).logits
    return Batch(logits, labels, num_classes=K, inputs=images, view=view)


def labels_of(shape):
    labels = torch.randint(K, shape)
    labels[torch.rand(shape) < 0.3] = OUTLIER
    labels[torch.rand(shape) < 0.2] = IGNORE
    return labels


def test_the_terms_are_those_of_the_other_logits():
    net, loss = attached(energy_weight=0.3)
    images, labels = torch.randn(2, 3, 8, 6), labels_of((2, 8, 6))
    batch = batch_of(net, images, labels)
    found = loss(batch)
    x = net.pool(net.first(images))
    residual = loss.block(net.first(images), x.shape[2:])
    logits = F.interpolate(net.last(x + residual), (8, 6), mode='bilinear')
    z, old = (t.detach().movedim(1, -1).double().numpy()
              for t in (logits, batch.logits))  # fmt: skip
    known, outlier = (labels >= 0).numpy(), (labels == OUTLIER).numpy()
    p, q = (scipy.special.softmax(t, -1) for t in (z, old))
    said = np.take_along_axis(np.log(p), old.argmax(-1)[..., None], -1)
    spread = scipy.stats.entropy(p, axis=-1) - scipy.stats.entropy(q, axis=-1)
    dense = np.maximum(scipy.special.logsumexp(z, -1), 0)
    expected = dict(
        loss_rpl_class=-said[..., 0][known].mean(),
        loss_rpl_entropy=(spread**2)[known].mean(),
        loss_rpl_energy=0.3 * dense[outlier].mean(),
    )
    assert {k: v.item() for k, v in found.items()} == pytest.approx(
        expected, rel=1e-4
    )


def test_a_new_block_changes_nothing():
    """So the entropies agree, and the class is the likeliest one."""
    net = lively(Net()).requires_grad_(False)
    loss = RPLLoss(6, 6, source='pool', target='last', channels=5)
    loss.attach(net)
    images, labels = torch.randn(2, 3, 8, 6), labels_of((2, 8, 6))
    batch = batch_of(net, images, labels)
    found = loss(batch)
    assert found['loss_rpl_entropy'].item() == pytest.approx(0, abs=1e-10)
    best = batch.logits.log_softmax(1).amax(1)
    expected = -best[labels >= 0].mean()
    torch.testing.assert_close(found['loss_rpl_class'], expected)
    sum(found.values()).backward()
    assert loss.block.out.weight.grad.any()


def test_training_raises_the_energy_of_outliers_and_keeps_classes():
    net, loss = attached(energy_weight=1.0)
    net.last[0].bias.data += 3  # an energy well below 0
    images, labels = torch.randn(4, 3, 8, 8), torch.zeros(4, 8, 8).long()
    images[..., 4:] += torch.tensor([4.0, -4.0, 4.0])[:, None, None]
    labels[..., 4:] = OUTLIER
    batch = batch_of(net, images, labels)
    weights = {k: v.clone() for k, v in net.state_dict().items()}
    optimizer, first = torch.optim.Adam(loss.parameters(), 0.01), None
    for _ in range(200):
        optimizer.zero_grad()
        total = sum(loss(batch).values())
        first = total.item() if first is None else first
        total.backward()
        optimizer.step()
    score = ScoreSet(['rpl'], num_classes=K, losses=[loss])
    samples = Samples(inputs=images, view=batch.view)
    with torch.no_grad():
        values = score(samples)['rpl']
    assert values[..., 5:].mean() > values[..., :3].mean() + 1
    for name, value in net.state_dict().items():
        assert torch.equal(value, weights[name])
    plain = batch.view(images).logits
    torch.testing.assert_close(plain, batch.logits)
    assert total < first / 2


@pytest.mark.parametrize('missing', ['outliers', 'known'])
def test_without_outliers_or_known_pixels_a_term_is_zero(missing):
    net, loss = attached()
    labels = torch.full((1, 8, 6), OUTLIER if missing == 'known' else 1)
    found = loss(batch_of(net, torch.randn(1, 3, 8, 6), labels))
    zero = {name for name, value in found.items() if value == 0}
    of_known = {'loss_rpl_class', 'loss_rpl_entropy'}
    assert zero == (of_known if missing == 'known' else {'loss_rpl_energy'})
    sum(found.values()).backward()
    assert all(p.grad is not None for p in loss.parameters())


def test_nothing_is_left_on_the_segmentor():
    """Also if the pass fails."""
    net, loss = attached()
    images = torch.randn(1, 3, 8, 6)
    before = net(images)
    with pytest.raises(ZeroDivisionError), loss.beside():
        assert not torch.equal(net(images), before)
        1 / 0  # noqa: B018
    assert torch.equal(net(images), before)


def test_the_block_has_the_receptive_field_of_its_dilations():
    """Without the mean over the image, an impulse spreads so far."""
    block = lively(ResidualBlock(1, 1, 3, (2, 5)))
    for part in block.pooled.parameters():
        part.data.zero_()
    x = torch.zeros(1, 1, 1, 21)
    base = block(x)
    x[..., 10] = 1
    reached = (block(x) - base)[0, 0, 0].abs() > 1e-7
    assert reached.nonzero()[:, 0].tolist() == [5, 8, 10, 12, 15]


def test_the_block_is_resized_to_the_target():
    block = lively(ResidualBlock(3, 2, 4, (1,)))
    x = torch.randn(1, 3, 4, 4)
    larger = F.interpolate(
        block(x), (8, 6), mode='bilinear', align_corners=True
    )
    torch.testing.assert_close(block(x, (8, 6)), larger)


def test_wrong_places_and_widths_are_refused():
    net = Net()
    loss = RPLLoss(6, 6, source='pool', target='conv')
    with pytest.raises(ValueError, match="target='conv'.*'first', 'pool'"):
        loss.attach(net)
    net.backbone = nn.Identity()
    loss = RPLLoss(6, 6, source='backbone', target='last')
    with pytest.raises(ValueError, match="'backbone', .* is not run again"):
        loss.attach(net)
    with pytest.raises(ValueError, match='must be at least 1, got'):
        RPLLoss(0, 6)
    images = torch.randn(1, 3, 8, 6)
    for options, message in {
        'source_channels': 'pool gets 6 channels, .*source_channels=7',
        'target_channels': 'last gets 6 channels, .*target_channels=7',
    }.items():
        net, loss = attached(**{options: 7})
        with pytest.raises(ValueError, match=message), loss.beside():
            net(images)
    net, loss = attached(source='last', target='pool')
    with pytest.raises(RuntimeError, match='order'), loss.beside():
        net(images)
    net, loss = attached()
    message = "does not run 'last'"
    with pytest.raises(RuntimeError, match=message), loss.beside():
        net.first(images)


def test_the_score_says_which_loss_trains_it():
    with pytest.raises(ValueError, match='RPLLoss.* to pixel_losses'):
        ScoreSet(['rpl'], num_classes=K)
