"""The rule that picks the SFT checkpoint: values worked by hand, and a real selection over tiny models."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

import pytest
from policies import write_tiny_policy

from ringlite_cli.errors import UserError, WorkFailed
from ringlite_cli.evals.measure import measure_candidates, select_checkpoint
from ringlite_cli.evals.pick import Candidate, explain, pick
from ringlite_cli.problems import Problem, Verdict
from ringlite_cli.runs.files import read_json, read_jsonl
from ringlite_cli.sampling.score import sampled_entropy
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
    with pytest.raises(WorkFailed, match="no candidate could be measured\nbroken: half written"):
        pick([broken], BAND)


@pytest.mark.parametrize(("band", "rule"), [((0.5, 0.3), "band"), ((-1.0, 0.3), "band"), (BAND, "loss")])
def test_a_band_or_rule_that_is_none(band: tuple[float, float], rule: str) -> None:
    with pytest.raises(UserError, match=r"is no band|there is no rule 'loss'; the rules are band"):
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
    options = {"k": 3, "max_new_tokens": 10, "entropy_of": sampled_entropy}
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
    options = {"k": 2, "max_new_tokens": 10}
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
    options = {"k": 1, "max_new_tokens": 4, "entropy_band": (0.1, 6.0)}
    decision = select_checkpoint(good, tmp_path, PROBLEMS, load, verify, tmp_path / "select", **options)
    assert "tokenizers differ (c0 / c2)" in (decision.warning or "")


@pytest.mark.parametrize(("checkpoints", "problems"), [([], PROBLEMS), (CHECKPOINTS, [])])
def test_nothing_to_select_from_or_on(tmp_path: Path, checkpoints: list, problems: list) -> None:
    with pytest.raises(UserError, match=r"no checkpoint to select from|no problems to select on"):
        measure_candidates(checkpoints, tmp_path, problems, load, verify, tmp_path, k=1, max_new_tokens=4)
