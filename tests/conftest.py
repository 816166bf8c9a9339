"""Fixtures that several files of tests share."""

import pytest

from tests.planted_map import map_planted
from tests.running import Script, run_script
from tvlens.results import LocalityMap


@pytest.fixture
def script() -> Script:
    """Run a script as `python analyses/NAME ARGUMENTS` does, but in this process."""
    return run_script


@pytest.fixture(scope="session")
def planted_map() -> LocalityMap:
    """The locality map of a planted model."""
    return map_planted()
