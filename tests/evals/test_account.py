"""Tokens of RL over tokens of SFT, over all runs of a project."""

from pathlib import Path

import pytest

from ringlite_cli.evals.account import token_efficiency
from ringlite_cli.runs.files import write_json
from ringlite_cli.runs.manifest import Manifest


def write_run(folder: Path, rl: list[int], *, pick: bool, status: str = "done") -> None:
    for name, kind, tokens in [("sft", "sft", 1000), *((f"rl-{i}", "rl", n) for i, n in enumerate(rl))]:
        (folder / name).mkdir(parents=True)
        made = Manifest(stage=name, kind=kind, status=status, fingerprint="x", seed=1, recipe={}, parent=[], inputs={})
        made.tokens = {"trained": tokens}
        made.write(folder / name)
    write_json(folder / "recipe.json", {})
    if pick:
        (folder / "select").mkdir()
        write_json(folder / "select" / "decision.json", {"picked": "c2"})
        rows = [{"name": f"c{i}", "sft_tokens": 100 * i, "epoch": i / 2, "entropy": 0.4} for i in (1, 2, 3)]
        write_json(folder / "select" / "candidates.json", rows)
        (folder / "eval").mkdir()
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
    assert token_efficiency(tmp_path / "absent") == []
