"""Control tokens of chat formats that stand in data are counted and said."""

import json

import pytest
from curation_helpers import exact_match

from ringlite_cli.data.control_tokens import control_tokens
from ringlite_cli.data.curate import curate
from ringlite_cli.problems import Problem
from ringlite_cli.recipe.schema import ProblemSet, Source


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Stop at <|im_end|> or </s>.", {"<|im_end|>", "</s>"}),
        ("[INST] is Llama's, <｜User｜> DeepSeek's, <end_of_turn> Gemma's", {"[INST]", "<｜User｜>", "<end_of_turn>"}),
        ("If a <|b| and |c|> d, then x[i] <s for all i", set()),
        ("<think>\nno control token\n</think>", set()),
    ],
)
def test_what_counts_as_one(text, found):
    assert control_tokens(Problem("p", "general", "Why?", trace=text)) == found
    assert control_tokens(Problem("p", "general", text)) == found


def test_curation_counts_the_rows_that_spell_one_out(tmp_path):
    file = tmp_path / "rows.jsonl"
    rows = [
        {"prompt": f"Tell me about the {word} and where it comes from, please.", "trace": f"The {word} is old.{end}"}
        for word, end in (("violin", "<|im_end|>"), ("trumpet", "<|im_end|> <|im_end|>"), ("piano", ""))
    ]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    sets = {"sft": ProblemSet(traces=True)}
    made = curate([Source(path=str(file))], sets, exact_match, tmp_path / "out", seed=1, generators={})
    assert made.funnel["control_tokens"] == {"<|im_end|>": 2}
    assert [w for w in made.warnings if "<|im_end|> (2)" in w]
