"""Trainings and tests over seeds: planned, run, resumed and printed."""
