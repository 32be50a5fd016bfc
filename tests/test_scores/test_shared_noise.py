import pytest
import torch

from mmood.diffusion import GaussianDiffusion
from mmood.scores import diffusion_score


def test_several_generators_share_the_features():
    """Each image has its own noise, whatever it is batched with."""
    diffusion, x0 = GaussianDiffusion(), torch.randn(6, 4)

    def score(rows, seeds):
        generators = [torch.Generator().manual_seed(s) for s in seeds]
        return diffusion_score(
            lambda x, t: x, diffusion, rows, generator=generators
        )

    together = score(x0, [1, 2, 3])
    for i, seed in enumerate((1, 2, 3)):
        part = slice(2 * i, 2 * i + 2)
        torch.testing.assert_close(score(x0[part], [seed]), together[part])
    assert not torch.allclose(score(x0, [1, 2, 4])[4:], together[4:])
    with pytest.raises(ValueError, match='4 generators cannot share'):
        score(x0, [1, 2, 3, 4])
