"""Hypothesis draws the same examples every time, so that a red test stays red."""

from hypothesis import settings

settings.register_profile("limbeck", derandomize=True, deadline=None, max_examples=60, database=None)
settings.load_profile("limbeck")
