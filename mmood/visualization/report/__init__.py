"""A page on what tests found: curves, a movable threshold, pictures."""

from .page import NoPlotlyError, build_report
from .runs import NoTestError

__all__ = ['NoPlotlyError', 'NoTestError', 'build_report']
