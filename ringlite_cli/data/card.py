"""The data card of a curated pool: what came in, what went out and why, examples of each reason, matched pairs."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from ringlite_cli.data.labels import MSC
from ringlite_cli.data.needs import FOR_COMPARISON_RULES
from ringlite_cli.data.rows import Drop
from ringlite_cli.data.rules import RULES
from ringlite_cli.data.text import collapse
from ringlite_cli.domains import writes_code

_EXAMPLES = 3
_WIDTH = 160
_LABELS = 24  # rows of a label's table

_OTHER_REASONS = {
    "unreadable_row": "the row could not be read, or is not of the source's schema",
    "unknown_instructions": "the verifier knows no such instruction, or its arguments do not fit",
    "empty_reference": "no reference text has a word in it, so no response could be like it",
    "trace_not_followed": "the worked response does not follow its own instructions",
    "unparseable_answer": "the verifier does not accept the gold answer as an answer to itself",
    "answer_disagrees": "the worked trace or solution arrives at another answer than the gold",
    "solution_dependency": "the accepted solution imports what the sandbox has not",
    "solution_time": "the accepted solution takes longer than the sandbox allows",
    "solution_memory": "the accepted solution needs more memory than the sandbox allows",
    "solution_wrong": "the accepted solution fails a test",
    "solution_error": "the accepted solution or its tests raise an error",
    "duplicate_exact": "the same problem as another row, but for white space, case, punctuation or LaTeX dress",
    "duplicate_near": "the same label, numbers and operators as another row, and nearly the same words and question",
    "duplicate_words": "the same words and numbers as another row; signs, operators or the answer differ",
    "conflicting_answers": "the same text as another row with another answer, and nothing says which is right",
    "answer_unreachable": "a response that gives this answer in its natural form would not be rewarded",
    "duplicate_semantic": "the same label, and a prompt that the embedding model takes for the same",
    "no_agreement": "no model ever gives the gold answer, and no worked solution confirms it",
    "never_solved": "no model ever solves it",
    "prompt_too_long": "its prompt leaves no model room for a response",
    "always_solved": "the first model always solves it",
    "contamination_semantic": "in the embedding model's eyes a held-out problem; the label or all numbers agree too",
    "contamination": "stands in a held-out split: 8-gram similarity with boilerplate weighed down",
}


def reason_in_words(reason: str) -> str:
    """Return what a reason of curation means; "" for one that speaks for itself."""
    return _OTHER_REASONS.get(reason) or next((rule.about for rule in RULES if rule.name == reason), "")


def render(funnel: Mapping[str, Any], drops: Sequence[Drop], *, seed: int) -> str:
    """CARD.md."""
    dropped = sum(funnel["dropped"].values())
    parts = [
        "# Data card\n",
        f"{funnel['rows_in']:,} rows in, {dropped:,} dropped, {funnel['out']:,} out. Seed {seed}.\n",
        *[f"**Warning:** {w}\n" for w in funnel["warnings"]],
        "## Sources\n",
        _table(("source", "rows in", "dropped", "out"), _source_rows(funnel["by_source"])),
        "## Sets\n",
        _table(("set", "rows", "by domain"), _set_rows(funnel["sets"])),
        "## Dropped, by reason\n",
        _table(("reason", "rows"), [(k, f"{v:,}") for k, v in funnel["dropped"].items()]),
    ]
    if funnel["traces_stripped"]:
        parts += [
            "## Traces taken off rows that stayed\n",
            _table(("reason", "rows"), [(k, f"{v:,}") for k, v in funnel["traces_stripped"].items()]),
        ]
    if shared := funnel.get("boilerplate"):
        parts += ["## What the prompts of a source share\n", "Left out where rows are compared.\n", _shared(shared)]
    parts += _games(funnel.get("reasoning_gym"))
    parts += _tables(funnel)
    parts += ["## Examples\n", _examples(drops), "## Rules\n", _rules()]
    return "\n".join(parts)


def _shared(shared: Mapping[str, Any]) -> str:
    rows = [
        (source, t["where"], f"{100 * t['share']:.0f} %", _short(t["text"]), f"{told['taken_off']:,}")
        for source, told in shared.items()
        for t in told["texts"]
    ]
    return _table(("source", "at its", "of its rows", "text", "prompts that lost it (the suffix says it)"), rows)


def _games(told: Mapping[str, Any] | None) -> list[str]:
    """Which version made the logic games, and what became of those that it made."""
    if not told:
        return []
    heads = ("rows", "drawn", "repeated", "held_out", "failed", "wrong_gold", "without_trace")
    rows = [
        (source, game, *(f"{counts[head]:,}" for head in heads))
        for source, games in told["sources"].items()
        for game, counts in games.items()
    ]
    said = (
        f"Made by reasoning-gym {told['version']}; another version may make others. Drawn problems that stood there "
        "already (repeated), stand in a task of eval (held_out), could not be made (failed) or come with an answer "
        "that does not follow (wrong_gold) are no rows. Rows without_trace have no worked solution.\n"
    )
    return ["## Logic games\n", said, _table(("source", "game", *(h.replace("_", " ") for h in heads)), rows)]


def _tables(funnel: Mapping[str, Any]) -> list[str]:
    """The tables of what is there: mended tests, traces of a teacher, and the labels of the rows that came through."""
    parts = []
    if funnel.get("tests_mended"):
        parts += ["## Tests that lost faulty cases\n", _table(("reason", "rows"), _pairs(funnel["tests_mended"]))]
    if ran := funnel.get("solutions"):
        rows = [(n, f"{c['passed']:,}", ", ".join(f"{k} {v}" for k, v in c["failed"].items())) for n, c in ran.items()]
        parts += ["## Accepted solutions that were run\n", _table(("source", "passed", "failed"), rows)]
    if doubts := funnel.get("doubtful"):
        told_of = [(source, ", ".join(f"{why} {n}" for why, n in counts.items())) for source, counts in doubts.items()]
        parts += ["## Rows that stay, though something speaks against their answer\n"]
        parts += ["Held-out rows that the verifier rejects, and others where `doubtful: keep` says so; "]
        parts += ["doubtful.jsonl lists them.\n"]
        parts += [_table(("source", "rows"), told_of)]
    if told := funnel.get("distill"):
        parts += ["## Traces of a teacher\n", f"{told['kept']:,} of {told['asked']:,} problems have one now.\n"]
        rounds = [(str(n), f"{r['asked']:,}", f"{r['kept']:,}") for n, r in enumerate(told["rounds"], 1)]
        parts += [_table(("round", "problems asked", "traces kept"), rounds)]
        parts += [_table(("rejected because", "responses"), _pairs(told["rejected"]))]
    for name, counts in funnel.get("pass_rates", {}).items():
        parts += [
            f"## Pass rates of {_short(name)}, all problems asked\n",
            _table(("pass rate", "rows"), _pairs(counts)),
        ]
    for name, values in funnel.get("pass_rates_by_label", {}).items():
        rows = [(_short(value), f"{told['rows']:,}", f"{told['pass_rate']:.2f}") for value, told in values.items()]
        parts += [f"## Pass rates by {name}\n", _table((name, "rows", "mean pass rate"), rows[:_LABELS])]
    for name, counts in funnel.get("labels", {}).items():
        if name == "pass_rate":
            counts = dict(sorted(counts.items()))
        shown = list(counts.items())[:_LABELS]
        if name == "subject_class":
            shown = [(f"{code} {MSC.get(code, '')}", n) for code, n in shown]
        parts += [f"## Label: {name}\n", _table((name, "rows"), _pairs(dict(shown)))]
    if made := funnel.get("labelled_by"):
        ways = [(name, ", ".join(f"{_short(how)} {n:,}" for how, n in counts.items())) for name, counts in made.items()]
        parts += ["## How labels were made\n", _table(("label", "made by, rows"), ways)]
    return parts


def _pairs(counts: Mapping[str, int]) -> list[tuple[str, str]]:
    return [(_short(str(name)), f"{n:,}") for name, n in counts.items()]


@cache
def passed(domain: str, traced: bool, benchmark: bool, verified: bool = True, compared: bool = True) -> str:
    """The names of the rules and steps that such a row was put to and passed, with spaces between."""
    if benchmark:
        steps = ["missing_tests" if writes_code(domain) else "missing_answer", "contamination"]
        return " ".join([*steps, "verification"] if verified else steps)
    skip = set() if writes_code(domain) else {"code"}
    skip |= set() if traced else {"trace"}
    skipped = () if compared else FOR_COMPARISON_RULES
    rules = [rule.name for rule in RULES if rule.family not in skip and rule.name not in skipped]
    return " ".join([*rules, "contamination", "verification", "duplicates"])


def _source_rows(by_source: Mapping[str, Any]) -> list[tuple[str, ...]]:
    return [
        (name, f"{c['rows_in']:,}", f"{sum(c['dropped'].values()):,}", f"{c['out']:,}") for name, c in by_source.items()
    ]


def _set_rows(sets: Mapping[str, Any]) -> list[tuple[str, ...]]:
    return [
        (name, f"{s['rows']:,}", ", ".join(f"{d} {n:,}" for d, n in s["by_domain"].items())) for name, s in sets.items()
    ]


def _examples(drops: Sequence[Drop]) -> str:
    """The first few rows of each reason; with the row they repeat, where they repeat one."""
    grouped: dict[str, list[Drop]] = defaultdict(list)
    for drop in drops:
        grouped[drop.reason].append(drop)
    lines = []
    for reason in sorted(grouped, key=lambda r: -len(grouped[r])):
        lines.append(f"**{reason}** ({len(grouped[reason]):,})\n")
        for drop in grouped[reason][:_EXAMPLES]:
            lines.append(f"- `{drop.problem.id}` {_short(drop.problem.prompt)}")
            if drop.detail:
                lines.append(f"  - {_short(drop.detail)}")
            if drop.other:
                lines.append(f"  - {drop.score or 0:.2f} `{drop.other.id}` {_short(drop.other.prompt)}")
        lines.append("")
    return "\n".join(lines)


def _rules() -> str:
    lines = [f"- {rule.family}: `{rule.name}`: {rule.about}" for rule in RULES]
    return "\n".join(lines + [f"- `{name}`: {about}" for name, about in _OTHER_REASONS.items()]) + "\n"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)]) + "\n"


def _short(text: str) -> str:
    """One line that no Markdown in the data can break."""
    line = collapse(text)
    line = line if len(line) <= _WIDTH else line[: _WIDTH - 1] + "…"
    return line.replace("`", "'").replace("<", "&lt;").replace("|", "\\|")
