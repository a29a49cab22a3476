"""Tokens of RL over tokens of SFT, over all runs of a project."""

from pathlib import Path

import pytest

from ringlite_cli.evals.account import token_efficiency
from ringlite_cli.runs.files import write_json
from ringlite_cli.runs.manifest import Manifest


def write_stage(folder: Path, kind: str, trained: int = 0, *, status: str = "done", started: str = "1") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    made = Manifest(folder.name, kind, status, fingerprint="x", seed=1, recipe={}, parent=[], started=started)
    made.tokens = {"trained": trained}
    made.write(folder)


def write_run(folder: Path, rl: list[int], *, pick: bool, status: str = "done") -> None:
    for name, kind, tokens in [("sft", "sft", 1000), *((f"rl-{i}", "rl", n) for i, n in enumerate(rl))]:
        write_stage(folder / name, kind, tokens, status=status)
    write_json(folder / "recipe.json", {})
    if pick:
        write_stage(folder / "select", "select")
        write_json(folder / "select" / "decision.json", {"picked": "c2"})
        rows = [{"name": f"c{i}", "sft_tokens": 100 * i, "epoch": i / 2, "entropy": 0.4} for i in (1, 2, 3)]
        write_json(folder / "select" / "candidates.json", rows)
        write_stage(folder / "eval", "eval")
        scores = {"base": [0.1, 0.1], "select": [0.2, 0.4], "rl-1": [0.5, 0.7]}
        tasks = {name: {t: {"avg@k": v} for t, v in zip("ab", of, strict=True)} for name, of in scores.items()}
        write_json(folder / "eval" / "scores.json", tasks)


def test_a_row_per_run_counts_sft_up_to_the_pick_and_all_of_rl(tmp_path: Path) -> None:
    write_run(tmp_path / "one", [300, 100], pick=True)
    write_run(tmp_path / "trial" / "arm" / "seed-1", [500], pick=False)
    write_run(tmp_path / "no-rl", [], pick=True)
    write_run(tmp_path / "unfinished", [300], pick=False, status="running")
    one, arm = token_efficiency(tmp_path)
    assert (one["run"], one["sft_tokens"], one["rl_tokens"], one["efficiency"]) == ("one", 200, 400, 2.0)
    assert (one["picked"], one["epoch"], one["entropy"], one["policy"]) == ("c2", 1.0, 0.4, "rl-1")
    assert (one["start"], one["final"], one["gain"]) == (pytest.approx(0.3), pytest.approx(0.6), pytest.approx(0.3))
    assert (arm["run"], arm["efficiency"], arm["picked"], arm["final"]) == ("trial/arm/seed-1", 0.5, None, None)
    assert one["tasks"] == ["a", "b"]
    assert token_efficiency(tmp_path / "absent") == []


def test_the_start_may_be_scored_by_an_eval_stage_of_its_own(tmp_path: Path) -> None:
    """As in the recipe `lab`, whose `before` scores the pick alone; the tasks are those that both have."""
    write_run(tmp_path / "one", [300, 100], pick=True)
    scores = {"rl-0": {"a": {"avg@k": 0.5}}, "rl-1": {"a": {"avg@k": 0.9}, "new": {"avg@k": 0.0}}}
    write_json(tmp_path / "one" / "eval" / "scores.json", scores)
    write_stage(tmp_path / "one" / "before", "eval", started="0")
    before = {"select": {"a": {"avg@k": 0.2}, "old": {"avg@k": 1.0}}}
    write_json(tmp_path / "one" / "before" / "scores.json", before)
    (one,) = token_efficiency(tmp_path)
    assert (one["policy"], one["tasks"]) == ("rl-1", ["a"])
    assert (one["start"], one["final"], one["gain"]) == (0.2, 0.9, pytest.approx(0.7))


def test_a_damaged_run_beside_does_not_fail_the_account(tmp_path: Path) -> None:
    write_run(tmp_path / "good", [300, 100], pick=True)
    for name, file in (("torn", "select/decision.json"), ("odd", "eval/scores.json")):
        write_run(tmp_path / name, [300, 100], pick=True)
        (tmp_path / name / file).write_text('{"picked":' if name == "torn" else '{"rl-1": {"a": {}}}')
    assert [row["run"] for row in token_efficiency(tmp_path)] == ["good"]


def test_sft_after_rl_is_none_of_what_rl_started_from(tmp_path: Path) -> None:
    write_run(tmp_path / "one", [300], pick=False)
    write_stage(tmp_path / "one" / "general-sft", "sft", 5000)
    last = tmp_path / "one" / "general-sft" / "manifest.json"
    last.write_text(last.read_text().replace('"parent": []', '"parent": ["curate", "rl-0"]'))
    (one,) = token_efficiency(tmp_path)
    assert (one["sft_tokens"], one["efficiency"], one["policy"]) == (1000, 0.3, None)
