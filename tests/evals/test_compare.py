"""Two run folders side by side."""

import json
from pathlib import Path

import pytest

from ringlite_cli.__main__ import run as run_cli
from ringlite_cli.errors import UserError
from ringlite_cli.evals.compare import compare, is_worse
from ringlite_cli.evals.compare_text import as_tables, as_text


def write_run(folder: Path, rewards: dict[str, list[float]], *, budget: int = 512, policy: str = "rl-math") -> Path:
    """A run with an eval stage (policy on "math": problem -> rewards), an RL stage's manifest, and a selection."""
    for stage in ("eval", "rl-math", "select"):
        (folder / stage).mkdir(parents=True)
    rows = [
        {"policy": policy, "task": "math", "id": name, "sample": i, "reward": r}
        for name, group in rewards.items()
        for i, r in enumerate(group)
    ]
    (folder / "eval" / "responses.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "select" / "responses.jsonl").write_text(json.dumps(rows[0] | {"policy": "checkpoint-1"}) + "\n")
    (folder / "select" / "decision.json").write_text("{}")
    manifest = {
        "stage": "rl-math",
        "kind": "rl",
        "seconds": 60.0,
        "tokens": {"trained": 10 * budget},
        "recipe": {"kind": "rl", "token_budget": budget, "trl": {"beta": 0.001}},
    }
    (folder / "rl-math" / "manifest.json").write_text(json.dumps(manifest))
    steps = [{"step": step, "entropy": budget * step / 1000} for step in range(1, 21)]
    (folder / "rl-math" / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in steps))
    return folder


def means(count: int, shift: float) -> dict[str, list[float]]:
    """Problems of rising difficulty, each a little better by `shift` (more or less)."""
    return {f"q{i}": [min(1.0, i / count + shift * (0.5 + i % 2))] for i in range(count)}


def test_a_paired_gain_cost_and_recipe_differences(tmp_path: Path) -> None:
    a, b = write_run(tmp_path / "a", means(40, 0.0)), write_run(tmp_path / "b", means(40, 0.05), budget=1024)
    result = compare(a, b)
    (row,) = result["scores"]
    assert (row["policy"], row["task"], row["n"], row["verdict"]) == ("rl-math", "math", 40, "better")
    assert 0 < row["ci95"][0] < row["difference"] < row["ci95"][1]
    assert row["difference"] == pytest.approx(row["b"] - row["a"])
    trained = {"cost": "tokens trained", "unit": "tokens", "a": 5120.0, "b": 10240.0}
    assert {"stage": "rl-math", **trained} in result["cost"]
    assert {"policy": "rl-math", **trained} in result["policies"]
    entropy = {"stage": "rl-math", "metric": "entropy", "unit": "nats per token"}
    assert result["training"] == [entropy | {"a": pytest.approx(9.984), "b": pytest.approx(19.968)}]
    assert result["recipe"] == [{"key": "rl-math.token_budget", "a": 512, "b": 1024}]
    assert not is_worse(result)
    assert is_worse(compare(b, a))
    text = as_text(result)
    assert "| rl-math | math |" in text
    assert "| rl-math | entropy | nats per token | 9.98 | 20.0 |" in text
    assert "| rl-math | time at work |  | 1 min 00 s | 1 min 00 s |" in text
    assert "| rl-math.token_budget | 512 | 1024 |" in text


def test_problems_and_policies_of_one_run_only_are_noted(tmp_path: Path) -> None:
    a, b = write_run(tmp_path / "a", means(10, 0.0)), write_run(tmp_path / "b", means(8, 0.0))
    extra = {"policy": "base", "task": "math", "id": "q0", "sample": 0, "reward": 0.0}
    with (b / "eval" / "responses.jsonl").open("a") as file:
        file.write(json.dumps(extra) + "\n")
    result = compare(a, b)
    assert result["notes"] == [
        "only in b: base on math",
        "rl-math on math: 2 problems are in one run only and are left out",
    ]
    assert result["scores"][0]["n"] == 8


