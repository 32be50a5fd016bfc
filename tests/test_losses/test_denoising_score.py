"""The score 'diffusion' of a `DenoisingLoss`."""

import zlib

import pytest
import torch

from helpers import assert_near
from mmood.diffusion import GaussianDiffusion
from mmood.losses import DiffusionScore
from mmood.registry import MODELS
from mmood.scores import Samples, ScoreSet, directional_error
from seg_helpers import lively, tiny_loss

PROCESS = GaussianDiffusion()
KEYS = ('a.png', 'b.png', 'c.png')


def trained(unet=False):
    """A loss that has seen features from -3 to 3."""
    loss = lively(MODELS.build(tiny_loss(unet)))
    loss.feature_range.update(torch.tensor([[-3.0], [3.0]]).expand(2, 32))
    return loss


def build(unet=False, timesteps=3, **options):
    return DiffusionScore([trained(unet)], timesteps=timesteps, **options)


def of(score, features, keys):
    return score(Samples(features=features, keys=keys))


def maps(batch=3, size=(4, 5)):
    return torch.randn(batch, 32, *size)


@pytest.mark.parametrize('unet', [False, True])
def test_a_map_is_the_same_in_any_batch_and_order(unet):
    score, features = build(unet), maps()
    together = of(score, features, KEYS)
    order = [2, 0, 1]
    turned = of(score, features[order], [KEYS[i] for i in order])
    assert_near(turned, together[order])
    for i, key in enumerate(KEYS):
        alone = of(score, features[i : i + 1], [key])
        # A convolution's rounding depends on the batch.
        torch.testing.assert_close(alone[0], together[i])
    torch.manual_seed(5)  # the global stream does not matter
    assert_near(of(score, features, KEYS), together)
    assert together.std() > 1e-3


@pytest.mark.parametrize('unet', [False, True])
def test_the_noise_depends_on_the_key_and_the_seed(unet):
    score, feature = build(unet), maps(1)
    other = DiffusionScore([score.loss], timesteps=3, seed=1)
    first, second, number = (of(score, feature, [k]) for k in ('a', 'b', 7))
    assert not torch.isclose(first, second).any()
    assert not torch.isclose(first, number).any()
    assert not torch.isclose(of(other, feature, ['a']), first).any()


