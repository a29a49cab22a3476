"""Measuring policies: metrics with intervals, tasks, evaluation, the choice of the SFT checkpoint, comparing runs."""
