"""Hypothesis draws the same examples every time, so that a red test stays red."""

import os
import shutil

import pytest
from hypothesis import settings

settings.register_profile("limbeck", derandomize=True, deadline=None, max_examples=60, database=None)
settings.load_profile("limbeck")


@pytest.fixture(scope="session")
def chromium_path():
    """A real Chromium on the PATH; without one the test is skipped, or fails where CI demands it."""
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None:
        if os.environ.get("LIMBECK_REQUIRE_BROWSER") == "1":
            pytest.fail("LIMBECK_REQUIRE_BROWSER=1 and no Chromium on the PATH.")
        pytest.skip("no Chromium on the PATH")
    return found
