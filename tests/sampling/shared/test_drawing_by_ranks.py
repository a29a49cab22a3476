"""Responses drawn by real ranks through the CLI: the same for any number of them, kept after a kill, told once."""

import json
import time
from collections import Counter
from pathlib import Path

import psutil
import pytest
from launches import RINGLITE, Ended, Launch
from policies import write_tiny_policy
from sweeps import sample_of

from ringlite_cli.runs.files import read_json, read_jsonl
from ringlite_cli.sampling.shared.session import FOLDER

pytestmark = pytest.mark.slow

PROBLEMS, K = 7, 3


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_policy(tmp_path_factory.mktemp("policy"))


def write_tasks(folder: Path, problems: int = PROBLEMS) -> Path:
    """Write problems of several lengths, one of them too long for the policy."""
    file = folder / "gsm8k.json"
    asked = [f"What is {i} + {i}{' and nothing else' * (i % 3)}?" for i in range(problems - 1)] + ["why " * 80]
    rows = [{"question": question, "answer": f"so\n#### {2 * i}"} for i, question in enumerate(asked)]
    file.write_text(json.dumps(rows))
    return file


def command(policy: Path | str, data: Path, out: Path, *, k: int = K, tokens: int = 24) -> list[str]:
    given = ["--tasks", "gsm8k", "--data", f"gsm8k={data}", "--k", str(k), "--max-new-tokens", str(tokens)]
    return [*RINGLITE, "eval", "--model", str(policy), *given, "--out", str(out)]


def responses(out: Path) -> dict[tuple[str, int], str]:
    return {(row["id"], row["sample"]): row["response"] for row in read_jsonl(out / "responses.jsonl")}


def errors(ended: list[Ended]) -> list[str]:
    return [line for each in ended for line in each.err.splitlines() if line.startswith("error:")]


@pytest.fixture(scope="module")
def alone(policy: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What one process without a launcher comes to."""
    out = tmp_path_factory.mktemp("alone")
    ended = Launch(1, command(policy, write_tasks(out), out / "eval")).wait()
    assert ended[0].code == 0, ended[0].err
    return out / "eval"


@pytest.mark.parametrize("ranks", sample_of([2, 3], 2))
def test_any_number_of_ranks_draws_the_same_responses(policy: Path, alone: Path, tmp_path: Path, ranks: int) -> None:
    """Seven problems are no multiple of two or three; the one that is too long is counted once."""
    ended = Launch(ranks, command(policy, write_tasks(tmp_path), tmp_path / "eval")).wait()
    assert [each.code for each in ended] == [0] * ranks, ended
    assert responses(tmp_path / "eval") == responses(alone)
    assert len(responses(alone)) == PROBLEMS * K
    scores, expected = (read_json(out / "scores.json")["gsm8k"] for out in (tmp_path / "eval", alone))
    assert {k: v for k, v in scores.items() if k != "data"} == {k: v for k, v in expected.items() if k != "data"}
    assert scores["verdicts"]["prompt too long"] == K
    assert not (tmp_path / "eval" / FOLDER).exists()
    assert [each.out for each in ended[1:]] == [""] * (ranks - 1)


def helper(out: Path, rank: int) -> psutil.Process:
    """Return the process that draws for a rank, once its first answers are written."""
    until = time.monotonic() + 600
    while time.monotonic() < until:
        if any(file.stat().st_size for file in (out / FOLDER).glob(f"*/*/answers-{rank}.jsonl")):
            for process in psutil.process_iter(["cmdline"]):
                words = process.info["cmdline"] or []
                if "ringlite_cli.sampling.shared.helper" in words and words[-1] == str(rank) and str(out) in words[-2]:
                    return process
        time.sleep(0.02)
    raise AssertionError(f"rank {rank} has drawn nothing")


def test_a_rank_that_dies_ends_all_and_what_any_rank_drew_is_kept(policy: Path, tmp_path: Path) -> None:
    """Killed while it draws; then one process alone goes on, and asks for nothing that was answered."""
    out, data = tmp_path / "eval", write_tasks(tmp_path, 60)
    launch = Launch(2, command(policy, data, out, k=40, tokens=60))
    helper(out, 1).kill()
    ended = launch.wait()
    assert [each.code for each in ended] == [1, 1]
    assert len(said := errors(ended)) == 1, ended
    assert "the process that draws responses on rank 1 was ended by SIGKILL" in said[0]
    assert not (out / "scores.json").exists()

    kept = [row for file in (out / FOLDER).glob("*/*/answers-*.jsonl") for row in read_jsonl(file)]
    whole = {name for name, count in Counter(row["problem_id"] for row in kept).items() if count == 40}
    part = [row for row in kept if row["problem_id"] not in whole]
    assert kept
    marked = {(row["problem_id"].partition("/")[2], row["index"]) for row in kept}
    for file in (out / FOLDER).glob("*/*/answers-*.jsonl"):  # drawn again they would lose the mark
        rows = [json.dumps(row | {"text": "kept " + row["text"]}) + "\n" for row in read_jsonl(file)]
        file.write_text("".join(rows))
    again = Launch(1, command(policy, data, out, k=40, tokens=60)).wait()
    assert again[0].code == 0, again[0].err
    found = responses(out)
    logged_before = {name for name in marked if not found[name].startswith("kept ")}
    assert all(("gsm8k/" + name) in whole for name, _ in logged_before)  # verified before the kill, from its own log
    assert all(found[row["problem_id"].partition("/")[2], row["index"]].startswith("kept ") for row in part)
    assert len(found) == 60 * 40


def test_ranks_that_see_other_files_end_with_one_message(tmp_path: Path) -> None:
    """The second rank works in a folder where the policy of the same name has other weights."""
    here, there = tmp_path / "a", tmp_path / "b"
    write_tiny_policy(here / "policy", seed=0)
    write_tiny_policy(there / "policy", seed=1)
    asked = command("policy", write_tasks(tmp_path), tmp_path / "eval")
    ended = Launch(2, asked, cwds=[here, there]).wait()
    assert [each.code for each in ended] == [1, 1], ended
    assert len(said := errors(ended)) == 1, ended
    assert "rank 1 sees other files of this policy than the first rank" in said[0]


def test_a_policy_that_cannot_be_loaded_is_told_once(policy: Path, tmp_path: Path) -> None:
    broken = write_tiny_policy(tmp_path / "broken")
    (broken / "model.safetensors").write_bytes(b"no tensors")
    ended = Launch(2, command(broken, write_tasks(tmp_path), tmp_path / "eval")).wait()
    assert [each.code for each in ended] == [2, 1], ended
    assert len(said := errors(ended)) == 1, ended
    assert "cannot load the model" in said[0]
