"""DOoDHead: score maps and the compound score."""

import numpy as np
import pytest
import torch

from helpers import assert_near
from mmood.diffusion import GaussianDiffusion
from mmood.registry import MODELS
from mmood.scores import directional_error
from seg_helpers import lively, tiny_head

PROCESS = GaussianDiffusion()


def build(unet=False, **options):
    """A head that is ready for tests, with features from -3 to 3."""
    head = lively(MODELS.build(tiny_head(unet, **options)))
    head.feature_range.update(torch.tensor([[-3.0], [3.0]]).expand(2, 32))
    return head


def maps(batch=3, size=(4, 5)):
    return torch.randn(batch, 32, *size)


KEYS = ('a.png', 'b.png', 'c.png')


@pytest.mark.parametrize('unet', [False, True])
def test_a_map_is_the_same_in_any_batch_and_order(unet):
    head, features = build(unet), maps()
    together = head.score_maps(features, KEYS)
    order = [2, 0, 1]
    turned = head.score_maps(features[order], [KEYS[i] for i in order])
    assert_near(turned, together[order])
    for i, key in enumerate(KEYS):
        alone = head.score_maps(features[i : i + 1], [key])
        # A convolution's rounding depends on the batch.
        torch.testing.assert_close(alone[0], together[i])
    torch.manual_seed(5)  # the global stream does not matter
    assert_near(head.score_maps(features, KEYS), together)
    assert together.std() > 1e-3


@pytest.mark.parametrize('unet', [False, True])
def test_the_noise_depends_on_the_key_and_the_seed(unet):
    head, other = build(unet), build(unet, seed=1)
    other.load_state_dict(head.state_dict())
    feature = maps(1)
    first, second, number = (
        head.score_maps(feature, [key]) for key in ('a', 'b', 7)
    )
    assert not torch.isclose(first, second).any()
    assert not torch.isclose(first, number).any()
    assert not torch.isclose(other.score_maps(feature, ['a']), first).any()


