"""Prompts with verifiable instructions: every reply follows its own, and none of the prompts is one of IFEval's."""

import json
import re
from collections import Counter
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from curation_helpers import exact_match

from ringlite_cli.data.curate import curate
from ringlite_cli.data.decontaminate import decontaminate
from ringlite_cli.data.generators import GENERATORS
from ringlite_cli.data.generators.instructions import KINDS, bank
from ringlite_cli.data.generators.instructions.kinds import clashes
from ringlite_cli.data.rows import CuratedRow
from ringlite_cli.data.sources import load_sources
from ringlite_cli.errors import UserError
from ringlite_cli.problems import Problem
from ringlite_cli.recipe.schema import ProblemSet, Source
from ringlite_cli.rewards import Verifiers, VerifierSettings
from ringlite_cli.rewards.instructions import CHECKS, verify_instructions
from ringlite_cli.thoughts import answer_part

SCALES: list[dict[str, Any]] = [{}, {"short": True}]


def make(rows: int, seed: int = 17, split: str = "train", **options: Any) -> list[Problem]:
    return list(GENERATORS["instructions"].generate(rows, seed, split, options))


def asked(problem: Problem) -> list[str]:
    return list(json.loads(problem.answer or "")["instruction_id_list"])


@pytest.mark.slow
@pytest.mark.parametrize("options", SCALES, ids=["long", "short"])
def test_every_reply_follows_its_instructions(options: dict[str, Any]) -> None:
    rows = make(1500, **options) + make(500, seed=4, split="eval", **options)
    verdicts = [verify_instructions(p.answer, answer_part(p.trace or "")) for p in rows]
    wrong = [(p.prompt, v.detail) for p, v in zip(rows, verdicts, strict=True) if v.verdict != "correct"]
    assert wrong == []
    seen = Counter(name for p in rows for name in asked(p))
    assert seen.keys() == CHECKS.keys()
    assert min(seen.values()) > 20


def test_the_kinds_are_the_verifiers() -> None:
    assert KINDS.keys() == CHECKS.keys() == bank.wordings().keys()


def test_the_verifier_reads_what_stands_after_the_thought() -> None:
    (row,) = make(1, kinds=["no_comma"], instructions=1)
    reply = (row.trace or "").partition("</think>")[2]
    texts = [
        f"<think>\nFirst, this.\n</think>{reply}",
        f"<think>{reply}</think>",
        f"<think>{reply}",
        f"{reply}</think>One, two.",
        f"<think>{reply}</think>One, two.",
    ]
    with Verifiers(VerifierSettings(workers=1)) as verify:
        verdicts = verify([(row, text) for text in texts])
    assert [v.verdict for v in verdicts] == ["correct", "wrong", "wrong", "wrong", "wrong"]


def test_what_can_not_go_together_is_never_asked_for() -> None:
    rows = make(800) + make(800, short=True)
    pairs = {pair for p in rows for pair in combinations(sorted(asked(p)), 2)}
    assert not [pair for pair in pairs if clashes(*pair)]
    assert Counter(map(len, map(asked, rows))).keys() == {1, 2, 3}
    assert all(len(set(names)) == len(names) for names in map(asked, rows))
    assert all(p.labels["instructions"] == len(asked(p)) for p in rows)
    for one, other in (
        ("change_case:english_capital", "change_case:english_lowercase"),
        ("detectable_format:json_format", "punctuation:no_comma"),
        ("language:response_language", "change_case:english_capital"),
        ("startend:quotation", "startend:end_checker"),
    ):
        assert clashes(one, other)


def test_a_request_stands_in_one_split_alone() -> None:
    requests = [
        {re.split(r"(?<=[.?])[\s]", p.prompt)[0] for p in make(600, seed, split, short=True)}
        for seed, split in ((1, "train"), (2, "select"), (3, "eval"))
    ]
    assert all(len(each) > 50 for each in requests)
    assert not any(one & other for one, other in combinations(requests, 2))


