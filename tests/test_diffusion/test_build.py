import pytest
import torch

from mmood.diffusion import BlurDiffusion, NoiseDiffusion, build_diffusion


def test_a_config_becomes_the_process_with_its_arguments():
    cfg = dict(type='blur', num_steps=3, sigma_start=0.4, sigma_end=1.2)
    built = build_diffusion(cfg)
    assert isinstance(built, BlurDiffusion)
    assert built.sigmas == pytest.approx([0.4, 0.8, 1.2])
    assert cfg['type'] == 'blur'  # not used up
    built = build_diffusion(dict(type='noise', num_steps=2))
    assert isinstance(built, NoiseDiffusion) and built.num_steps == 2
    x = torch.randn(1, 2, 4, 4)
    assert [m.shape for m in built.forward_process(x)] == [x.shape] * 3


@pytest.mark.parametrize('cfg', [dict(type='heat'), dict(num_steps=3)])
def test_unknown_types_are_refused(cfg):
    with pytest.raises(ValueError, match="known are .'blur', 'noise'"):
        build_diffusion(cfg)