def test_runs_that_share_no_problem_are_compared_unpaired_and_it_is_said(tmp_path: Path) -> None:
    here, there = means(40, 0.0), {f"r{name}": group for name, group in means(40, 0.9).items()}
    result = compare(write_run(tmp_path / "a", here), write_run(tmp_path / "b", there))
    (row,) = result["scores"]
    assert (row["n"], row["paired"], row["verdict"]) == (40, False, "better")
    assert row["difference"] == pytest.approx(row["b"] - row["a"])
    assert row["ci95"][0] < row["difference"] < row["ci95"][1]
    assert result["notes"] == ["rl-math on math: the runs share no problem, so the difference is not paired"]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda p: p / "gone", "no such run folder"),
        (lambda p: (p / "empty").mkdir() or p / "empty", "no evaluated responses in it"),
        (lambda p: write_run(p / "other", means(3, 0.0), policy="base"), "no policy and task in common"),
    ],
)
def test_folders_that_cannot_be_compared(tmp_path: Path, make, message: str) -> None:
    with pytest.raises(UserError, match=message):
        compare(write_run(tmp_path / "a", means(3, 0.0)), make(tmp_path))


def test_wins_and_losses_come_with_the_responses_that_show_them(tmp_path: Path) -> None:
    a = write_run(tmp_path / "a", {"q0": [1.0, 0.0], "q1": [0.0, 0.0], "q2": [1.0, 1.0], "q3": [1.0, 0.0]})
    b = write_run(tmp_path / "b", {"q0": [0.0, 0.0], "q1": [1.0, 1.0], "q2": [1.0, 1.0], "q3": [1.0, 1.0]})
    for run in (a, b):
        file = run / "eval" / "responses.jsonl"
        rows = [json.loads(line) for line in file.read_text().splitlines()]
        for row in rows:
            row |= {"prompt": f"{row['id']}?", "response": f"{run.name} {row['sample']}", "tokens": 10}
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    (row,) = compare(a, b, read=1)["scores"]
    assert (row["wins"], row["losses"], row["tokens_a"], row["tokens_b"]) == (["q1", "q3"], ["q0"], 10.0, 10.0)
    won, lost = row["items"]
    assert (won["id"], won["outcome"], won["a"], won["b"]) == ("q1", "won", 0.0, 1.0)
    assert (lost["id"], lost["prompt"], lost["response_a"], lost["response_b"]) == ("q0", "q0?", "a 0", "b 0")
    text = as_text(compare(a, b, read=1))
    assert "### lost: rl-math on math, q0 (50 % -> 0 %)" in text
    assert "> b 0" in text
    assert compare(a, b)["scores"][0]["items"] == []


def test_policies_of_one_run_are_compared_by_name(tmp_path: Path) -> None:
    run = write_run(tmp_path / "a", means(40, 0.0), policy="select")
    better = [
        {"policy": "rl-math", "task": "math", "id": name, "sample": 0, "reward": group[0]}
        for name, group in means(40, 0.05).items()
    ]
    with (run / "eval" / "responses.jsonl").open("a") as file:
        file.write("".join(json.dumps(row) + "\n" for row in better))
    result = compare(Path(f"{run}:select"), Path(f"{run}:rl-math"))
    (row,) = result["scores"]
    assert (row["policy"], row["verdict"], result["notes"], result["recipe"]) == ("select / rl-math", "better", [], [])
    assert (result["training"], result["cost"]) == ([], [])
    assert [cost["policy"] for cost in result["policies"]] == ["select / rl-math"] * 2
    with pytest.raises(UserError, match=r"no policy 'rl-mixed' in it.*it has select, rl-math"):
        compare(run, Path(f"{run}:rl-mixed"))


