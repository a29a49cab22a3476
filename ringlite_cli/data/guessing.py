"""How a file that nothing is said of is read: which column holds what, by public names and by what stands in it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any

from ringlite_cli.boxes import last_boxed
from ringlite_cli.data.adapters.chats import is_chat, of_row
from ringlite_cli.data.adapters.expressions import ABSENT, value_of
from ringlite_cli.data.adapters.fields import BadRow
from ringlite_cli.data.readers import read_file
from ringlite_cli.errors import UserError, near
from ringlite_cli.json_rows import Unreadable
from ringlite_cli.problems import DOMAINS
from ringlite_cli.recipe.schema import Source

Rows = Sequence[Mapping[str, Any]]

_PROMPTS = ("prompt", "question", "problem", "query", "instruction", "task", "user", "input", "text")
_CHATS = ("messages", "conversations", "conversation", "dialogue", "chat")
_ANSWERS = (
    "answer", "final_answer", "gold", "gold_answer", "ground_truth", "groundtruth", "expected_answer", "expected",
    "target", "label", "result", "reference", "reference_answer", "correct_answer", "short_answer",
)  # fmt: skip
_NESTED = ("reward_model.ground_truth", "verification_info.ground_truth")
"""Where files for RL keep the answer, beside a style or a type of reward."""
_TRACES = (
    "trace", "solution", "rationale", "reasoning", "cot", "chain_of_thought", "explanation", "worked_solution",
    "generated_solution", "response", "completion", "output", "generation", "deepseek_solution", "r1_solution",
)  # fmt: skip
_TESTS = ("tests", "test_cases", "testcases", "test_list", "test", "unit_tests", "input_output")
_LABELS = {"subject": "subject", "type": "subject", "category": "subject", "topic": "topic", "level": "level",
           "difficulty": "difficulty"}  # fmt: skip
_OWN = {"prompt", "answer", "trace", "tests", "domain", "verifier", "labels", "id", "source", "index"}
_SHORT = 60  # characters: a longer text is a worked solution, not an answer
_MANY = 0.8  # share of the rows that have to look alike


@dataclass(frozen=True)
class Guess:
    """How a file's rows are read: by an adapter, or by columns; by neither, the rows have ringlite's own fields.

    why: a line for each choice.
    """

    adapter: str | None = None
    columns: dict[str, str] = field(default_factory=dict)
    why: list[str] = field(default_factory=list)

    @property
    def in_words(self) -> str:
        if self.columns:
            return ", ".join(f"{ours} <- {theirs}" for ours, theirs in self.columns.items())
        return f"as adapter {self.adapter} reads them" if self.adapter else "ringlite's own fields"


@dataclass(frozen=True)
class Reading:
    """How a file is read. domain: of all rows; None where they or the adapter say it. rows: its first, as they stand.

    unreadable: how many of the first can't be read.
    """

    path: Path
    guess: Guess
    domain: str | None
    rows: list[Mapping[str, Any]]
    unreadable: int

    def source(self, split: str | Mapping[str, float] = "train", rows: int | None = None) -> Source:
        """Return the file as a source of a recipe."""
        keys: dict[str, Any] = {"path": str(self.path), "split": split, "rows": rows}
        keys |= {"adapter": self.guess.adapter, "columns": self.guess.columns, "domain": self.domain}
        return Source.made(**keys)


FIRST = 50
"""Rows by which columns are guessed."""


def open_file(path: Path, columns: str = "", domain: str | None = None) -> Reading:
    """Look at a file's first rows and decide how they are read.

    columns: FIELD=COLUMN pairs; "" guesses. domain: of all rows; None guesses. Raises UserError for a file that can't
    be read, has no rows, or whose columns nothing is known of.
    """
    if domain is not None and domain not in DOMAINS:
        hint = near(domain, DOMAINS, f"domains are {', '.join(DOMAINS)}")
        raise UserError(f"{domain!r} is not a domain", where="--domain", hint=hint)
    first = list(islice(read_file(path), FIRST))
    rows = [row for row in first if not isinstance(row, Unreadable)]
    if not rows:
        hint = "" if path.name.endswith(("csv", "tsv")) else "give JSON Lines, an object a line"
        why = first[0].why if first and isinstance(first[0], Unreadable) else "it is empty"
        raise UserError(f"no row of it can be read ({why})", where=str(path), hint=hint)
    guess = Guess(columns=given_columns(columns, rows, str(path))) if columns else guess_columns(rows, str(path))
    return Reading(path, guess, domain or _domain(guess, rows), rows, len(first) - len(rows))


def _domain(guess: Guess, rows: Rows) -> str | None:
    """The domain of all rows; None where the rows or the adapter say it themselves."""
    if guess.adapter or "domain" in guess.columns or (not guess.columns and any("domain" in row for row in rows)):
        return None
    ours = guess.columns or {name: name for row in rows for name in row}
    if "tests" in ours:
        return "code"
    return "math" if "answer" in ours or _boxes(rows, ours.get("trace"), ours.get("prompt")) else "general"


def _boxes(rows: Rows, trace: str | None, prompt: str | None) -> bool:
    """Whether most traces, or the last turns of most conversations, end in a box, so that they bring answers."""
    if trace is None and prompt is not None and _share(rows, prompt, is_chat) >= _MANY:
        texts = [_last_reply(row, prompt) for row in rows]
    else:
        texts = [row.get(trace) for row in rows] if trace else []
    return sum(isinstance(text, str) and bool(last_boxed(text)) for text in texts) * 2 > len(texts) > 0


def _last_reply(row: Mapping[str, Any], prompt: str) -> str | None:
    try:
        return of_row(row, row.get(prompt))[-1].trace
    except BadRow:
        return None


def guess_columns(rows: Rows, where: str) -> Guess:
    """Guess how rows are read. rows: the first of a file. Raises UserError where no column can be the prompt."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    by_name = {name.strip().lower().replace(" ", "_"): name for name in reversed(names)}
    chat = next((name for name in names if name.lower() in _CHATS and _share(rows, name, is_chat) >= _MANY), None)
    prompt = chat or _first(by_name, _PROMPTS)
    if prompt is None:
        raise UserError(
            f"can't tell which column holds the prompt; there are {', '.join(map(repr, names)) or 'none'}",
            where=where,
            hint="say it, as in --columns prompt=<column>,answer=<column>",
        )
    if not chat and by_name.get("prompt") == "prompt" and set(names) <= _OWN:
        return Guess(why=["the rows have ringlite's own fields"])
    if not chat and _is_gsm8k(rows, by_name):
        return Guess("gsm8k", why=["solutions end in '#### N', as GSM8K's do"])
    return _by_columns(rows, by_name, prompt, is_talk=chat is not None)


