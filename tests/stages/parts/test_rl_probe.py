"""The RL probe of select: real short RL runs from tiny candidates, kept when done, and what they tell of entropy."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from policies import write_tiny_policy

from ringlite_cli.console import Console
from ringlite_cli.errors import RecipeErrors, UserError
from ringlite_cli.evals import probe
from ringlite_cli.evals.measure import select_checkpoint
from ringlite_cli.evals.pick import Candidate, Decision
from ringlite_cli.problems import Problem, Verdict, write_problems
from ringlite_cli.recipe.load import load_recipe
from ringlite_cli.runs.files import read_json, read_jsonl
from ringlite_cli.runs.manifest import Manifest
from ringlite_cli.sampling.score import sampled_entropy
from ringlite_cli.sampling.transformers_sampler import TransformersSampler
from ringlite_cli.stages.base import Context
from ringlite_cli.stages.commands.check import load_checked
from ringlite_cli.stages.kinds.select import STAGE, explain_text
from ringlite_cli.stages.parts.rl_probe import check_alone, run_probes

PROBE = (
    "stages.select.rl_probe={data: curate.math, steps: 1, prompts_per_step: 2, token_budget: 32, row_tokens: 64, "
    "trl: {num_generations: 2, learning_rate: 1e-3, entropy_coef: 0.1}}"
)
PROBLEMS = [Problem(f"q{i}", "math", f"{i} + 1?", str(i + 1)) for i in range(3)]


def verify(pairs: Sequence[tuple[Problem, str]]) -> list[Verdict]:
    """Right is a response of even length: a random policy gets some right and some wrong."""
    return [Verdict("correct" if len(text) % 2 == 0 else "wrong", float(len(text) % 2 == 0)) for _, text in pairs]


def row(name: str, entropy: float, gain: float, *, pass_1: float = 0.2, trained: int = 1000) -> dict:
    return {
        "name": name, "entropy": entropy, "pass@1": pass_1, "pass@1_after": pass_1 + gain, "gain": gain,
        "ci95": [gain - 0.1, gain + 0.1], "tokens_trained": trained, "gain_per_mtoken": 1e6 * gain / trained,
        "error": None,
    }  # fmt: skip


def test_the_order_of_gains_is_held_against_what_was_known_before() -> None:
    """Gains fall with entropy's distance to the band and not with pass@1; the pick lost half of the best's gain."""
    decision = Decision("b", "b", "band", (0.3, 0.5), ["a", "b"], "")
    rows = [row("a", 0.4, 0.2, pass_1=0.1), row("b", 0.5, 0.1, pass_1=0.3), row("c", 1.0, 0.0, pass_1=0.4),
            probe.failed_row(Candidate("d", "d", entropy=0.1, pass_1=0.9), "it broke")]  # fmt: skip
    found = probe.summarise(rows, decision, 8)
    assert (found["best"], found["picked"], found["n"]) == ("a", "b", 3)
    assert found["lost"] == pytest.approx(100)
    assert found["rank_correlation"]["entropy"] == pytest.approx(-1)
    assert found["rank_correlation"]["pass@1"] == pytest.approx(-1)
    assert found["rank_correlation"]["nearness to the band"] == pytest.approx(0.866, abs=1e-3)
    assert "| d | | | | not probed: it broke" in probe.as_text(found)
    assert "gained 10,000.0 points per million less" in probe.words(found)
    few = probe.summarise(rows[:2], decision, 8)
    assert few["rank_correlation"]["entropy"] is None
    assert "too few to say" in probe.words(few)
    assert probe.words(probe.summarise(rows[3:], decision, 8)) == "No candidate could be probed."


def test_a_probe_stands_in_the_recipe_and_its_faults_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = load_recipe("toy", [PROBE])
    assert STAGE.more_code(recipe.stages["select"])[0] == "train"
    assert STAGE.more_code(load_recipe("toy").stages["select"]) == ()
    with pytest.raises(RecipeErrors, match=r"select.rl_probe.data: 'curate' makes no set 'maths'; did you mean 'math'"):
        load_recipe("toy", [PROBE.replace("curate.math", "curate.maths")])
    with pytest.raises(RecipeErrors, match=r"rl_probe.trl: 'learning_rat' is not a GRPOConfig field"):
        load_recipe("toy", [PROBE.replace("learning_rate", "learning_rat")])
    with pytest.raises(RecipeErrors, match=r"'max_steps' is rl_probe.steps here"):
        load_recipe("toy", [PROBE.replace("learning_rate: 1e-3", "max_steps: 3")])
    with pytest.raises(
        RecipeErrors, match=r"stages.select.rl_probe.token_budget: a budget of 4096 tokens can never be"
    ):
        load_checked("toy", [PROBE.replace("token_budget: 32", "token_budget: 4096")])
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UserError, match="the probe trains in one process"):
        check_alone(recipe.stages["select"])


@pytest.mark.slow
def test_every_candidate_is_probed_once_and_a_broken_one_loses_no_other(tmp_path: Path) -> None:
    recipe = load_recipe("toy", [PROBE, "model.dtype=float32"])
    run = tmp_path / "run"
    sets = {name: run / "curate" / f"{name}.parquet" for name in ("select", "math")}
    for file in sets.values():
        file.parent.mkdir(parents=True, exist_ok=True)
        write_problems(file, PROBLEMS)
    outputs = {name: {"path": file.relative_to(run).as_posix(), "digest": "x"} for name, file in sets.items()}
    Manifest("curate", "curate", "done", "f", 1, {}, [], outputs=outputs).write(run / "curate")
    names = ["early", "late", "broken"]
    for seed, name in enumerate(names):
        write_tiny_policy(run / "sft" / name, seed=seed, scale=0.3)
    options = {"k": 2, "max_completion_length": 10, "entropy_of": sampled_entropy, "seed": 17, "prompt_suffix": {}}
    folder = run / "select"
    select_checkpoint(
        [{"name": name, "path": name, "step": i} for i, name in enumerate(names)],
        run / "sft", PROBLEMS,
        lambda path, settings: TransformersSampler(path, settings=settings, device="cpu"),
        verify, folder, entropy_band=(1.0, 5.0), **options,
    )  # fmt: skip
    (run / "sft" / "broken" / "model.safetensors").write_bytes(b"half")
    context = Context(recipe, "select", run, Console())
    summary = run_probes(context, verify, options)

    early, late, broken = summary["candidates"]
    assert early["error"] is None
    assert broken["gain"] is None
    assert broken["error"]
    rewards = {}
    for where, file in (
        ("before", folder / "responses.jsonl"),
        ("after", folder / "probe/early/after/responses.jsonl"),
    ):
        mine = [r["reward"] for r in read_jsonl(file) if r["policy"] == "early"]
        assert len(mine) == 6
        rewards[where] = sum(mine) / 6
    assert early["gain"] == pytest.approx(rewards["after"] - rewards["before"])
    assert early["tokens_trained"] == sum(r["tokens_trained"] for r in read_jsonl(folder / "probe/early/metrics.jsonl"))
    assert 0 < early["tokens_trained"] <= 32
    assert early["entropy_after"] != early["entropy"], "the policy has moved"
    assert not (folder / "probe" / "early" / "policy").exists()
    assert late["error"] is None
    assert "RL probe: 1 steps" in (folder / "table.md").read_text()
    assert (folder / "probe.svg").read_text().count("early") == 1
    assert "RL probe: Per token" in explain_text(folder)

    stamp = (folder / "probe/early/metrics.jsonl").stat().st_mtime_ns
    (folder / "probe/late/result.json").write_text(json.dumps({**late, "gain": 0.5}))
    again = run_probes(context, verify, options)
    assert (folder / "probe/early/metrics.jsonl").stat().st_mtime_ns == stamp, "what is done is not done again"
    assert [r["gain"] for r in again["candidates"]] == [early["gain"], 0.5, None]
    assert read_json(folder / "probe.json") == again