def test_the_command_takes_several_runs_and_its_exit_code_says_worse(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good, same, bad = (write_run(tmp_path / n, means(40, s)) for n, s in (("good", 0.05), ("same", 0.05), ("bad", 0.0)))
    assert run_cli(["compare", str(good), str(same), "--fail-if-worse"]) == 0
    assert run_cli(["compare", str(good), str(same), str(bad), "--markdown"]) == 0
    out = capsys.readouterr().out
    assert "Scores (avg@k in percent): same against good" in out
    assert "no difference shown" in out.split("**Scores")[0], "tables, where Markdown is not asked for"
    assert out.count("| policy | task |") == 2
    assert run_cli(["compare", str(good), str(same), str(bad), "--fail-if-worse"]) == 1
    assert f"worse than {good} on a task at least: {bad}" in capsys.readouterr().err
    assert run_cli(["compare", str(good)]) == 2


def test_two_problems_that_got_better_are_no_better_run(tmp_path: Path) -> None:
    a = write_run(tmp_path / "a", {"q0": [0.0], "q1": [0.0]})
    b = write_run(tmp_path / "b", {"q0": [1.0], "q1": [1.0]})
    (row,) = compare(a, b)["scores"]
    assert (row["difference"], row["verdict"]) == (1.0, "no difference shown")
    (same,) = compare(a, a)["scores"]
    assert same["ci95"][0] < 0 < same["ci95"][1]


def test_keys_are_compared_of_stages_that_both_have(tmp_path: Path) -> None:
    a, b = (write_run(tmp_path / name, means(8, 0.0)) for name in ("a", "b"))
    (b / "extra").mkdir()
    manifest = {"stage": "extra", "kind": "rl", "recipe": {"token_budget": 7}, "seconds": 30.0, "parent": ["rl-math"]}
    (b / "extra" / "manifest.json").write_text(json.dumps(manifest))
    result = compare(a, b)
    assert result["recipe"] == []
    assert result["notes"] == ["only b has the stages extra: their keys are not compared"]
    assert {"stage": "extra", "cost": "time at work", "unit": "s", "a": None, "b": 30.0} in result["cost"]


def test_a_policy_costs_what_its_stage_and_those_before_it_took(tmp_path: Path) -> None:
    run = write_run(tmp_path / "a", means(8, 0.0), policy="rl-mixed")
    parents = {"sft": [], "rl-math": ["sft"], "rl-mixed": ["rl-math", "sft"], "aside": ["sft"]}
    for number, (stage, parent) in enumerate(parents.items(), 1):
        (run / stage).mkdir(exist_ok=True)
        manifest = {
            "stage": stage,
            "kind": "rl",
            "parent": parent,
            "seconds": 10.0**number,
            "tokens": {"trained": number},
        }
        (run / stage / "manifest.json").write_text(json.dumps(manifest))
    costs = {row["cost"]: row["a"] for row in compare(run, run)["policies"]}
    assert costs == {"tokens trained": 1 + 2 + 3, "time at work": 10 + 100 + 1000}


def test_tables_for_a_terminal_show_what_strangers_wrote_and_send_none_of_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hostile = "[red]\x1b[31mrl|x"
    a, b = (write_run(tmp_path / name, means(8, 0.0), policy=hostile) for name in ("a", "b"))
    assert run_cli(["compare", str(a), str(b)]) == 0
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "[red]\\x1b[31mrl|x" in out
    assert run_cli(["compare", str(a), str(b), "--markdown"]) == 0
    assert "| [red]\\x1b[31mrl\\|x | math |" in capsys.readouterr().out


def test_tables_fit_a_narrow_terminal_and_name_long_runs_by_letters(tmp_path: Path) -> None:
    from io import StringIO

    from rich.console import Console

    a, b = write_run(tmp_path / "a-run-of-a-long-name", means(40, 0.0)), write_run(tmp_path / "b", means(40, 0.05))
    out = StringIO()
    Console(file=out, width=80).print(*as_tables(compare(a, b)), sep="\n")
    text = out.getvalue()
    assert text.startswith("A: a-run-of-a-long-name\n")
    assert max(map(len, text.splitlines())) <= 80
    assert "48.8   53.6     +4.9   [+4.0, +5.6]   40" in text, "numbers are not broken"


def add_stage(run: Path, stage: str, rewards: dict[str, list[float]], **said: object) -> None:
    """A further stage with responses of rl-math on "math", and a manifest."""
    (run / stage).mkdir()
    rows = [
        {"policy": "rl-math", "task": "math", "id": name, "sample": i, "reward": reward}
        for name, group in rewards.items()
        for i, reward in enumerate(group)
    ]
    (run / stage / "responses.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    manifest = {"stage": stage, "kind": "eval", "status": "done", "fingerprint": "x", "seed": 1, "recipe": {}}
    (run / stage / "manifest.json").write_text(json.dumps({**manifest, "parent": [], **said}))


def test_a_task_of_two_eval_stages_is_compared_stage_by_stage(tmp_path: Path) -> None:
    """They may ask for other lengths: rows of both made one score, which neither stage had."""
    a, b = (write_run(tmp_path / name, {"q0": [0.0], "q1": [0.0]}) for name in "ab")
    add_stage(b, "long", {"q0": [1.0], "q1": [1.0]})
    (row,) = compare(a, b)["scores"]
    assert (row["task"], row["a"], row["b"]) == ("eval: math", 0.0, 0.0)
    assert "only in b: rl-math on long: math" in compare(a, b)["notes"]
    add_stage(a, "long", {"q0": [1.0], "q1": [0.0]})
    assert {row["task"]: (row["a"], row["b"]) for row in compare(a, b)["scores"]} == {
        "eval: math": (0.0, 0.0),
        "long: math": (0.5, 1.0),
    }


def test_a_selection_that_decided_nothing_yet_is_no_evaluation(tmp_path: Path) -> None:
    a, b = (write_run(tmp_path / name, means(3, 0.0)) for name in "ab")
    for run in (a, b):
        add_stage(run, "select-2", {"q0": [1.0]}, kind="select", status="interrupted")
    (row,) = compare(a, b)["scores"]
    assert (row["task"], row["a"]) == ("math", pytest.approx((0 + 1 / 3 + 2 / 3) / 3))


def test_an_evaluation_that_is_not_done_is_said_to_be(tmp_path: Path) -> None:
    a, b = (write_run(tmp_path / name, means(3, 0.0)) for name in "ab")
    add_stage(b, "more", {"q0": [1.0]}, status="interrupted")
    assert "more of b is not done (interrupted): its responses so far are compared" in compare(a, b)["notes"]


def test_an_evaluation_of_an_earlier_policy_is_said_to_be(tmp_path: Path) -> None:
    a, b = (write_run(tmp_path / name, means(3, 0.0)) for name in "ab")
    add_stage(b, "more", {"q0": [1.0]}, inputs={"rl-math/policy": {"path": "x", "digest": "old"}})
    manifest = json.loads((b / "rl-math" / "manifest.json").read_text())
    (b / "rl-math" / "manifest.json").write_text(json.dumps(manifest | {"outputs": {"policy": {"digest": "new"}}}))
    assert "more of b is of an earlier result of rl-math than the one that is there now" in compare(a, b)["notes"]


def test_notes_tell_two_runs_of_one_name_apart(tmp_path: Path) -> None:
    a, b = (write_run(tmp_path / place / "toy", means(3, 0.0)) for place in ("one", "two"))
    add_stage(b, "late", {"q0": [1.0]}, status="interrupted")
    notes = compare(a, b)["notes"]
    assert f"only {b} has the stages late: their keys are not compared" in notes
    assert f"late of {b} is not done (interrupted): its responses so far are compared" in notes


def test_one_problem_on_each_side_gives_no_change_and_it_is_said(tmp_path: Path) -> None:
    a, b = write_run(tmp_path / "a", {"q0": [1.0]}), write_run(tmp_path / "b", {"r0": [0.0]})
    result = compare(a, b)
    assert result["notes"] == [
        "rl-math on math: the runs share no problem, and one of them has a single problem, so neither a change nor an "
        "interval is known"
    ]
    assert "| rl-math | math | 100.0 | 0.0 | – | – | 1 | 0:0 | no difference shown |" in as_text(result)


def rewrite(file: Path, change: str, value: object) -> None:
    """Put a value into all rows of a file of JSON lines, or take the key out for `...`."""
    rows = [json.loads(line) | {change: value} for line in file.read_text().splitlines()]
    file.write_text("".join(json.dumps({k: v for k, v in row.items() if v is not ...}) + "\n" for row in rows))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), None, "0.2"])
