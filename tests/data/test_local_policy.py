"""Pass rates by a local policy through the project's own sampler: a tiny model that knows two answers by heart."""

import json
from pathlib import Path
from typing import Any

import pytest
from curation_helpers import exact_match, row
from policies import write_tiny_policy

from ringlite_cli.data.asking import Asking
from ringlite_cli.data.difficulty import by_pass_rate
from ringlite_cli.data.rows import CuratedRow
from ringlite_cli.problems import read_problems
from ringlite_cli.recipe.schema import Difficulty, Responder
from ringlite_cli.runs.files import read_jsonl
from ringlite_cli.samples import SamplingSettings
from ringlite_cli.sampling.transformers_sampler import TransformersSampler

pytestmark = pytest.mark.slow
EVEN, BOTH = "Say the even number.", "Say one of both numbers."
SAYS = {EVEN: ["\\boxed{4}"], BOTH: ["\\boxed{4}", "\\boxed{5}"]}


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Says \\boxed{4} to EVEN, and one of two answers to BOTH; top_p 0.9 leaves out what it says by chance."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = write_tiny_policy(tmp_path_factory.mktemp("policy"))
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    texts = [f"<|user|>{word}<|assistant|>{said}<|end|>" for word, several in SAYS.items() for said in several]
    batch = tokenizer(texts, padding=True, return_tensors="pt", add_special_tokens=False)
    labels = batch["input_ids"].masked_fill(batch["attention_mask"] == 0, -100)
    torch.manual_seed(0)
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    for _ in range(300):
        optimizer.zero_grad()
        model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], labels=labels).loss.backward()
        optimizer.step()
    model.save_pretrained(folder)
    return folder


def _asking(folder: Path, lines: list[str], **more: Any) -> Asking:
    def open_sampler(responder: Responder) -> TransformersSampler:
        settings = SamplingSettings(
            responder.max_completion_length, top_p=responder.top_p, seed=3, batch_tokens=responder.batch_tokens
        )
        return TransformersSampler(str(responder.path), settings=settings, dtype=responder.dtype)

    return Asking(open_sampler, exact_match, folder, report=lines.append, **more)


def _rows() -> list[CuratedRow]:
    """Always solved; sometimes; never, though a worked solution agrees; never, and nothing else agrees."""
    wanted = [(EVEN, "4", "trace"), (BOTH, "5", "trace"), (EVEN, "7", "trace"), (EVEN, "9", "answer")]
    rows = [row(prompt, answer, id=f"p{answer}", trace=None) for prompt, answer, _ in wanted]
    for one, (_, _, by) in zip(rows, wanted, strict=True):
        one.verified = by
    return rows


def test_a_local_policy_sorts_problems_and_goes_on_after_a_stop(policy: Path, tmp_path: Path) -> None:
    responder = Responder(path=str(policy), dtype="float32", max_completion_length=16, batch_tokens=200, top_p=0.9)
    section = Difficulty(models=[responder], num_generations=32)
    lines: list[str] = []
    sifted = by_pass_rate(_rows(), section, _asking(tmp_path / "whole", lines))
    assert lines[0].startswith(f"difficulty: 4 of 4 problems x 32 responses of {policy}: ")
    assert "at most 2,048 response tokens" in lines[0]
    assert {d.problem.id: d.reason for d in sifted.drops} == {
        "p4": "always_solved",
        "p7": "never_solved",
        "p9": "no_agreement",
    }
    (kept,) = sifted.kept
    assert 0 < kept.problem.labels["pass_rate"] < 1

    def stop(name: str, state: Any) -> None:
        if state.done >= 32:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        by_pass_rate(_rows(), section, _asking(tmp_path / "cut", [], progress=stop))
    done = len({r["key"] for r in read_jsonl(tmp_path / "cut" / "asked.jsonl")})
    assert 0 < done < 4
    lines.clear()
    again = by_pass_rate(_rows(), section, _asking(tmp_path / "cut", lines))
    assert lines[0].startswith(f"difficulty: {4 - done} of 4 problems")
    assert [r.problem.labels for r in again.kept] == [kept.problem.labels]


def test_a_recipe_asks_a_local_policy(policy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from ringlite_cli.__main__ import run

    data = [{"q": EVEN, "a": "4"}, {"q": BOTH, "a": "5"}]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(line) + "\n" for line in data))
    models = [{"path": str(policy), "dtype": "float32", "max_completion_length": 16, "top_p": 0.9}]
    curate = {
        "kind": "curate",
        "sources": [
            {"path": str(tmp_path / "rows.jsonl"), "columns": {"prompt": "q", "answer": "a"}, "domain": "math"}
        ],
        "sets": {"all": {}},
        "difficulty": {"models": models, "num_generations": 32},
    }
    recipe = {"name": "asks", "model": {"path": str(policy)}, "prompt_suffix": {}, "stages": {"curate": curate}}
    (tmp_path / "asks.yaml").write_text(json.dumps(recipe))
    assert run(["curate", str(tmp_path / "asks.yaml"), "--runs-dir", str(tmp_path / "runs")]) == 0
    assert "difficulty: 2 of 2 problems x 32 responses" in capsys.readouterr().out
    (only,) = read_problems(tmp_path / "runs" / "asks" / "curate" / "all.parquet")
    assert only.prompt == BOTH
    assert 0 < only.labels["pass_rate"] < 1
    funnel = json.loads((tmp_path / "runs" / "asks" / "curate" / "funnel.json").read_text())
    assert funnel["dropped"] == {"always_solved": 1}
