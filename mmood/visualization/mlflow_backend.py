"""MLflow as a backend of MMEngine's visualizers."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from mmengine.config import Config
from mmengine.visualization import MLflowVisBackend

from mmood.registry import VISBACKENDS


@VISBACKENDS.register_module()
class MLflowBackend(MLflowVisBackend):
    """MMEngine's backend, with the arguments that it has, for MLflow >= 2.11.

    MMEngine's writes to a plain folder, which MLflow 3 refuses, sends the
    whole config as parameters, of which MLflow takes a hundred, and pictures
    by names that have no suffix. This one

    - writes where MLflow does by itself, unless ``tracking_uri`` is given:
      to the address in the environment's ``MLFLOW_TRACKING_URI``, or to a
      database in the working directory;
    - keeps the config as the file ``config.py``, and has only those of its
      keys as parameters that ``tracked_config_keys`` lists;
    - gives each picture its step, so that a run's page shows how it changes.
    """

    _tracking_uri: str | None
    _tracked_config_keys: Sequence[str] | None

    def _init_env(self) -> None:
        try:
            import mlflow
        except ImportError as error:
            raise ImportError(
                'MLflowBackend needs the package mlflow: pip install '
                '"mmood[mlflow]"'
            ) from error
        self._tracking_uri = self._tracking_uri or mlflow.get_tracking_uri()
        super()._init_env()

    def add_config(self, config: Config, **kwargs) -> None:
        self._tracked_config_keys = self._tracked_config_keys or ()
        super().add_config(config, **kwargs)

    def add_image(
        self, name: str, image: np.ndarray, step: int = 0, **kwargs
    ) -> None:
        """Log an RGB picture (H, W, 3) under a name that MLflow takes."""
        key = re.sub(r'[^a-zA-Z0-9_\-./ ]', '_', name)
        self.experiment.log_image(image, key=key, step=step)
