"""Shared by all tests: offline, quiet, no telemetry; and where real data lies, if it does."""

import os
from pathlib import Path

os.environ.update(HF_HUB_OFFLINE="1", HF_HUB_DISABLE_TELEMETRY="1", TOKENIZERS_PARALLELISM="false", NO_COLOR="1")
os.environ.setdefault(
    "OMP_NUM_THREADS", "1"
)  # threads that wait for a busy core make tiny models a hundred times slower
os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")

import pytest


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real data sets that RINGLITE_DATA names; the test is skipped where it is unset."""
    root = os.environ.get("RINGLITE_DATA")
    if not root:
        pytest.skip("RINGLITE_DATA is not set: no real data sets here")
    return Path(root)
