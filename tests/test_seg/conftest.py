"""mmseg's scope for all tests of segmentation."""

import pytest
from mmengine.registry import DefaultScope


@pytest.fixture(autouse=True)
def _mmseg_scope(_scope_and_seed):
    with DefaultScope.overwrite_default_scope('mmseg'):
        yield
