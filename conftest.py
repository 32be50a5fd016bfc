"""Fixtures for tests/ and projects/*/tests/, from tests/shared_fixtures."""

import sys
from pathlib import Path

# `projects.*`, as configs import it; last, so that mmood is the one
# installed.
sys.path.append(str(Path(__file__).parent))
pytest_plugins = ['shared_fixtures', 'timm_fixture']
