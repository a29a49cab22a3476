"""Pairs of responses in the shapes that public data sets have, and rows that are none."""

import json
from pathlib import Path

import pytest

from ringlite_cli.data.pairs import EMPTY, EQUAL, REPEATED, BadPair, load_pairs, read_pair
from ringlite_cli.errors import UserError
from ringlite_cli.recipe.reward_model import PairSource

USER, GOOD, BAD = ({"role": r, "content": c} for r, c in (("user", "Why?"), ("assistant", "So."), ("assistant", "No.")))
SYSTEM = {"role": "system", "content": "Be brief."}


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "Why?", "chosen": "So.", "rejected": "No."},
        {"prompt": [USER], "chosen": [GOOD], "rejected": [BAD]},
        {"chosen": [USER, GOOD], "rejected": [USER, BAD]},
        {"prompt": "Why?", "chosen": [USER, GOOD], "rejected": [USER, BAD]},  # ultrafeedback_binarized
        {"prompt": "Why?", "chosen": GOOD, "rejected": BAD},
        {"prompt": [{"from": "human", "value": "Why?"}], "chosen": {"from": "gpt", "value": "So."},
         "rejected": {"from": "gpt", "value": "No."}},
    ],
)  # fmt: skip
def test_one_pair_in_many_shapes(row):
    pair = read_pair(row)
    assert (pair.asked, pair.chosen, pair.rejected) == ((USER,), "So.", "No.")


def test_turns_before_the_prompt_stay():
    pair = read_pair({"chosen": [SYSTEM, USER, GOOD], "rejected": [SYSTEM, USER, BAD]})
    assert pair.asked == (SYSTEM, USER)
    apart = read_pair({"prompt": [SYSTEM], "chosen": [USER, GOOD], "rejected": [USER, BAD]})
    assert apart.asked == (SYSTEM, USER)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"prompt": "x", "chosen": "y"}, "no column 'rejected'"),
        ({"chosen": "y", "rejected": "z"}, "no prompt"),
        ({"chosen": [USER, GOOD], "rejected": [SYSTEM, BAD]}, "different prompts"),
        ({"chosen": [USER], "rejected": [USER]}, "ends with a turn of user"),
        ({"prompt": "x", "chosen": 3, "rejected": "z"}, "neither a text nor a chat"),
        ({"prompt": "x", "chosen": [{"role": "assistant"}], "rejected": "z"}, "without role and content"),
    ],
)
def test_a_row_that_is_no_pair_says_why(row, said):
    with pytest.raises(BadPair, match=said):
        read_pair(row)


def test_a_system_prompt_may_stand_in_a_column_of_its_own():
    pair = read_pair({"system": SYSTEM["content"], "prompt": "1 + 1?", "chosen": "2", "rejected": "3"})
    assert pair.asked == (SYSTEM, {"role": "user", "content": "1 + 1?"})
    chats = {"system_prompt": "Another.", "chosen": [SYSTEM, USER, GOOD], "rejected": [SYSTEM, USER, BAD]}
    assert read_pair(chats).asked == (SYSTEM, USER)


def test_what_teaches_nothing_is_counted(tmp_path: Path):
    rows = [("a", "b"), ("a", "a "), ("", "b"), ("c", " "), ("c", "d")]
    file = tmp_path / "pairs.jsonl"
    file.write_text("".join(json.dumps({"q": "x", "chosen": c, "rejected": r}) + "\n" for c, r in rows) + "[]\n")
    found = load_pairs(PairSource(path=str(file), columns={"prompt": "q"}))
    assert (found.rows, len(found.pairs), found.unreadable) == (6, 2, 1)
    assert found.left_out == {EQUAL: 1, EMPTY: 2}
    assert len(load_pairs(PairSource(path=str(file), columns={"prompt": "q"}, rows=1)).pairs) == 1
    with pytest.raises(UserError, match="can't be read as pairs"):
        load_pairs(PairSource(path=str(file)))
    with pytest.raises(UserError, match="no such file"):
        load_pairs(PairSource(path=str(tmp_path / "none.jsonl")))


def test_a_pair_that_is_there_already_is_counted(tmp_path: Path):
    """Twenty copies of one held-out pair looked like twenty pairs that the model ranks right."""
    rows = [("x", "a", "b"), ("x", "a", "b"), ("y", "a", "b"), ("x", "b", "a"), ("x", "a ", "b")]
    file = tmp_path / "pairs.jsonl"
    file.write_text("".join(json.dumps({"prompt": p, "chosen": c, "rejected": r}) + "\n" for p, c, r in rows))
    found = load_pairs(PairSource(path=str(file)))
    assert [(p.asked[0]["content"], p.chosen) for p in found.pairs] == [("x", "a"), ("y", "a"), ("x", "b")]
    assert found.left_out == {REPEATED: 2}
