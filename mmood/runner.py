"""MMEngine's runner for configs that have to be resolved first."""

from __future__ import annotations

from mmengine.config import Config
from mmengine.runner import Runner

from mmood.recipe import resolve
from mmood.registry import RUNNERS


@RUNNERS.register_module()
class OODRunner(Runner):
    """Stock runner of what `mmood.recipe.resolve` makes of a config.

    ``runner_type = 'mmood.OODRunner'`` in a config has the training tools of
    MMDetection and MMSegmentation take it.
    """

    @classmethod
    def from_cfg(cls, cfg: Config) -> OODRunner:
        return super().from_cfg(resolve(cfg))
