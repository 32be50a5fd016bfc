"""What the demos run, at tiny scale: the frozen part stays as in its file."""

import pytest
import torch
from mmengine.runner import Runner

from helpers import tiny_options, tiny_seg_options
from mmood.backbones import EfficientNetLite
from mmood.backbones.efficientnet_lite import _GROUPS, _ConvNorm, _groups
from shared_fixtures import shrink

DETECTOR = 'dfdd/dfdd_faster-rcnn_lite0_fpn_shapes.py'
SEGMENTOR = 'posthoc/fcn_lite0_1k_shapes.py'
DOOD = 'dood/dood_fcn_lite0_1k_shapes.py'


@pytest.fixture(scope='module')
def weights(tmp_path_factory):
    """A file with all that the package's has."""
    whole = torch.nn.Sequential(_ConvNorm(3, 32, 3), *_groups(len(_GROUPS)))
    whole.extend([_ConvNorm(320, 1280, 1), torch.nn.Linear(1280, 3)])
    path = tmp_path_factory.mktemp('weights') / 'a.pth'
    torch.save(whole.state_dict(), path)
    return path


def backbone_of(weights):
    backbone = EfficientNetLite(weights, out_indices=(1, 2, 3))
    backbone.init_weights()
    return backbone.state_dict()


def assert_partly_kept(trained, weights):
    """The stem and two levels are the file's to the bit; others moved."""
    source = backbone_of(weights)
    for name, value in trained.state_dict().items():
        if name.startswith(('stem', 'groups.0.', 'groups.1.')):
            assert torch.equal(value, source[name])
    last = 'groups.4.0.layers.0.conv.weight'
    assert not torch.equal(trained.state_dict()[last], source[last])


def test_a_detector_with_dfdd(shapes, tmp_path, weights):
    options = dict(weights=str(weights))
    cfg = shrink(DETECTOR, tiny_options(shapes), tmp_path, options)
    runner = Runner.from_cfg(cfg)
    runner.train()
    assert_partly_kept(runner.model.backbone, weights)
    metrics = runner.test()
    assert 0 <= metrics['ood/far/energy/AUROC'] <= 1


def test_dood_on_the_features_of_its_segmentor(shapes, tmp_path, weights):
    tiny = {
        key: value
        for key, value in tiny_seg_options(shapes).items()
        if 'model.backbone' not in key
    }
    options = dict(weights=str(weights))
    plain = {k: v for k, v in tiny.items() if not k.startswith(('pr', 'ood'))}
    runner = Runner.from_cfg(shrink(SEGMENTOR, plain, tmp_path / 'a', options))
    runner.train()
    assert_partly_kept(runner.model.backbone, weights)

    options['load_from'] = str(tmp_path / 'a/iter_4.pth')
    runner = Runner.from_cfg(shrink(DOOD, tiny, tmp_path / 'b', options))
    runner.train()
    assert_partly_kept(runner.model.backbone, weights)
    metrics = runner.test()
    for name in ('energy', 'diffusion', 'compound'):
        assert 0 <= metrics[f'ood/near/{name}/AUROC'] <= 1