def test_chunks_do_not_matter():
    features, score = maps(2), build()
    whole = of(score, features, KEYS[:2])
    for size in (1, 7, 20):
        other = DiffusionScore([score.loss], timesteps=3, chunk_size=size)
        found = of(other, features, KEYS[:2])
        torch.testing.assert_close(found, whole, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize('unet', [False, True])
@pytest.mark.parametrize('weighted', [False, True])
def test_score_is_the_papers_sum(unet, weighted):
    """Eq. 8, with the noise of a generator that the key seeds."""
    score, features = build(unet, weighted=weighted, seed=4), maps(1)
    found = of(score, features, ['a.png'])
    generator = torch.Generator()
    generator.manual_seed(zlib.crc32(repr((4, 'a.png')).encode()))
    x0 = features / 3
    if not unet:
        x0 = x0[0].flatten(1).T
    expected = 0
    for t in range(3):
        noise = torch.randn(x0.shape, generator=generator)
        signal, sigma = PROCESS.alpha_bars[t].sqrt().item(), PROCESS.sigma(t)
        predicted = score.loss.denoiser(signal * x0 + sigma * noise, t)
        error = directional_error(predicted, noise)
        expected = expected + (sigma if weighted else 1) * error
    torch.testing.assert_close(
        found, expected.reshape(1, 4, 5).detach(), atol=1e-4, rtol=1e-3
    )


def test_a_cell_of_the_map_has_the_score_of_its_own_feature():
    """A feature far from the others changes its own cell alone."""
    score, features = build(), maps(1)
    before = of(score, features, ['a'])
    features[0, :, 2, 3] += 5
    change = (of(score, features, ['a']) - before).abs()
    changed = change > 1e-4
    assert changed.nonzero().tolist() == [[0, 2, 3]]


def test_rows_of_features_are_scored_too():
    """As a map of so many cells of an image without a key."""
    score, features = build(), maps(1)
    rows = score(Samples(features=features[0].flatten(1).T))
    assert_near(rows, of(score, features, [None]).flatten())


def test_half_features_and_autocast():
    """Scores are float32 whatever the segmentor computes in."""
    score, features = build(), maps(1).half()
    expected = of(score, features.float(), ['a'])
    with torch.autocast('cpu', torch.bfloat16):
        found = of(score, features, ['a'])
    assert found.dtype == torch.float32
    assert_near(found, expected)


def test_no_range_no_score():
    score = DiffusionScore([MODELS.build(tiny_loss())])
    with pytest.raises(RuntimeError, match='range of the features'):
        of(score, maps(1), ['a'])


@pytest.mark.parametrize(
    ('timesteps', 'expected'), [(4, [0, 1, 2, 3]), ([9, 2], [9, 2])]
)
def test_timesteps_are_a_number_or_a_list(timesteps, expected):
    score, called = build(timesteps=timesteps), []
    score.loss.denoiser.forward = lambda x, t: called.append(t) or x
    of(score, maps(1), ['a'])
    assert called == expected


def test_the_papers_times_are_the_default():
    arguments = DiffusionScore([trained()]).arguments
    assert arguments['timesteps'] == list(range(25))
    assert (arguments['kind'], arguments['weighted']) == ('cosine', True)


def test_without_its_loss_it_cannot_be_built():
    with pytest.raises(ValueError, match='add .*mmood.DenoisingLoss.*losses'):
        ScoreSet(['energy', 'diffusion'], num_classes=3, channels=32)


def test_the_loss_has_all_the_state():
    """And a score's own copy of the model uses the copied loss."""
    loss = trained()
    scores = ScoreSet(
        [dict(type='diffusion', timesteps=3)],
        num_classes=3,
        channels=32,
        losses=[loss],
    )
    assert set(scores.state_dict()) == {
        'thresholds.diffusion',
        'thresholds.diffusion.arguments',
    }
    names = {n for n in loss.state_dict() if not n.startswith('denoiser.')}
    assert names == {'feature_range.minimum', 'feature_range.maximum'}


def test_compound_is_the_mean_of_the_standardized_scores():
    """DOoD's, with the statistics of ID pixels that it was fitted on."""
    loss = trained()
    configs = [
        dict(type='compound', of=['energy', 'diffusion']),
        dict(type='diffusion', timesteps=3),
        'energy',
    ]
    scores = ScoreSet(configs, num_classes=3, channels=32, losses=[loss])
    logits, keys = torch.randn(2, 3, 4, 5), KEYS[:2]
    samples = Samples(logits=logits, features=maps(2), keys=keys)
    with pytest.raises(RuntimeError, match='not fitted.*fit_scores.py'):
        scores(samples)
    parts = scores(samples, ['energy', 'diffusion'])
    scores.start(['compound'])
    rows = {name: value.flatten() for name, value in parts.items()}
    scores.update(Samples(values=rows))
    scores.finish()
    standard = [
        (x - x.mean()) / x.std() for x in (parts['energy'], parts['diffusion'])
    ]
    found = scores(samples)
    assert list(found) == ['compound', 'diffusion', 'energy']
    assert_near(found['compound'], sum(standard) / 2)
    assert_near(found['diffusion'], parts['diffusion'])


@pytest.mark.parametrize(
    'arguments', [dict(timesteps=4), dict(timesteps=3, weighted=False)]
)
def test_a_compound_of_another_diffusion_score(arguments):
    """A checkpoint of other arguments, which decide the score's unit."""
    loss = trained()

    def build(**given):
        configs = [
            dict(type='compound', of=['energy', 'diffusion']),
            dict(type='diffusion', **given),
            'energy',
        ]
        return ScoreSet(configs, num_classes=3, channels=32, losses=[loss])

    fitted, other = build(timesteps=3), build(**arguments)
    fitted.start(['compound'])
    ones = torch.tensor([0.0, 1.0])
    fitted.update(Samples(values=dict(energy=ones, diffusion=ones)))
    fitted.finish()
    other.load_state_dict(fitted.state_dict(), strict=False)
    samples = Samples(logits=torch.randn(1, 3, 4, 5), features=maps(1))
    with pytest.raises(RuntimeError, match='other arguments.*fit_scores.py'):
        other(samples)


def test_thresholds_stay_those_of_a_score_in_other_chunks():
    """What saves memory changes no value."""
    loss = trained()

    def build(**given):
        score = dict(type='diffusion', timesteps=3, **given)
        return ScoreSet([score], num_classes=3, channels=32, losses=[loss])

    calibrated, other = build(), build(chunk_size=7)
    calibrated.thresholds['diffusion'].fill_(0.5)
    other.load_state_dict(calibrated.state_dict())
    assert other.thresholds['diffusion'] == 0.5