def test_prompts_ask_for_what_the_arguments_say() -> None:
    """Of every number, word, phrase and marker that is checked, the prompt tells."""
    for p in make(400) + make(400, short=True):
        for arguments in json.loads(p.answer or "")["kwargs"]:
            for key, value in arguments.items():
                if key.endswith("relation") or key == "prompt_to_repeat":
                    continue
                shown = bank.LANGUAGES[value] if key == "language" else value
                told = shown if isinstance(shown, list) else [str(shown)]
                assert all(each in p.prompt for each in told), (p.prompt, arguments)


def test_kinds_and_their_number_are_chosen() -> None:
    rows = make(200, kinds=["no_comma", "startend:quotation"], instructions=2, short=True)
    assert Counter(map(len, map(asked, rows))).keys() == {1, 2}
    assert {name for p in rows for name in asked(p)} == {"punctuation:no_comma", "startend:quotation"}
    assert max(len(p.prompt) for p in rows) < 90
    assert max(len(answer_part(p.trace or "")) for p in rows) < 120


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kinds": ["no_coma"]}, r"options.kinds: no instruction 'no_coma'.*did you mean 'no_comma'"),
        ({"kinds": "no_comma"}, "'no_comma' is not a list of names"),
        ({"kinds": [1]}, "is not a list of names"),
        ({"short": 1}, "1 is not true or false"),
        ({"instructions": 0}, "0 is not a whole number of at least 1"),
        ({"instructions": True}, "True is not a number"),
    ],
)
def test_a_wrong_option_is_the_users_error(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        make(1, **options)


@pytest.mark.slow
@pytest.mark.parametrize("options", SCALES, ids=["long", "short"])
def test_curation_keeps_every_prompt_with_its_trace(options: dict[str, Any], tmp_path: Path) -> None:
    sources = [
        Source(generator="instructions", rows=600, options=options),
        Source(generator="instructions", rows=60, split="eval", options=options),
    ]
    sets = {"traces": ProblemSet(traces=True), "eval": ProblemSet(split="eval")}
    result = curate(sources, sets, exact_match, tmp_path, seed=17, generators=GENERATORS)
    assert result.funnel["dropped"] == {}
    assert result.funnel["verified_by"] == {"trace": 660}


@pytest.mark.slow
def test_no_prompt_is_one_of_ifevals(real_data: Path) -> None:
    columns = {name: name for name in ("prompt", "instruction_id_list", "kwargs")}
    source = Source(path=str(real_data / "eval" / "ifeval.jsonl"), columns=columns, domain="general", split="eval")
    (held,) = load_sources([source], seed=1, generators={})
    made = make(3000) + make(1000, seed=5, split="select", short=True)
    rows = [CuratedRow(p, "train") for p in made]  # as if people had written them: nothing is forgiven
    assert len(held.rows) > 500
    assert decontaminate(rows, held.rows).drops == []
    copied = CuratedRow(held.rows[0].problem, "train")
    assert len(decontaminate([*rows, copied], held.rows).drops) == 1


@pytest.mark.slow
def test_no_wording_is_one_of_ifevals(real_data: Path) -> None:
    lines = (real_data / "eval" / "ifeval.jsonl").read_text(encoding="utf-8").splitlines()
    prompts = " ".join(f" {' '.join(re.findall(r'[a-z]+', json.loads(line)['prompt'].lower()))} " for line in lines)
    shared = [text for text in templates(bank.wordings()) + templates(bank.requests()) if is_within(text, prompts)]
    assert shared == []


def templates(tree: Any) -> list[str]:
    """All texts of a scale of people's prompts; those of a few words can't but be like others'."""
    if isinstance(tree, str):
        return [tree]
    children = tree if isinstance(tree, list) else [child for name, child in tree.items() if name != "short"]
    return [text for child in children for text in templates(child)]


def is_within(template: str, prompts: str) -> bool:
    """Return whether seven words in a row of a template stand in the prompts."""
    words = re.findall(r"[a-z]+|\{", template.lower())
    runs = [words[start : start + 7] for start in range(max(1, len(words) - 6))]
    return any("{" not in run and len(run) == 7 and f" {' '.join(run)} " in prompts for run in runs)
