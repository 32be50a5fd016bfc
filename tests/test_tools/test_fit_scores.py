"""tools/fit_scores.py on configs that leave things out."""

from types import SimpleNamespace

import pytest
import torch
from mmengine.config import Config
from torch import nn

import mmood.launch
from helpers import run_here
from mmood.scores import ScoreSet


def test_a_config_without_the_hook(monkeypatch, tmp_path):
    """The hook is not needed, images to fit on are."""
    model, seen, loop = nn.Linear(1, 1), [], object()
    model.scores = ScoreSet(['knn'], num_classes=2, channels=2)

    def build_runner(cfg):
        seen.append(cfg)
        return SimpleNamespace(hooks=[], model=model, cfg=cfg, val_loop=loop)

    monkeypatch.setattr(mmood.launch, 'build_runner', build_runner)
    Config(dict(resume=True, load_from='a.pth')).dump(tmp_path / 'config.py')
    torch.save(dict(state_dict=model.state_dict()), tmp_path / 'c.pth')
    rest = (tmp_path / 'config.py', tmp_path / 'c.pth')
    with pytest.raises(SystemExit, match='or fit_dataloader in the config'):
        run_here(monkeypatch, 'fit_scores', *rest)
    loop = None
    with pytest.raises(SystemExit, match='error: .* set val_dataloader, '):
        run_here(monkeypatch, 'fit_scores', *rest)
    assert (seen[0].load_from, seen[0].resume) == (None, False)
