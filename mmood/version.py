"""The version of mmood, read by setup.cfg without importing torch."""

__version__ = '0.2.0'
