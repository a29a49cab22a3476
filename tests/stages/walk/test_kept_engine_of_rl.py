"""RL goes on with the run's vLLM engine: fewer starts, and each stage draws as when it runs alone."""

import gc
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from kept_engines import AFTER, BEFORE, drawn, engines_counted, recipe_in, said_of_engines, walk

from ringlite_cli.engine import fault_of, vllm_version
from ringlite_cli.errors import Interrupted
from ringlite_cli.runs.files import read_jsonl
from ringlite_cli.sampling import keeping
from ringlite_cli.stages.kinds import rl

FAULT = fault_of(vllm_version())
pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(FAULT), reason=f"{FAULT}; `make setup-vllm` installs it")]
Whole = tuple[Path, Any, dict[str, list[Any]]]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Whole:
    """A run, its recipe, and what its stages drew when they followed each other.

    RL asks for more responses at a time than select: it starts the second engine, which then stays to the end.
    """
    folder = tmp_path_factory.mktemp("whole")
    recipe, run = recipe_in(folder), folder / "run"
    walk(recipe, run, BEFORE)
    with engines_counted() as engines:
        walk(recipe, run, AFTER)
        assert len(engines.started) == 2, said_of_engines(run)
        assert not engines.living
    assert keeping._of_run is None
    return run, recipe, {name: drawn(run / name) for name in AFTER}


def test_each_stage_draws_as_alone(whole: Whole) -> None:
    run, recipe, together = whole
    with engines_counted() as engines:
        for name in AFTER:
            walk(recipe, run, [name])
            assert drawn(run / name) == together[name], name
    assert len(engines.started) == 4, "a stage that runs by itself has an engine of its own"


def test_each_stage_tells_how_long_it_waited_and_checks_the_weights(whole: Whole) -> None:
    run, _, _ = whole
    rows = [row for name in ("rl-a", "rl-b") for row in read_jsonl(run / name / "metrics.jsonl")]
    assert [row["step"] for row in rows if "engine_start_seconds" in row] == [1, 1]
    assert all(row["engine_drift"] < 1e-5 for row in rows)
    assert all(row["grad_norm"] > 0 for row in rows), "else nothing is shown"


def test_a_stage_that_is_stopped_leaves_no_engine_and_goes_on_as_if_undisturbed(
    whole: Whole, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It began with the engine of the stage before, and goes on with one of its own."""
    run, recipe, together = whole
    tell = rl._tell
    steps: list[int] = []

    def stop(bar: Any, total: int, verify: Any, row: Any) -> None:
        tell(bar, total, verify, row)
        steps.append(row["step"])
        if len(steps) == 3:  # the first of the second stage
            os.kill(os.getpid(), signal.SIGINT)

    with engines_counted() as engines:
        monkeypatch.setattr(rl, "_tell", stop)
        with pytest.raises(Interrupted):
            walk(recipe, run, ["rl-a", "rl-b"])
        gc.collect()
        assert steps == [1, 2, 1]
        assert len(engines.started) == 1
        assert not engines.living
        monkeypatch.undo()
        walk(recipe, run, ["rl-b"], fresh=False)
        assert len(engines.started) == 2
    assert drawn(run / "rl-a") == together["rl-a"]
    assert drawn(run / "rl-b") == together["rl-b"]
