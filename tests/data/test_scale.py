"""Rows in a spool, measured in parts and by several processes, give what rows in memory give; sets by shares."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from curation_helpers import exact_match, row

from ringlite_cli.data import decontaminate as decontamination
from ringlite_cli.data import features as feature_file
from ringlite_cli.data.curate import curate
from ringlite_cli.data.decontaminate import near_pairs
from ringlite_cli.data.duplicates import drop_duplicates
from ringlite_cli.data.features import Features, measure, permutations
from ringlite_cli.data.rows import CuratedRow, Spool
from ringlite_cli.data.sets import draw_sets
from ringlite_cli.data.text import grams
from ringlite_cli.problems import read_problems
from ringlite_cli.recipe.schema import ProblemSet, Source

WORDS = ["amber", "bridge", "candle", "dragon", "ember", "forest", "garden", "harbor", "island", "jungle", "kettle"]
WORDS += ["ladder", "meadow", "needle", "orchard"]


def _texts(number: int) -> list[str]:
    rng = np.random.default_rng(7)
    texts = [" ".join(rng.choice(WORDS, 40)) + f" {n}?" for n in range(number)]
    return texts + [text.replace("amber", "golden", 1) for text in texts[::7]]


def _rows(number: int) -> list[CuratedRow]:
    return [row(text, "4", id=f"r{n}") for n, text in enumerate(_texts(number))]


def _same(one: Features, two: Features) -> bool:
    arrays = all(np.array_equal(getattr(one, n), getattr(two, n)) for n in Features.ARRAYS)
    gram_sets = np.array_equal(one.grams.hashes, two.grams.hashes) and np.array_equal(
        one.grams.offsets, two.grams.offsets
    )
    return arrays and gram_sets and one.reasons == two.reasons and one.trace_reasons == two.trace_reasons


def test_a_spool_gives_back_what_it_took(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "rows")
    tests = {"mode": "function", "entry_point": "f", "cases": [{"args": [1, [2.5, None]], "expected": "é"}]}
    rows = [row("Find é.", None, domain="code", tests=tests, labels={"k": [1]}), row("long " * 3000, "4", trace="t")]
    problems = [r.problem for r in rows]
    for one in rows:
        one.move_to(spool)
    assert [r.problem for r in rows] == problems
    rows[1].change(trace=None, labels={"verified_by": "trace"})
    assert rows[1].problem.trace is None
    assert rows[1].problem.prompt == problems[1].prompt
    assert rows[0].problem == problems[0]
    spool.close()
    assert not (tmp_path / "rows").exists()


def test_measuring_by_processes_and_on_disk_is_measuring(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feature_file, "PARALLEL_FROM", 10)
    monkeypatch.setattr(feature_file, "CHUNK", 16)
    rows = _rows(60)
    plain = measure(rows)
    spool = Spool(tmp_path / "rows")
    for one in rows:
        one.move_to(spool)
    assert _same(measure(rows, folder=tmp_path, workers=2), plain)
    assert _same(measure(rows, folder=tmp_path, workers=1), plain)
    said: list[tuple[str, int, int]] = []
    measure(rows, folder=tmp_path, workers=2, progress=lambda *told: said.append(told))
    assert said[0] == ("reading the texts", 0, len(rows))  # before the processes have started
    assert said[-1] == ("reading the texts", len(rows), len(rows))
    places = np.array([3, 50, 1])
    assert measure([rows[i] for i in places]).grams.hashes.tolist() == plain.take(places).grams.hashes.tolist()
    spool.close()
    assert os.listdir(tmp_path) == []


def test_near_pairs_do_not_depend_on_the_parts_they_are_read_in(monkeypatch: pytest.MonkeyPatch) -> None:
    documents = [text.split() for text in _texts(50)]
    held = [text.split() for text in _texts(50)[10:40:3]]
    whole = near_pairs(grams(documents, 8), grams(held, 8))
    monkeypatch.setattr(decontamination, "_PART", 7)
    assert near_pairs(grams(documents, 8), grams(held, 8)) == whole
    assert len(whole) >= 10


def test_near_copies_need_the_numbers_the_label_and_nearly_every_word() -> None:
    text = " ".join(WORDS * 3) + " costs 30 and 12 more, how much is that?"
    pairs = [
        (text, text.replace("12", "twelve"), "4", "4", ["duplicate_exact"]),
        (text, text.replace("12", "twelve"), "4", "5", ["conflicting_answers"] * 2),
        (text, text.replace("12", "13"), "4", "4", []),
        (text, text.replace("costs", "takes"), "4", "4", ["duplicate_near"]),
        (text, text.replace("costs", "takes"), "4", "5", []),
    ]
    for one, two, first, second, reasons in pairs:
        assert [d.reason for d in drop_duplicates([row(one, first), row(two, second)]).drops] == reasons


def test_code_with_other_tests_is_a_copy_only_when_all_but_nothing_differs() -> None:
    text = " ".join(WORDS * 9) + " Return how many there are"
    tests: list[dict[str, Any]] = [{"mode": "unit", "code": f"assert f({n}) == 2"} for n in (1, 2)]

    def dropped(other: str) -> list[str]:
        rows = [row(t, None, domain="code", tests=s) for t, s in zip((text, other), tests, strict=True)]
        return [f"{d.reason}: {d.detail}" for d in drop_duplicates(rows).drops]

    assert dropped(f"{text} please") == ["duplicate_near: the tests differ"]
    assert dropped(f"{text} from the root of a tree, level by level, to its last leaf") == []


def test_mixes_by_shares() -> None:
    rows = [row(f"Find {n}.", "4", id=f"{d}{n}", domain=d) for d, k in (("math", 40), ("code", 10)) for n in range(k)]
    shares = {"math": 0.5, "code": 0.5}
    drawn, warnings = draw_sets(rows, {"all": ProblemSet(mix=shares)}, 1)
    assert [r.problem.domain for r in drawn["all"]].count("math") == 10
    assert (len(drawn["all"]), warnings) == (20, [])
    drawn, warnings = draw_sets(rows, {"some": ProblemSet(mix=shares, total=8)}, 1)
    assert (len(drawn["some"]), warnings) == (8, [])
    drawn, warnings = draw_sets(rows, {"many": ProblemSet(mix={"math": 0.9, "code": 0.1}, total=60)}, 1)
    assert len(drawn["many"]) == 44
    assert warnings == ["set many: 44 of the 60 rows asked for, for the mix: there are 40 math"]


@pytest.mark.parametrize(
    ("fields", "says"),
    [({"rows": {"math": 1}, "mix": {"math": 1}}, "rows or mix"), ({"total": 3}, "total needs mix")],
)
def test_sets_that_contradict_themselves(fields: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        ProblemSet(**fields)


def test_every_produced_row_leads_back_to_its_source(tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    lines = [{"q": f"Compute {n} times {n + 1} for me.", "a": str(n * n + n)} for n in range(5)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    source = Source(path=str(tmp_path / "rows.jsonl"), columns={"prompt": "q", "answer": "a"}, domain="math")
    result = curate([source], {"all": ProblemSet()}, exact_match, tmp_path / "out", seed=1, generators={})
    told = pq.read_table(tmp_path / "out" / "provenance.parquet").to_pylist()
    made = read_problems(result.sets["all"])
    assert [(t["set"], t["id"], t["source"], t["index"]) for t in told] == [
        ("all", p.id, p.source, p.index) for p in made
    ]
    for one, problem in zip(told, made, strict=True):
        assert lines[one["index"]]["q"] == problem.prompt
        assert {"image_needed", "contamination", "verification", "duplicates"} <= set(one["passed"].split())
        assert "missing_tests" not in one["passed"]
        assert one["verified_by"] == "answer"
    assert not (tmp_path / "out" / ".spool").exists()


def test_the_permutations_of_minhash_stay_the_same_numbers() -> None:
    """Other numbers would let other pairs meet: which rows count as copies would change with a release."""
    drawn = permutations()
    assert drawn[:, :2].tolist() == [[3582191691, 4270784983], [4114104213, 1768615473]]
    assert drawn.astype(np.uint64).sum(1).tolist() == [142572423004, 127860017235]
    assert (drawn[0] % 2).all()
