"""RL goes on with the run's vLLM engine: fewer starts, and each stage draws as when it runs alone."""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from kept_engines import AFTER, BEFORE, drawn, engines_counted, recipe_in, said_of_engines, walk

from ringlite_cli.engine import fault_of, vllm_version
from ringlite_cli.errors import Interrupted
from ringlite_cli.runs.files import read_jsonl
from ringlite_cli.sampling import keeping
from ringlite_cli.sampling.vllm_engines import Engines
from ringlite_cli.stages.kinds import rl
from ringlite_cli.stages.walk import pipeline

FAULT = fault_of(vllm_version())
pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(FAULT), reason=f"{FAULT}; `make setup-vllm` installs it")]
Whole = tuple[Path, Any, dict[str, list[Any]]]


def _noting(plain: Callable[..., Any], seen: list[dict[str, Any]]) -> Callable[..., Any]:
    def noting(engines: Any, *args: Any) -> Any:
        seen.append(dict(args[-1]))
        return plain(engines, *args)

    return noting


@pytest.fixture(scope="module")
def asked() -> Iterator[dict[str, list[dict[str, Any]]]]:
    """What RL's stages asked the run's engine for: before their trainers were made, and with them."""
    calls: dict[str, list[dict[str, Any]]] = {"make_room": [], "take": []}
    with pytest.MonkeyPatch.context() as patch:
        for name, seen in calls.items():
            patch.setattr(Engines, name, _noting(getattr(Engines, name), seen))
        yield calls


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, asked: dict[str, list[dict[str, Any]]]) -> Whole:
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


def test_an_engine_that_does_not_fit_ends_before_the_trainer_is_there(
    whole: Whole, asked: dict[str, list[dict[str, Any]]]
) -> None:
    """What is asked for is known without a trainer, which needs the memory: TRL then gives just these arguments."""
    assert len(asked["take"]) >= 2
    for before, with_trainer in zip(asked["make_room"], asked["take"], strict=True):
        of_trl = {"model", "quantization", "distributed_executor_backend"}
        assert before == {name: value for name, value in with_trainer.items() if name not in of_trl}


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
    tell, free = rl._tell, pipeline.give_back
    steps: list[int] = []
    left: list[int] = []

    def count() -> None:
        """What stages leave, as each has ended."""
        free()
        left.append(len(engines.living))

    def stop(bar: Any, total: int, verify: Any, row: Any) -> None:
        tell(bar, total, verify, row)
        steps.append(row["step"])
        if len(steps) == 4:  # the first of the second stage; it stops behind the next
            os.kill(os.getpid(), signal.SIGINT)

    with engines_counted() as engines:
        monkeypatch.setattr(rl, "_tell", stop)
        monkeypatch.setattr(pipeline, "give_back", count)
        with pytest.raises(Interrupted):
            walk(recipe, run, ["rl-a", "rl-b"])
        assert left == [1, 0]
        assert steps == [1, 2, 3, 1, 2]
        assert len(engines.started) == 1
        monkeypatch.undo()
        walk(recipe, run, ["rl-b"], fresh=False)
        assert len(engines.started) == 2
    assert drawn(run / "rl-a") == together["rl-a"]
    assert drawn(run / "rl-b") == together["rl-b"]
