"""Figures as the functions that draw leave them."""

import matplotlib.figure
import pytest


@pytest.fixture
def figures(monkeypatch):
    """The figures that are made, for a look at what they hold."""
    made = []

    class Recorded(matplotlib.figure.Figure):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            made.append(self)

    monkeypatch.setattr(matplotlib.figure, 'Figure', Recorded)
    return made