def _by_columns(rows: Rows, by_name: Mapping[str, str], prompt: str, *, is_talk: bool) -> Guess:
    columns, why = {"prompt": prompt}, []
    more = by_name.get("input")
    if prompt.lower() == "instruction" and more and any(row.get(more) for row in rows):
        columns["prompt"] = f"{{{prompt}}}\n\n{{{more}}}"
    tests = _first(by_name, _TESTS)
    if tests and any(row.get(tests) for row in rows):
        columns["tests"] = tests
        if entry := _first(by_name, ("entry_point", "fn_name")):
            columns["entry_point"] = entry
    taken = {prompt, more if "\n" in columns["prompt"] else None}
    answers = [by_name[n] for n in _ANSWERS if n in by_name and by_name[n] not in taken]
    traces = [by_name[n] for n in _TRACES if n in by_name and by_name[n] not in taken]
    traces = [name for name in traces if not _is_one_word(rows, name)]
    nested = [name for name in _NESTED if _share(rows, name, bool) >= _MANY]
    short = next((name for name in [*answers, *nested, *traces] if _is_short(rows, name)), None)
    long = next((name for name in [*traces, *answers] if name != short and _is_text(rows, name)), None)
    if short and not tests:
        columns["answer"] = short
        if short in traces:
            why.append(f"{short!r} is short, so it is read as the answer")
    if long and not is_talk:
        columns["trace"] = long
        if long in answers:
            why.append(f"{long!r} is long, so it is read as a worked trace")
    if domain := by_name.get("domain"):
        if {str(row.get(domain)) for row in rows} <= set(DOMAINS):
            columns["domain"] = domain
        else:
            why.append(f"{domain!r} names other domains than {', '.join(DOMAINS)}, and is left out")
    for name, ours in _LABELS.items():
        if name in by_name and ours not in columns and _is_plain(rows, by_name[name]):
            columns[ours] = by_name[name]
    return Guess(columns=columns, why=why)


