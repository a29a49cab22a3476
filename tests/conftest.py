"""Shared by all tests: offline, quiet, no telemetry; and where real data lies, if it does."""

import gc
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

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


frozen_modules = 0


@pytest.fixture(scope="module", autouse=True)
def the_collector_leaves_libraries_alone() -> None:
    """Freeze what many modules, newly imported, hold: a training run collects garbage often, and walks all of it.

    So again after an engine of vLLM has ended, which thaws everything.
    """
    global frozen_modules
    if len(sys.modules) > frozen_modules + 100 or not gc.get_freeze_count():
        frozen_modules = len(sys.modules)
        gc.collect()
        gc.freeze()


LEFT_OUT = pytest.StashKey[int]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--full", action="store_true", help="run the tests marked `full` too: the whole of every sweep")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    leave_out_full(config, items)
    if os.environ.get("PYTEST_XDIST_WORKER"):
        longest_first(items)


def leave_out_full(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the tests marked `full`, unless --full, a marker expression or a test's own name asks for them."""
    named = any("::" in argument for argument in config.args)
    if config.getoption("--full") or named or "full" in config.getoption("markexpr"):
        return
    out = [item for item in items if item.get_closest_marker("full")]
    if out:
        items[:] = [item for item in items if not item.get_closest_marker("full")]
        config.stash[LEFT_OUT] = len(out)
        config.hook.pytest_deselected(items=out)


def longest_first(items: list[pytest.Item]) -> None:
    """Sort the files by how many of their tests are slow, so that processes side by side end at about the same time."""
    slow: dict[Path, int] = {}
    for item in items:
        slow[item.path] = slow.get(item.path, 0) + bool(item.get_closest_marker("slow"))
    items.sort(key=lambda item: -slow[item.path])


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Return how many processes `-n auto` starts: one per core that this process may use, at most 8."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores, 8)


LINES_KEPT = 60


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Keep the last lines of what a failing test printed: a training run prints thousands."""
    report = yield
    report.sections = [(title, last_lines(text)) for title, text in report.sections]
    return report


def last_lines(text: str) -> str:
    """Return the last LINES_KEPT lines of a text, and say how many others there were."""
    lines = text.splitlines()
    left_out = len(lines) - LINES_KEPT
    return text if left_out <= 0 else "\n".join([f"[{left_out} lines left out]", *lines[-LINES_KEPT:]])


def pytest_sessionfinish(session: pytest.Session) -> None:
    gc.unfreeze()  # libraries that look at what is left of them at the end would find it all
    if hasattr(session.config, "workeroutput"):  # in one of the processes side by side
        session.config.workeroutput["left out"] = session.config.stash.get(LEFT_OUT, 0)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    node.config.stash[LEFT_OUT] = getattr(node, "workeroutput", {}).get("left out", 0)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if count := config.stash.get(LEFT_OUT, 0):
        terminalreporter.write_line(f"{count} long tests (marked `full`) were left out: `make test-full` or --full")
