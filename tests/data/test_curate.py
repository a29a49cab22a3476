"""The whole of curation: files, counts that add up, reproducibility, planted faults, real data."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from curation_helpers import exact_match

from ringlite_cli.data.curate import CurateResult, curate
from ringlite_cli.data.generators import GENERATORS
from ringlite_cli.data.sets import mix_counts
from ringlite_cli.errors import UserError
from ringlite_cli.problems import read_problems
from ringlite_cli.recipe.schema import ProblemSet, Source
from ringlite_cli.runs.files import read_jsonl

FAULTY = {"faults": 0.2}


def _sources(rows: int = 300) -> list[Source]:
    sources = []
    for name in GENERATORS:
        sources += [
            Source(generator=name, rows=rows, options=FAULTY),
            Source(generator=name, rows=20, split="select"),
            Source(generator=name, rows=50, split="eval"),
        ]
    return sources


SETS = {
    "traces": ProblemSet(rows={"math": 100, "code": 50}, traces=True),
    "math": ProblemSet(rows={"math": 80}, disjoint_from=["traces"]),
    "select": ProblemSet(split="select"),
    "eval": ProblemSet(split="eval"),
}


def _curate(out: Path, sources: list[Source] | None = None, sets: Any = None, **more: Any) -> CurateResult:
    settings: dict[str, Any] = {"seed": 17, "generators": GENERATORS} | more
    return curate(sources or _sources(), sets or SETS, exact_match, out, **settings)


def _adds_up(counts: dict[str, Any]) -> bool:
    return counts["rows_in"] == counts["out"] + sum(counts["dropped"].values())


@pytest.mark.slow
def test_counts_add_up_everywhere(tmp_path: Path) -> None:
    result = _curate(tmp_path)
    funnel = json.loads((tmp_path / "funnel.json").read_text())
    assert funnel == result.funnel
    assert _adds_up(funnel)
    assert funnel["rows_in"] == len(GENERATORS) * 370
    for part in ("by_source", "by_domain"):
        assert all(map(_adds_up, funnel[part].values()))
        assert sum(c["rows_in"] for c in funnel[part].values()) == funnel["rows_in"]
        assert sum((Counter(c["dropped"]) for c in funnel[part].values()), Counter()) == Counter(funnel["dropped"])
    dropped = read_jsonl(tmp_path / "dropped.jsonl")
    assert Counter(d["reason"] for d in dropped) == Counter(funnel["dropped"])
    assert len({(d["source"], d["index"]) for d in dropped}) == len(dropped)


@pytest.mark.slow
def test_every_planted_fault_is_dropped_and_nothing_else(tmp_path: Path) -> None:
    _curate(tmp_path)
    dropped = {(d["source"], d["index"]): d["reason"] for d in read_jsonl(tmp_path / "dropped.jsonl")}
    for name, generator in GENERATORS.items():
        made = list(generator.generate(300, 17, "train", FAULTY))
        planted = {(name, p.index) for p in made if "fault" in p.labels}
        assert planted == {key for key in dropped if key[0] == name}


@pytest.mark.slow
def test_sets_are_what_was_asked_for(tmp_path: Path) -> None:
    result = _curate(tmp_path)
    sets = {name: read_problems(path) for name, path in result.sets.items()}
    assert Counter(p.domain for p in sets["traces"]) == {"math": 100, "code": 50}
    assert all(p.trace for p in sets["traces"])
    assert len(sets["math"]) == 80
    ids = {name: {p.id for p in problems} for name, problems in sets.items()}
    assert not ids["math"] & ids["traces"]
    assert len(ids["eval"]) == len(GENERATORS) * 50
    prompts = {name: {p.prompt for p in problems} for name, problems in sets.items()}
    assert not (prompts["traces"] | prompts["math"]) & (prompts["eval"] | prompts["select"])
    assert result.funnel["sets"]["traces"] == {"rows": 150, "by_domain": {"math": 100, "code": 50}}


@pytest.mark.slow
def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(tmp_path: Path) -> None:
    one, two, other = _curate(tmp_path / "1"), _curate(tmp_path / "2"), _curate(tmp_path / "3", seed=18)
    assert sorted(f.name for f in one.files) == sorted(f.name for f in (tmp_path / "1").iterdir())
    for file in one.files:
        assert file.read_bytes() == (tmp_path / "2" / file.name).read_bytes()
    assert [p.name for p in one.files] == [p.name for p in two.files]
    assert read_problems(one.sets["math"])[0] != read_problems(other.sets["math"])[0]


def test_an_eval_problem_beats_its_copy_in_train_and_select(tmp_path: Path) -> None:
    text = "How many days does the snail need to climb the wall of 30 meters at 3 meters a day?"
    for split in ("train", "select", "eval"):
        rows = [{"q": text, "a": "10"}, {"q": f"Compute {len(split)} + {ord(split[0])}.", "a": "7"}]
        (tmp_path / f"{split}.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    sources = [
        Source(path=str(tmp_path / f"{s}.jsonl"), columns={"prompt": "q", "answer": "a"}, domain="math", split=s)  # type: ignore[arg-type]
        for s in ("train", "select", "eval")
    ]
    _curate(tmp_path / "out", sources, {s: ProblemSet(split=s) for s in ("train", "select", "eval")})
    dropped = read_jsonl(tmp_path / "out" / "dropped.jsonl")
    assert [(d["source"], d["reason"], d["other_source"], d["other_index"], d["score"]) for d in dropped] == [
        ("train.jsonl", "contamination", "eval.jsonl", 0, 1.0),
        ("select.jsonl", "contamination", "eval.jsonl", 0, 1.0),
    ]
    assert dropped[0]["other_prompt"] == text


def _file(folder: Path, lines: list[str]) -> Source:
    path = folder / "own.jsonl"
    path.write_text("\n".join(lines) + "\n")
    return Source(path=str(path), columns={"prompt": "q", "answer": "a"}, domain="math")


def test_unreadable_rows_are_set_aside_and_too_many_are_an_error(tmp_path: Path) -> None:
    good = [json.dumps({"q": f"Compute {n} times {n + 1} for me.", "a": str(n * n + n)}) for n in range(8)]
    source = _file(tmp_path, [*good[:3], "{broken", '{"q": "\\ud800 is no letter", "a": "1"}', *good[3:]])
    result = _curate(tmp_path / "out", [source], {"all": ProblemSet()})
    assert result.funnel["dropped"] == {"unreadable_row": 2}
    rows = read_jsonl(tmp_path / "out" / "dropped.jsonl")
    assert [(r["index"], r["detail"]) for r in rows] == [
        (3, "line 4 is not JSON (Expecting property name enclosed in double quotes)"),
        (4, "broken Unicode (a lone surrogate) that UTF-8 can't store"),
    ]
    with pytest.raises(UserError, match=r"own.jsonl: 2 of 10 rows can't be read; row 3: line 4"):
        _curate(tmp_path / "out2", [source], {"all": ProblemSet()}, max_unreadable=0.1)


def test_wrong_columns_missing_files_and_empty_sources(tmp_path: Path) -> None:
    source = _file(tmp_path, ['{"question": "x", "a": "1"}'])
    with pytest.raises(UserError, match=r"1 of 1 rows.*no column 'q'; it has 'question', 'a'"):
        _curate(tmp_path, [source], {"all": ProblemSet()})
    with pytest.raises(UserError, match=r"own\.jsonl: the source is empty"):
        _curate(tmp_path, [_file(tmp_path, [])], {"all": ProblemSet()})
    with pytest.raises(UserError, match="no such file"):
        _curate(tmp_path, [Source(path=str(tmp_path / "none.jsonl"))], {"all": ProblemSet()})
    with pytest.raises(UserError, match="no generator 'sums'"):
        _curate(tmp_path, [Source(generator="sums", rows=3)], {"all": ProblemSet()})


def test_too_few_rows_warn_and_no_rows_are_an_error_that_leaves_the_trail(tmp_path: Path) -> None:
    sources = [Source(generator="arithmetic", rows=20)]
    result = _curate(tmp_path, sources, {"all": ProblemSet(rows={"math": 50, "code": 5})})
    assert result.warnings == [
        "set all: 20 of the 50 math rows asked for",
        "set all: 0 of the 5 code rows asked for",
    ]
    assert "**Warning:** set all: 20 of the 50" in (tmp_path / "CARD.md").read_text()
    with pytest.raises(UserError, match=r"sets.code: the set 'code' is empty; curation left 20 math"):
        _curate(tmp_path / "out", sources, {"code": ProblemSet(rows={"code": 5})})
    assert (tmp_path / "out" / "funnel.json").is_file()
    with pytest.raises(UserError, match="disjoint_from names 'later'"):
        _curate(tmp_path, sources, {"a": ProblemSet(disjoint_from=["later"]), "later": ProblemSet()})


def test_hub_id_with_a_local_stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "g.jsonl").write_text('{"question": "What is 2 plus 2?", "answer": "So #### 4"}\n')
    monkeypatch.setenv("RINGLITE_DATA", str(tmp_path))
    source = Source(hub="openai/gsm8k", subset="main", local="train/g.jsonl", adapter="gsm8k")
    result = _curate(tmp_path / "out", [source], {"all": ProblemSet()})
    (only,) = read_problems(result.sets["all"])
    assert (only.id, only.source, only.index, only.answer) == ("g.jsonl:0", "g.jsonl", 0, "4")
    assert only.labels["verified_by"] == "trace"


def test_mix_counts_add_up() -> None:
    paper = {"math": 0.645, "code": 0.255, "science": 0.092, "general": 0.008}
    assert mix_counts(1000, paper) == {"math": 645, "code": 255, "science": 92, "general": 8}
    for total in range(1, 50):
        assert sum(mix_counts(total, paper).values()) == total


@pytest.mark.slow
def test_the_card_shows_sources_reasons_examples_and_pairs(tmp_path: Path) -> None:
    _curate(tmp_path)
    card = (tmp_path / "CARD.md").read_text()
    for part in ("| arithmetic | 300 |", "| contamination |", "**duplicate_near**", "1.00 `", "trace: `repetitive`"):
        assert part in card


@pytest.mark.slow
def test_the_eight_pairs_of_equal_words_in_math(tmp_path: Path, real_data: Path) -> None:
    """Eight pairs of MATH rows are equal in their words; in five of them a sign or an operator differs."""
    source = Source(path=str(real_data / "train" / "math.json"), adapter="math")
    curate([source], {"all": ProblemSet()}, _trusting, tmp_path, seed=1, generators={})
    pairs = {
        frozenset((d["index"], d["other_index"])): d["reason"]
        for d in read_jsonl(tmp_path / "dropped.jsonl")
        if d["reason"].startswith("duplicate")
    }
    same = [{923, 957}, {3482, 4310}, {6872, 7353}]
    look_alike = [{142, 167}, {2608, 3190}, {3409, 3865}, {6405, 6477}, {7028, 7138}]
    assert all(pairs[frozenset(p)] == "duplicate_exact" for p in same)
    assert not any(frozenset(p) in pairs for p in look_alike)


def _trusting(pairs: Any) -> list[Any]:
    """For tests of the text steps on real data: labels are taken as they are."""
    from ringlite_cli.problems import Verdict

    return [Verdict("trusted", 1.0) for _ in pairs]


@pytest.mark.slow
def test_all_real_files_load(tmp_path: Path, real_data: Path) -> None:
    files = {
        "train/gsm8k_train.jsonl": ("gsm8k", 7473),
        "train/math.json": ("math", 7474),
        "train/aime_1983_2023.json": ("aime", 975),
        "train/leetcode.json": ("leetcode", 1889),
        "eval/math500.json": ("math", 500),
        "eval/aime24.json": ("aime", 30),
        "eval/amc.json": ("amc", 83),
        "eval/minerva.json": ("minerva", 272),
        "eval/gsm8k.json": ("gsm8k", 1319),
        "eval/leetcode.json": ("leetcode", 200),
        "eval/humaneval.jsonl.gz": ("humaneval", 164),
    }
    sources = [Source(path=str(real_data / f), adapter=a, split=f.split("/")[0]) for f, (a, _) in files.items()]  # type: ignore[arg-type]
    sets = {"train": ProblemSet(), "eval": ProblemSet(split="eval")}
    result = curate(sources, sets, _trusting, tmp_path, seed=1, generators={})
    assert [c["rows_in"] for c in result.funnel["by_source"].values()] == [n for _, n in files.values()]
    assert "unreadable_row" not in result.funnel["dropped"]
    assert result.funnel["sets"]["eval"]["rows"] == 2568
    assert list(result.funnel["by_source"])[-2:] == ["eval/leetcode.json", "humaneval.jsonl.gz"]
    leaks = Counter(
        (d["source"], d["other_source"])
        for d in read_jsonl(tmp_path / "dropped.jsonl")
        if d["reason"] == "contamination"
    )
    assert leaks["aime_1983_2023.json", "math500.json"] >= 6
    assert leaks["math.json", "math500.json"] == 8  # neighbours with another question and answer are no leaks
    assert sum(leaks.values()) <= 40


def test_every_pass_says_what_is_being_done(tmp_path: Path) -> None:
    told: list[str] = []
    _curate(tmp_path, progress=lambda what, done, total: told.append(what))
    wanted = (
        "reading the texts",
        "looking for shared text",
        "comparing train with held-out problems",
        "counting text that is shared with held-out problems",
        "sorting rows by their routes",
        "applying the rules",
        "verifying answers",
        "looking for equal texts",
        "comparing texts with equal numbers",
        "looking for conflicting answers",
        "labelling",
        "drawing the sets",
        "writing the set traces",
    )
    assert [what for what in wanted if what not in told] == []
