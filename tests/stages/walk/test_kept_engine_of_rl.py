"""RL goes on with the run's vLLM engine: fewer starts, and each stage draws as when it runs alone."""

from pathlib import Path
from typing import Any

import pytest
from kept_engines import AFTER, BEFORE, drawn, engines_counted, recipe_in, said_of_engines, walk

from ringlite_cli.engine import fault_of, vllm_version
from ringlite_cli.runs.files import read_jsonl
from ringlite_cli.sampling import keeping

FAULT = fault_of(vllm_version())
pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(FAULT), reason=f"{FAULT}; `make setup-vllm` installs it")]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """A run that has done what comes before the first engine, and its recipe."""
    folder = tmp_path_factory.mktemp("prepared")
    recipe = recipe_in(folder)
    walk(recipe, folder / "run", BEFORE)
    return folder / "run", recipe


def test_stages_share_an_engine_with_rl_and_each_draws_as_alone(prepared: tuple[Path, Any]) -> None:
    """RL asks for more responses at a time than select: it starts the second engine, which then stays to the end."""
    run, recipe = prepared
    with engines_counted() as starts:
        walk(recipe, run, AFTER)
        assert len(starts) == 2, said_of_engines(run)
        assert keeping._of_run is None
        together = {name: drawn(run / name) for name in AFTER}
        rows = [row for name in ("rl-a", "rl-b") for row in read_jsonl(run / name / "metrics.jsonl")]
        assert [row["step"] for row in rows if "engine_start_seconds" in row] == [1, 1]
        assert all(row["engine_drift"] < 1e-5 and row["grad_norm"] > 0 for row in rows)
        for name in AFTER:
            walk(recipe, run, [name])
            assert drawn(run / name) == together[name], name
        assert len(starts) == 6, "a stage that runs by itself has an engine of its own"
