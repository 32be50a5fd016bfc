"""A cache of a frozen backbone is spared pictures that never come again."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from mmood.backbones import FrozenBackbone
from mmood.det.datasets import RandomGaussianBlur
from mmood.hooks import CheckCacheHook
from mmood.hooks.check_cache import share_of_new

CNN = dict(
    type='mmdet.MobileNetV2',
    widen_factor=0.25,
    out_indices=(2,),
    norm_cfg=dict(type='BN'),
)
PICTURE = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)


def flips():
    return PICTURE[:, :: 1 if np.random.random() < 0.5 else -1]


def blurs():
    return RandomGaussianBlur().transform(dict(img=PICTURE))['img']


class Drawn:
    """A set of one picture, made anew each time."""

    def __init__(self, make):
        self.make = make

    def __len__(self):
        return 1

    def __getitem__(self, index):
        return dict(inputs=torch.from_numpy(self.make().copy()))


@pytest.fixture(autouse=True)
def seed():
    np.random.seed(0)


def test_the_share_of_new_pictures():
    assert share_of_new(Drawn(flips), 32) == 0
    assert share_of_new(Drawn(lambda: np.random.rand(8, 8, 3)), 32) == 1
    # Half of them are blurred, and as good as each of these is another one.
    assert 0.3 < share_of_new(Drawn(blurs), 200) < 0.6


def test_nothing_is_said_of_what_is_no_picture():
    assert share_of_new([], 32) == 0
    assert share_of_new([dict(inputs=torch.rand(5, 2))], 32) == 0
    assert share_of_new([dict(features=torch.rand(3, 5, 2))], 32) == 0


def runner_of(make, cache, notes):
    backbone = FrozenBackbone(CNN, cache)
    return SimpleNamespace(
        model=nn.ModuleDict(dict(backbone=backbone)),
        train_dataloader=SimpleNamespace(dataset=Drawn(make)),
        logger=SimpleNamespace(warning=notes.append),
    )


def kept(folder):
    return len(list(folder.rglob('*.pt')))


def test_a_training_that_blurs_reads_the_cache_without_filling_it(tmp_path):
    hook, notes = CheckCacheHook(), []
    runner = runner_of(blurs, str(tmp_path), notes)
    backbone = runner.model['backbone']
    pictures = torch.rand(4, 1, 3, 32, 32)
    before = backbone(pictures[0])
    assert kept(tmp_path) == 1
    hook.before_train(runner)
    assert len(notes) == 1 and 'are drawn anew each time' in notes[0]
    hook.before_train_epoch(runner)
    backbone(pictures[1])
    assert kept(tmp_path) == 1
    torch.testing.assert_close(backbone(pictures[0]), before)
    hook.before_val(runner)
    backbone(pictures[2])
    assert kept(tmp_path) == 2
    hook.after_val(runner)
    backbone(pictures[3])
    assert kept(tmp_path) == 2
    hook.after_train(runner)
    backbone(pictures[3])
    assert kept(tmp_path) == 3


def test_a_training_of_flips_fills_the_cache(tmp_path):
    hook, notes = CheckCacheHook(), []
    runner = runner_of(flips, str(tmp_path), notes)
    hook.before_train(runner)
    hook.before_train_epoch(runner)
    runner.model['backbone'](torch.rand(1, 3, 32, 32))
    assert not notes and kept(tmp_path) == 1


def test_without_a_cache_no_picture_is_made():
    def fail():
        raise AssertionError('made')

    CheckCacheHook().before_train(runner_of(fail, None, []))


def test_random_numbers_go_on_as_without_it(tmp_path):
    np.random.seed(3)
    expected = np.random.random()
    np.random.seed(3)
    CheckCacheHook().before_train(runner_of(blurs, str(tmp_path), []))
    assert np.random.random() == expected
