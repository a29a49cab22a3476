"""The rule that picks the SFT checkpoint: values worked by hand, and a real selection over tiny models."""

import json
import math
import shutil
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from xml.etree import ElementTree

import pytest
import torch
from policies import write_tiny_policy

from ringlite_cli.errors import UserError, WorkFailed
from ringlite_cli.evals.evaluate import DEFAULT_SUFFIX
from ringlite_cli.evals.measure import measure_candidates, select_checkpoint
from ringlite_cli.evals.pick import Candidate, Decision, explain, pick
from ringlite_cli.problems import Problem, Verdict, chat_messages
from ringlite_cli.runs.files import read_json, read_jsonl
from ringlite_cli.samples import Request, SamplingSettings
from ringlite_cli.sampling.score import forced_scores, sampled_entropy
from ringlite_cli.sampling.transformers_sampler import TransformersSampler

BAND = (0.3, 0.5)


def candidate(name: str, entropy: float, pass_1: float, pass_k: float = 0.5, tokens: int = 100) -> Candidate:
    ci = (pass_1 - 0.01, pass_1 + 0.01)
    return Candidate(
        name, f"../sft/{name}", 1, 1.0, tokens, entropy, (entropy, entropy), pass_1, ci, pass_k, 4, 50, 60.0, 0.0
    )


CANDIDATES = [
    candidate("early", 0.8, 0.10, 0.4, 100),
    candidate("mid", 0.45, 0.30, 0.7, 200),
    candidate("late", 0.31, 0.35, 0.6, 300),
    candidate("last", 0.1, 0.60, 0.65, 400),
]


def test_band_takes_the_best_score_inside_the_band_not_the_best_of_all() -> None:
    decision = pick(CANDIDATES, BAND)
    assert (decision.picked, decision.inside_band, decision.warning) == ("late", ["mid", "late"], None)
    assert decision.reason == (
        "late (epoch 1): entropy 0.310 nats per token and the best pass@1 of 35.0 % of the 2 inside 0.3-0.5."
    )


def test_the_other_rules() -> None:
    assert pick(CANDIDATES, BAND, "band-then-coverage").picked == "mid"
    score = pick(CANDIDATES, BAND, "score")
    assert score.picked == "last"
    assert "outside 0.3-0.5" in (score.warning or "")


@pytest.mark.parametrize("entropy", [0.3, 0.5])
def test_the_ends_of_the_band_are_inside(entropy: float) -> None:
    assert pick([candidate("a", entropy, 0.1)], BAND).inside_band == ["a"]


@pytest.mark.parametrize(
    ("entropies", "picked", "advice"),
    [
        ([0.25, 0.1], "c0", "all are below it"),
        ([0.9, 0.6], "c1", "all are above it"),
        ([0.55, 0.1], "c0", "on both sides"),
    ],
)
def test_none_inside_takes_the_nearest_and_warns(entropies: list[float], picked: str, advice: str) -> None:
    decision = pick([candidate(f"c{i}", h, 0.2) for i, h in enumerate(entropies)], BAND)
    assert (decision.picked, decision.inside_band) == (picked, [])
    assert "no checkpoint's entropy is inside 0.3-0.5" in (decision.warning or "")
    assert advice in (decision.warning or "")


def test_ties_go_to_fewer_tokens_and_overlaps_are_told() -> None:
    tied = pick([candidate("long", 0.4, 0.3, tokens=900), candidate("short", 0.41, 0.3, tokens=100)], BAND)
    assert tied.picked == "short"
    assert "shared with long; it has had the fewest SFT tokens" in tied.reason
    near = pick([candidate("a", 0.4, 0.30), candidate("b", 0.4, 0.31)], BAND)
    assert "the intervals of a overlap with its own" in near.reason
    assert "the only candidate inside 0.3-0.5" in pick([candidate("a", 0.4, 0.3)], BAND).reason