def test_a_metric_that_is_no_number_is_said_to_be_missing(tmp_path: Path, value: object) -> None:
    a, b = (write_run(tmp_path / name, means(3, 0.0)) for name in "ab")
    rewrite(b / "rl-math" / "metrics.jsonl", "entropy", value)
    text = as_text(compare(a, b))
    assert "| rl-math | entropy | nats per token | 9.98 | – |" in text
    assert "–: the run has no number there" in text
    assert "nan" not in text
    assert "–: the run has no number there" not in as_text(compare(a, a))


def test_a_manifest_without_sound_counts_costs_what_it_says_soundly(tmp_path: Path) -> None:
    a, b = (write_run(tmp_path / name, means(3, 0.0)) for name in "ab")
    for tokens, seconds in (({"trained": None, "generated": 5}, float("nan")), ([1], None)):
        manifest = json.loads((a / "rl-math" / "manifest.json").read_text()) | {"tokens": tokens, "seconds": seconds}
        (b / "rl-math" / "manifest.json").write_text(json.dumps(manifest))
        text = as_text(compare(a, b))
        assert "| rl-math | tokens trained | tokens | 5,120 | – |" in text
        assert "| rl-math | time at work |  | 1 min 00 s | – |" in text


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        (
            "reward",
            None,
            "b: responses of rl-math on math have no reward, such as one to problem q0; `ringlite rescore`",
        ),
        ("reward", float("nan"), "have no reward, such as one to problem q0"),
        ("reward", ..., "have no reward, such as one to problem q0"),
        ("reward", "1.0", r'responses.jsonl: a response whose reward is no number \("1.0"\)'),
        ("task", ..., "responses.jsonl: a response without 'task'; mend its row, or take it out"),
        ("id", None, "responses.jsonl: a response without 'id'"),
    ],
)
def test_rows_that_cannot_be_compared_are_named(tmp_path: Path, key: str, value: object, message: str) -> None:
    a, b = (write_run(tmp_path / name, means(3, 0.0)) for name in "ab")
    rewrite(b / "eval" / "responses.jsonl", key, value)
    with pytest.raises(UserError, match=message):
        compare(a, b)


def test_tokens_that_are_no_numbers_are_left_out_of_a_mean(tmp_path: Path) -> None:
    run = write_run(tmp_path / "a", means(3, 0.0))
    rewrite(run / "eval" / "responses.jsonl", "tokens", None)
    assert compare(run, run)["scores"][0]["tokens_a"] is None


def test_a_policy_of_what_is_no_run_is_answered_with_the_run_that_may_be_meant(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run = write_run(tmp_path / "runs" / "a", means(3, 0.0))
    (run / "report.html").touch()
    hints = {
        "runs/a/report.html": f"runs/a/report.html: that is a file, and a run is a folder; give {run}:rl-math",
        "a": "a: no such run folder; did you mean 'runs/a:rl-math'?",
        "gone": "gone: no such run folder; give the run's folder, as runs/gone:rl-math",
    }
    for given, hint in hints.items():
        with pytest.raises(UserError) as error:
            compare(run, Path(f"{given}:rl-math"))
        assert str(error.value) == hint
    named = run.rename(tmp_path / "runs" / "at 12:30")
    assert compare(named, Path(f"{named}:rl-math"))["scores"][0]["n"] == 3
