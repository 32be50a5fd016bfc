"""Three habits of mmengine that cost more than a tiny training, made quick.

Each ``mmdet::`` base of a config reads every metafile of mmdet, each dump of
a config is formatted, and each dataset collects the garbage of all that was
ever imported.
"""

import gc
from functools import cache

import mmengine.config.config
import mmengine.config.utils


def read_and_format_less() -> None:
    utils, config = mmengine.config.utils, mmengine.config.config
    utils.load = cache(utils.load)
    config.FormatCode = lambda text, **_: (text, True)


def collect_less() -> None:
    """Called when all is imported."""
    gc.collect()
    gc.freeze()
