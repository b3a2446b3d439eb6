"""For all tests: which build they run on is asserted, not assumed."""

import os
import sys
from pathlib import Path

import pytest
from hypothesis import settings

from broker.version import is_compiled

# For `examples`. At the end, so that what is installed comes first where the compiled build is tested.
sys.path.append(str(Path(__file__).parents[1]))

# The same examples at each run, unless EXPLORE=1 asks for new ones. No deadline: a busy machine is no failure.
settings.register_profile("here", deadline=None, derandomize=os.environ.get("EXPLORE") != "1", print_blob=True)
settings.load_profile("here")


def pytest_report_header() -> str:
    import broker

    return f"broker: {'compiled' if is_compiled() else 'pure Python'}, {os.path.dirname(broker.__file__)}"


def pytest_configure(config: pytest.Config) -> None:
    wanted = os.environ.get("MILLSTREAM_BUILD", "")
    if wanted and (wanted == "compiled") != is_compiled():
        raise pytest.UsageError(f"asked for the {wanted} build, but that is not what was imported")