def test_failed_candidates_are_passed_over_and_explained() -> None:
    broken = Candidate("broken", "x", error="half written")
    decision = pick([broken, candidate("nan", math.nan, 0.9), *CANDIDATES], BAND)
    assert decision.picked == "late"
    words = explain([broken, *CANDIDATES], decision)
    assert "broken: left out, it could not be measured (half written)" in words
    assert "last (epoch 1): entropy 0.100, below the band" in words
    assert words.endswith("By score alone it would be last (epoch 1), with pass@1 60.0 %.")
    with pytest.raises(WorkFailed, match="no candidate could be measured\nbroken: half written"):
        pick([broken], BAND)


@pytest.mark.parametrize(("band", "rule"), [((0.5, 0.3), "band"), ((-1.0, 0.3), "band"), (BAND, "loss")])
def test_a_band_or_rule_that_is_none(band: tuple[float, float], rule: str) -> None:
    with pytest.raises(UserError, match=r"is not a range of entropies|there is no rule 'loss'; the rules are band"):
        pick(CANDIDATES, band, rule)


PROBLEMS = [Problem(f"q{i}", "math", f"{i}?", "1") for i in range(5)]


def verify(pairs: Sequence[tuple[Problem, str]]) -> list[Verdict]:
    return [Verdict("correct" if len(text) % 2 else "wrong", float(len(text) % 2)) for _, text in pairs]


def load(path, settings) -> TransformersSampler:
    return TransformersSampler(path, settings=settings, device="cpu")