def given_columns(text: str, rows: Rows, where: str) -> dict[str, str]:
    """Read `prompt=question,answer=gold`. Raises UserError for another form, and for a column that no row has."""
    names = dict.fromkeys(name for row in rows for name in row)
    pairs = {}
    for item in filter(None, text.split(",")):
        ours, sign, theirs = (part.strip() for part in item.partition("="))
        if not (sign and ours and theirs):
            raise UserError(
                f"{item!r} is not FIELD=COLUMN", where="--columns", hint="as in --columns prompt=question,answer=gold"
            )
        if rows and theirs.isidentifier() and theirs not in names:
            hint = near(theirs, names, f"there are {', '.join(map(repr, names)) or 'none'}")
            raise UserError(f"{where} has no column {theirs!r}", where="--columns", hint=hint)
        pairs[ours] = theirs
    if pairs and "prompt" not in pairs:
        raise UserError("nothing is mapped to 'prompt'", where="--columns", hint="write prompt=<column>")
    return pairs


def _first(by_name: Mapping[str, str], wanted: Sequence[str]) -> str | None:
    return next((by_name[name] for name in wanted if name in by_name), None)


def _share(rows: Rows, name: str, fits: Any) -> float:
    return sum(bool(fits(_value(row, name))) for row in rows) / max(1, len(rows))


def _value(row: Mapping[str, Any], name: str) -> Any:
    value = value_of(row, name)
    return None if value is ABSENT else value


def _values(rows: Rows, name: str) -> list[Any]:
    return [value for row in rows if (value := _value(row, name)) not in (None, "", [])]


def _is_one_word(rows: Rows, name: str) -> bool:
    """Whether a column says the same in all rows, as `reasoning: on` does: it is neither an answer nor a trace."""
    values = [str(value) for value in _values(rows, name)]
    return len(values) > 3 and len(set(values)) == 1 and len(values[0]) <= _SHORT


def _is_worked(text: str) -> bool:
    """Whether a box stands in a text among words."""
    boxed = last_boxed(text)
    return boxed is not None and len(text) > len(boxed) + len(r"$\boxed{}$.")


def _is_short(rows: Rows, name: str) -> bool:
    """Whether a column can hold answers: numbers, or texts of one short line."""
    values = _values(rows, name)
    texts = [str(value) for value in values if not isinstance(value, Mapping)]
    if sum(map(_is_worked, texts)) * 2 > len(texts):
        return False
    return bool(texts) and median(map(len, texts)) <= _SHORT and sum("\n" in t.strip() for t in texts) < len(texts) / 2


def _is_text(rows: Rows, name: str) -> bool:
    values = _values(rows, name)
    return bool(values) and (all(isinstance(v, str) for v in values) or all(map(is_chat, values)))


def _is_plain(rows: Rows, name: str) -> bool:
    values = _values(rows, name)
    return bool(values) and all(isinstance(v, str | int | float) and len(str(v)) <= _SHORT for v in values)


def _is_gsm8k(rows: Rows, by_name: Mapping[str, str]) -> bool:
    prompt = by_name.get("question") or by_name.get("problem")
    worked = next((by_name[n] for n in ("solution", "answer") if n in by_name), None)
    if prompt not in ("question", "problem") or worked not in ("solution", "answer"):
        return False  # the adapter knows these names alone
    return _share(rows, worked, lambda value: isinstance(value, str) and "####" in value) >= _MANY