def test_chunks_do_not_matter():
    features = maps(2)
    head = build()
    whole = head.score_maps(features, KEYS[:2])
    for size in (1, 7, 20):
        other = build(score=dict(timesteps=3, chunk_size=size))
        other.load_state_dict(head.state_dict())
        found = other.score_maps(features, KEYS[:2])
        torch.testing.assert_close(found, whole, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize('unet', [False, True])
def test_score_is_the_papers_sum(unet):
    """Eq. 8 with the noise that the head draws for this image."""
    head, features = build(unet), maps(1)
    noises = []

    def denoise(x_t, t):
        signal = PROCESS.alpha_bars[t].sqrt().item()
        noises.append((t, (x_t - signal * x0) / PROCESS.sigma(t)))
        return denoiser(x_t, t)

    x0 = features / 3
    if not unet:
        x0 = x0[0].flatten(1).T
    denoiser, head.denoiser.forward = head.denoiser.forward, denoise
    found = head.score_maps(features, ['a'])
    expected = 0
    for t, noise in noises:
        signal, sigma = PROCESS.alpha_bars[t].sqrt().item(), PROCESS.sigma(t)
        predicted = denoiser(signal * x0 + sigma * noise, t)
        expected = expected + sigma * directional_error(predicted, noise)
    assert [t for t, _ in noises] == [0, 1, 2]
    torch.testing.assert_close(
        found, expected.reshape(1, 4, 5).detach(), atol=1e-4, rtol=1e-3
    )


def test_a_cell_of_the_map_has_the_score_of_its_own_feature():
    """A feature far from the others changes its own cell alone."""
    head, features = build(), maps(1)
    before = head.score_maps(features, ['a'])
    features[0, :, 2, 3] += 5
    change = (head.score_maps(features, ['a']) - before).abs()
    changed = change > 1e-4
    assert changed.nonzero().tolist() == [[0, 2, 3]]


def test_half_features_and_autocast():
    """Scores are float32 whatever the segmentor computes in."""
    head, features = build(), maps(1).half()
    expected = head.score_maps(features.float(), ['a'])
    with torch.autocast('cpu', torch.bfloat16):
        found = head.score_maps(features, ['a'])
    assert found.dtype == torch.float32
    assert_near(found, expected)


def test_no_range_no_score():
    head = MODELS.build(tiny_head())
    with pytest.raises(RuntimeError, match='range of the features'):
        head.score_maps(maps(1), ['a'])


@pytest.mark.parametrize(
    ('timesteps', 'expected'), [(4, [0, 1, 2, 3]), ([9, 2], [9, 2])]
)
def test_timesteps_are_a_number_or_a_list(timesteps, expected):
    head = build(score=dict(timesteps=timesteps))
    called = []
    head.denoiser.forward = lambda x, t: called.append(t) or x
    head.score_maps(maps(1), ['a'])
    assert called == expected


def test_the_papers_times_are_the_default():
    head = build(score=None)
    assert head.score['timesteps'] == list(range(25))
    assert (head.score['kind'], head.score['weighted']) == ('cosine', True)


# ------------------------------------------------------------ compound
MEAN, STD = torch.tensor([-2.0, 7.0]), torch.tensor([0.5, 4.0])


def test_compound_is_the_mean_of_the_standardized_scores():
    head = build()
    head.set_statistics(MEAN, STD)
    uncertainty = torch.tensor([[-2.0, -1.0, -3.0]])
    diffusion = torch.tensor([[7.0, 11.0, 5.0]])
    found = head.compound(uncertainty, diffusion)
    # (0 + 0) / 2, (2 + 1) / 2, (-2 - 0.5) / 2
    assert found.tolist() == [[0, 1.5, -1.25]]


def test_compound_without_statistics_names_the_tool():
    head = build()
    with pytest.raises(RuntimeError, match='tools/fit_scores.py'):
        head.compound(torch.zeros(1), torch.zeros(1))
    head.score_mean.fill_(0)  # half of them is not enough
    with pytest.raises(RuntimeError, match='mmood.FitScoresHook'):
        head.compound(torch.zeros(1), torch.zeros(1))


@pytest.mark.parametrize(
    'score',
    [
        dict(timesteps=4),
        dict(timesteps=3, weighted=False),
        dict(timesteps=3, kind='mse_score'),
    ],
)
def test_statistics_of_another_score(score):
    head, other = build(), build(score=score)
    head.set_statistics(MEAN, STD)
    other.load_state_dict(head.state_dict())
    message = 'fitted for another ood_head.score.*tools/fit_scores.py'
    with pytest.raises(RuntimeError, match=message):
        other.compound(torch.zeros(1), torch.zeros(1))
    other.set_statistics(MEAN, STD)
    assert torch.isfinite(other.compound(torch.zeros(1), torch.zeros(1)))


@pytest.mark.parametrize(
    'score', [dict(timesteps=[0, 1, 2]), dict(timesteps=3, chunk_size=5)]
)
def test_statistics_of_the_same_score_in_other_words(score):
    head, other = build(), build(score=score)
    head.set_statistics(MEAN, STD)
    other.load_state_dict(head.state_dict())
    assert other.compound(MEAN[0] + 1, MEAN[1]).item() == 1


def test_a_constant_score_stays_finite():
    head = build()
    head.set_statistics(MEAN, torch.tensor([0.0, 4.0]))
    assert head.compound(MEAN[0], MEAN[1] + 4).item() == 0.5


@pytest.mark.parametrize('unet', [False, True])
def test_the_state_dict_has_all_that_scores_need(unet):
    head = build(unet)
    head.set_statistics(MEAN, STD)
    names = set(head.state_dict())
    assert {
        *('feature_range.minimum', 'feature_range.maximum'),
        *('score_mean', 'score_std', 'fitted_for'),
    } == {n for n in names if not n.startswith('denoiser.')}
    other = MODELS.build(tiny_head(unet))
    other.load_state_dict(head.state_dict())
    features = maps(1)
    found = other.score_maps(features, ['a'])
    assert_near(found, head.score_maps(features, ['a']))
    scores = np.float32(1.5), found
    assert_near(other.compound(*scores), head.compound(*scores))