@pytest.fixture(scope="module")
def sft(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three checkpoints of falling entropy; the weights of the second are cut short."""
    root = tmp_path_factory.mktemp("sft")
    for i, scale in enumerate((0.05, 0.1, 0.4)):
        write_tiny_policy(root / "checkpoints" / f"c{i}", scale=scale)
    weights = root / "checkpoints" / "c1" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:500])
    return root


CHECKPOINTS = [
    {
        "name": f"c{i}",
        "path": f"checkpoints/c{i}",
        "step": 10 * i,
        "epoch": i / 2,
        "tokens_trained": 1000 * i,
        "loss": 1.0,
    }
    for i in range(3)
]


def test_a_selection_writes_its_files_and_keeps_a_failed_candidate(sft: Path, tmp_path: Path) -> None:
    out = tmp_path / "select"
    options = {"k": 3, "max_completion_length": 10, "entropy_of": sampled_entropy}
    decision = select_checkpoint(CHECKPOINTS, sft, PROBLEMS, load, verify, out, entropy_band=(5.0, 5.7), **options)
    rows = {row["name"]: row for row in read_json(out / "candidates.json")}
    assert decision.picked == "c0"
    assert (out / decision.path).resolve() == (sft / "checkpoints" / "c0").resolve()
    assert "cannot load the model" in rows["c1"]["error"]
    assert math.log(260) > rows["c0"]["entropy"] > rows["c2"]["entropy"]
    low, high = rows["c0"]["entropy_ci95"]
    assert low <= rows["c0"]["entropy"] <= high
    assert (rows["c2"]["k"], rows["c2"]["n"], rows["c2"]["sft_tokens"], rows["c2"]["epoch"]) == (3, 5, 2000, 1.0)
    assert read_json(out / "decision.json")["inside_band"] == ["c0"]
    assert read_jsonl(out / "metrics.jsonl") == list(rows.values())
    responses = read_jsonl(out / "responses.jsonl")
    assert len(responses) == 2 * 5 * 3
    mine = [row for row in responses if row["policy"] == "c2"]
    weighted = sum(row["entropy"] * row["tokens"] for row in mine) / sum(row["tokens"] for row in mine)
    assert rows["c2"]["entropy"] == pytest.approx(weighted)
    table = (out / "table.md").read_text()
    assert table.startswith("# Picked: c0\n")
    assert "| c1 | 0.50 | 1,000 | not measured" in table
    svg = ElementTree.fromstring((out / "select.svg").read_text())
    assert any("picked: c0" in (text or "") for text in svg.itertext())


def test_a_measured_candidate_is_not_measured_again_and_forward_and_draw_agree(sft: Path, tmp_path: Path) -> None:
    loaded = []

    def counting(path, settings) -> TransformersSampler:
        loaded.append(Path(path).name)
        return load(path, settings)

    good = [CHECKPOINTS[0], CHECKPOINTS[2]]
    options = {"k": 2, "max_completion_length": 10}
    first = measure_candidates(good[:1], sft, PROBLEMS, counting, verify, tmp_path, **options)
    both = measure_candidates(good, sft, PROBLEMS, counting, verify, tmp_path, **options)
    assert loaded == ["c0", "c2"]
    assert both[0] == first[0]
    forward = measure_candidates(good, sft, PROBLEMS, load, verify, tmp_path, entropy_of=sampled_entropy, **options)
    assert [c.entropy for c in forward] == pytest.approx([c.entropy for c in both], abs=1e-5)


def test_tokenizers_that_differ_are_told(sft: Path, tmp_path: Path) -> None:
    folder = tmp_path / "checkpoints"
    for name in ("c0", "c2"):
        (folder / name).mkdir(parents=True)
        for file in (sft / "checkpoints" / name).iterdir():
            (folder / name / file.name).write_bytes(file.read_bytes())
    tokenizer = json.loads((folder / "c2" / "tokenizer.json").read_text())
    tokenizer["added_tokens"] = tokenizer["added_tokens"][:-1]
    (folder / "c2" / "tokenizer.json").write_text(json.dumps(tokenizer))
    good = [CHECKPOINTS[0], CHECKPOINTS[2]]
    options = {"k": 1, "max_completion_length": 4, "entropy_band": (0.1, 6.0)}
    decision = select_checkpoint(good, tmp_path, PROBLEMS, load, verify, tmp_path / "select", **options)
    assert "tokenizers differ (c0 / c2)" in (decision.warning or "")


def test_entropies_are_those_of_a_float64_reference_whatever_the_rows(sft: Path, tmp_path: Path) -> None:
    """The sampled and the teacher-forced entropy of a candidate against a plain float64 forward, sample by sample."""
    traced = [replace(p, trace=f"{i} and so \\boxed{{1}}") for i, p in enumerate(PROBLEMS)]
    options = {"k": 3, "max_completion_length": 12, "entropy_of": sampled_entropy}
    forced = partial(forced_scores, row_tokens=40)
    (c,) = measure_candidates([CHECKPOINTS[2]], sft, traced, load, verify, tmp_path, forced_of=forced, **options)
    sampler = load(sft / "checkpoints" / "c2", SamplingSettings(12, seed=0))
    exact = sampler.model.double()
    exact.set_experts_implementation("eager")  # the grouped product knows no float64
    requests = [Request(f"select/{p.id}", chat_messages(p, DEFAULT_SUFFIX), 3) for p in traced]

    def reference(prompt: list[int], response: list[int]) -> tuple[float, float]:
        with torch.no_grad():
            logits = exact(input_ids=torch.tensor([[*prompt, *response]])).logits[0, len(prompt) - 1 : -1]
        logp = torch.log_softmax(logits, -1)
        loss = -logp.gather(-1, torch.tensor(response)[:, None]).sum()
        return -(logp.exp() * logp).sum().item(), loss.item()

    drawn = load(sft / "checkpoints" / "c2", SamplingSettings(12, seed=0)).sample(requests)
    pairs = zip(requests, drawn, strict=True)
    sampled = [(sampler.prompt_ids(r), list(s.token_ids)) for r, group in pairs for s in group]
    total = sum(reference(*pair)[0] for pair in sampled)
    assert c.entropy == pytest.approx(total / sum(len(r) for _, r in sampled), abs=1e-5)
    given = []
    for request, problem in zip(requests, traced, strict=True):
        talk = [*request.messages, {"role": "assistant", "content": problem.trace}]
        ids = list(sampler.tokenizer.apply_chat_template(talk, tokenize=True, return_dict=False))
        prompt = sampler.prompt_ids(request)
        assert ids[: len(prompt)] == prompt
        assert ids[-1] == sampler.tokenizer.eos_token_id
        given.append((prompt, ids[len(prompt) :]))
    tokens = sum(len(r) for _, r in given)
    assert c.forced_entropy == pytest.approx(sum(reference(*pair)[0] for pair in given) / tokens, abs=1e-5)
    assert c.forced_loss == pytest.approx(sum(reference(*pair)[1] for pair in given) / tokens, abs=1e-5)
    low, high = c.forced_entropy_ci95 or (1.0, 0.0)
    assert low <= c.forced_entropy <= high


def test_traces_are_scored_once_and_again_when_they_change(sft: Path, tmp_path: Path) -> None:
    scored = []

    def counting(sampler: TransformersSampler, traces: Sequence) -> list[tuple[float, float, int]]:
        scored.append(len(traces))
        return forced_scores(sampler, traces)

    traced = [replace(p, trace="one two") for p in PROBLEMS[:2]] + PROBLEMS[2:]
    options = {"k": 1, "max_completion_length": 4, "forced_of": counting}
    first = measure_candidates(CHECKPOINTS[:1], sft, traced, load, verify, tmp_path, **options)
    again = measure_candidates(CHECKPOINTS[:1], sft, traced, load, verify, tmp_path, **options)
    assert (scored, first) == ([2], again)
    changed = [replace(traced[0], trace="another"), *traced[1:]]
    measure_candidates(CHECKPOINTS[:1], sft, changed, load, verify, tmp_path, **options)
    assert scored == [2, 2]


def test_one_sample_of_a_problem_is_enough_and_a_row_gives_the_candidate_back(sft: Path, tmp_path: Path) -> None:
    (c,) = measure_candidates(CHECKPOINTS[:1], sft, PROBLEMS, load, verify, tmp_path, k=1, max_completion_length=4)
    assert (c.k, c.pass_k, c.pass_k_ci95) == (1, c.pass_1, c.pass_1_ci95)
    assert (c.truncated_fraction, c.forced_entropy) == (1.0, None)
    assert c.repetition is not None
    assert Candidate.of_row(c.row()) == c
    decision = pick([c], (0.1, 6.0))
    assert Decision.of_row(decision.row()) == decision


def test_a_half_written_checkpoint_loses_only_itself(sft: Path, tmp_path: Path) -> None:
    for name in ("c0", "c2"):
        shutil.copytree(sft / "checkpoints" / name, tmp_path / "checkpoints" / name)
    (tmp_path / "checkpoints" / "c0" / "config.json").unlink()
    rows = [CHECKPOINTS[0], CHECKPOINTS[1], CHECKPOINTS[2]]  # c1 has no folder at all
    found = measure_candidates(rows, tmp_path, PROBLEMS, load, verify, tmp_path / "out", k=1, max_completion_length=4)
    assert [c.error is None for c in found] == [False, False, True]
    assert "config.json is missing" in (found[0].error or "")
    assert "no such model folder" in (found[1].error or "")
    assert pick(found, (0.1, 6.0)).picked == "c2"


@pytest.mark.parametrize(("checkpoints", "problems"), [([], PROBLEMS), (CHECKPOINTS, [])])
def test_nothing_to_select_from_or_on(tmp_path: Path, checkpoints: list, problems: list) -> None:
    with pytest.raises(UserError, match=r"no checkpoint to select from|no problems to select on"):
        measure_candidates(checkpoints, tmp_path, problems, load, verify, tmp_path, k=1, max_completion_length=4)


def test_an_answer_without_reasoning_is_no_trace_to_measure_entropy_on(tmp_path):
    """SFT puts it behind an empty thought; as a thought, which other plain traces become, it would be another text."""
    from ringlite_cli.evals.forced import ForcedLog

    seen = []

    def count(sampler, traces):
        seen.extend(trace for _, trace in traces)
        return [(0.1, 0.2, 3)] * len(traces)

    rows = [
        Problem("a", "general", "Why?", trace="So it is."),
        Problem("b", "general", "1 + 1?", "2", trace="One and one: \\boxed{2}"),
        Problem("c", "math", "1 + 1?", "2", trace="It is 2."),
    ]
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")
    ForcedLog(tmp_path, count, rows, {}).measure("c1", tmp_path / "model", None)
    assert seen == ["One and one: \\boxed{2}", "It is 2."]
