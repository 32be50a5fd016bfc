"""What serves here of the tables in tools/analysis_tools."""

from __future__ import annotations

import sys
from pathlib import Path

TOOLS = Path(__file__).resolve().parents[2] / 'tools'
sys.path.append(str(TOOLS / 'analysis_tools'))

from ood_table import read_metrics, spread  # noqa: E402
from table_formats import STYLES, Spread, cell  # noqa: E402
from table_jobs import run_all  # noqa: E402
from table_spec import (  # noqa: E402
    SEED,
    SEEDS,
    Row,
    Table,
    flatten,
    is_spec,
    load_table,
    read,
)

__all__ = [
    'SEED',
    'SEEDS',
    'STYLES',
    'TOOLS',
    'Row',
    'Spread',
    'Table',
    'cell',
    'flatten',
    'is_spec',
    'load_table',
    'read',
    'read_metrics',
    'run_all',
    'spread',
]
