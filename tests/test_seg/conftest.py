"""mmseg's scope for all tests of segmentation, and what is logged."""

import pytest
from mmengine.logging import MMLogger
from mmengine.registry import DefaultScope


@pytest.fixture(autouse=True)
def _mmseg_scope(_scope_and_seed):
    with DefaultScope.overwrite_default_scope('mmseg'):
        yield


@pytest.fixture
def log(monkeypatch):
    """What is logged, by level."""
    lines = dict(info=[], warning=[])
    logger = MMLogger.get_current_instance()
    for level, messages in lines.items():
        monkeypatch.setattr(logger, level, messages.append)
    return lines
