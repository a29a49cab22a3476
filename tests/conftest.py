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


LEFT_OUT = pytest.StashKey[int]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--full", action="store_true", help="run the tests marked `full` too: the whole of every sweep")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the tests marked `full`, unless --full, a marker expression or a test's own name asks for them."""
    named = any("::" in argument for argument in config.args)
    if config.getoption("--full") or named or "full" in config.getoption("markexpr"):
        return
    out = [item for item in items if item.get_closest_marker("full")]
    if out:
        items[:] = [item for item in items if not item.get_closest_marker("full")]
        config.stash[LEFT_OUT] = len(out)
        config.hook.pytest_deselected(items=out)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if count := config.stash.get(LEFT_OUT, 0):
        terminalreporter.write_line(f"{count} long tests (marked `full`) were left out: `make test-full` or --full")
