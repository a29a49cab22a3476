"""One source split by shares, with near-copies kept together."""

import json
import random
from collections import Counter, defaultdict
from pathlib import Path

import pytest
from curation_helpers import exact_match, row

from ringlite_cli.data.cleansing import is_benchmark
from ringlite_cli.data.curate import curate
from ringlite_cli.data.rows import CuratedRow
from ringlite_cli.data.splitting import split_rows
from ringlite_cli.recipe.schema import ProblemSet, Source

SHARES = {"train": 0.8, "select": 0.1, "eval": 0.1}
WORDS = [
    "river",
    "stone",
    "lamp",
    "garden",
    "market",
    "winter",
    "copper",
    "violin",
    "harbour",
    "meadow",
    "lantern",
    "orchard",
    "saddle",
    "timber",
]


def _problem(n: int) -> str:
    words = random.Random(n).sample(WORDS, 8)
    return f"A {words[0]} near the {words[1]} holds {n + 3} {' and '.join(words[2:])} things; how many {words[7]}s?"


def _copies(number: int) -> list[CuratedRow]:
    """Three tellings of each problem: with a request, and with other words around it."""
    rows = []
    for n in range(number):
        for k, text in enumerate((_problem(n), f"{_problem(n)} Think hard.", f"Well then. {_problem(n)}")):
            rows.append(row(text, str(n * 7), id=f"{n}/{k}", index=3 * n + k))
    return rows


def test_near_copies_are_in_one_split_and_shares_hold() -> None:
    rows = _copies(200)
    random.Random(1).shuffle(rows)
    split_rows(rows, SHARES, 5)
    of_problem = defaultdict(set)
    for r in rows:
        of_problem[r.problem.id.partition("/")[0]].add(r.split)
    assert all(len(splits) == 1 for splits in of_problem.values())
    counts = Counter(r.split for r in rows)
    assert all(abs(counts[split] - share * 600) <= 3 for split, share in SHARES.items())
    assert not any(is_benchmark(r) for r in rows)


def test_one_template_with_other_numbers_is_many_problems() -> None:
    rows = [row(f"A shelf holds {n} boxes with {n + 9} screws in each; how many?", str(n), index=n) for n in range(100)]
    split_rows(rows, SHARES, 5)
    assert Counter(r.split for r in rows) == {"train": 80, "select": 10, "eval": 10}


@pytest.mark.parametrize("answer", ["4", None])
def test_equal_texts_stay_together_whatever_the_answers(answer: str | None) -> None:
    rows = [row(_problem(n // 2), answer or str(n), index=n) for n in range(40)]
    split_rows(rows, {"train": 0.5, "eval": 0.5}, 5)
    assert all(rows[n].split == rows[n + 1].split for n in range(0, 40, 2))
    assert Counter(r.split for r in rows) == {"train": 20, "eval": 20}


def test_the_same_seed_gives_the_same_splits() -> None:
    one, two, other = _copies(50), _copies(50), _copies(50)
    for rows, seed in ((one, 1), (two, 1), (other, 2)):
        split_rows(rows, SHARES, seed)
    assert [r.split for r in one] == [r.split for r in two] != [r.split for r in other]


def test_a_recipe_splits_a_file_and_the_held_out_part_passes_the_rules(tmp_path: Path) -> None:
    rows = [{"q": _problem(n), "a": str(n)} for n in range(60)]
    rows += [{"q": f"Prove that the {w} {v} is a prime number.", "a": "1"} for w in WORDS for v in WORDS[:3]]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    source = Source(
        path=str(tmp_path / "rows.jsonl"), columns={"prompt": "q", "answer": "a"}, domain="math", split=SHARES
    )
    sets = {split: ProblemSet(split=split) for split in SHARES}  # type: ignore[arg-type]
    result = curate([source], sets, exact_match, tmp_path / "out", seed=1, generators={})
    assert result.funnel["dropped"]["proof"] == len(WORDS) * 3
    assert sum(s["rows"] for s in result.funnel["sets"].values()) == 60
