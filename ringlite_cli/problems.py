"""The row that every room shares: a problem, its verdict, and how a problem becomes a chat prompt.

A problem is one line of JSONL or one row of parquet. Nested fields (`tests`, `labels`) are JSON text in parquet,
so that one file can hold code problems whose arguments have different types.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from operator import attrgetter
from pathlib import Path
from typing import Any

from ringlite_cli.domains import DOMAINS as DOMAINS
from ringlite_cli.domains import PAPER_SUFFIX as PAPER_SUFFIX
from ringlite_cli.domains import SHIPPED, domain_of
from ringlite_cli.errors import UserError
from ringlite_cli.json_rows import json_lines, sound_rows
from ringlite_cli.model_text import loads, remark
from ringlite_cli.own_code import is_declared, is_own
from ringlite_cli.presence import check_is_file
from ringlite_cli.whole import whole

CONTEXT = "context"
"""The label that holds the turns before a prompt: a list of {"role", "content"}."""

REFERENCED = ("token-f1", "rouge")
"""Verifiers that score how alike a response and its reference texts are."""
ROUTES = ("math", "science", "logic", "code", "logic-gym", "instructions", *REFERENCED, "judge", "reward-model")
"""The verifiers there are: a problem names one, or goes by its domain."""
ANSWERLESS = ("code", "judge", "reward-model")
"""Those that need no gold answer."""
SPECIFIED = ("logic-gym", "instructions")
"""Those whose gold answer is a specification in JSON, which no other verifier can read."""

DEFAULT_SUFFIX = {domain.name: domain.suffix for domain in SHIPPED if domain.suffix}
"""Domain -> text after its prompts, where a recipe does not say."""


@dataclass(frozen=True, slots=True)
class Problem:
    """A prompt with a way to verify a response to it.

    answer: the gold answer as text (a list is JSON text); None for code, whose `tests` decide.
    tests:  {"mode": "function" | "stdin" | "unit", "language", "entry_point"?, "cases"?, "code"?}.
    trace:  a worked response, complete with its `\\boxed{}` or code block; None where there is none.
    source, index: the file or generator it came from, and its row number there, from 0.
    verifier: a route other than the domain's own ("" = by domain).
    """

    id: str
    domain: str
    prompt: str
    answer: str | None = None
    tests: dict[str, Any] | None = None
    trace: str | None = None
    source: str = ""
    index: int = -1
    verifier: str = ""
    labels: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a verifier says of one response. `reward` is 1.0 or 0.0, or between where an opinion or a likeness is the
    reward; `verdict` says why, `detail` in some 1,000 characters at most. A reward of the user's own may be any number,
    and may measure further `numbers`, by key.
    """

    verdict: str
    reward: float
    seconds: float = 0.0
    detail: str = ""
    numbers: Mapping[str, float] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "detail", remark(self.detail))


RIGHT = ("correct", "accepted")
"""Verdicts on right responses."""
NO_VERDICT = ("error", "sandbox error")
"""Verdicts that speak of the verifier, not of the response."""


def is_right(verdict: str, reward: float | None) -> bool:
    """Return whether a response counts as right where right and wrong are counted, as in pass@k.

    Its verdict says so. `partial`, the word for a reward between, counts from half of a full reward on.
    """
    if verdict in RIGHT:
        return True
    return verdict not in _NOT_RIGHT and reward is not None and reward >= 0.5


_NOT_RIGHT = ("wrong", *NO_VERDICT)

VERDICT_REVISION = 4
"""Raised by one whenever a verifier may say something else of the same response. Scores of different revisions are not
compared without a note; `ringlite rescore` verifies stored responses again. 1: before answers were read whole. 2: when
other numbers than those to sort could pass as them."""

Verify = Callable[[Sequence[tuple[Problem, str]]], list[Verdict]]
"""Verifies (problem, response) pairs, in order. Rooms that need a verifier get one of these passed in.

A response whose prompt opened a thought comes with the tag before it (`ringlite_cli.thoughts.with_thought`).
"""


def route(problem: Problem) -> str:
    """The name of the verifier that a problem asks for: its own, else its domain's; it may be none (see `is_route`)."""
    if problem.verifier:
        return problem.verifier
    domain = domain_of(problem.domain)
    return domain.route if domain else problem.domain


def is_route(name: str) -> bool:
    """Return whether a verifier has this name: one of `ROUTES`, or a reward of the user's own that the recipe names."""
    return name in ROUTES or is_declared(name) or (is_own(name) and name in _own_routes())


def _own_routes() -> set[str]:
    """The rewards that the recipe's own domains name."""
    return {domain.route for domain in map(domain_of, DOMAINS) if domain is not None}


def needs(problem: Problem) -> str:
    """Return what its verifier needs of a problem beside the response: answer, tests or nothing."""
    name, domain = route(problem), domain_of(problem.domain)
    if domain is not None and domain not in SHIPPED and not problem.verifier:
        return domain.needs
    if name == "code":
        return "tests"
    return "nothing" if name in ANSWERLESS or is_own(name) else "answer"


def has_plain_answer(problem: Problem) -> bool:
    """Return whether a problem's gold answer, where it has one, is an answer and no specification."""
    return route(problem) not in SPECIFIED


def can_score(name: str, problem: Problem) -> bool:
    """Return whether a verifier other than its own can score a problem's responses: it has what that one reads."""
    if name == "code":
        return bool(problem.tests)
    if name in ANSWERLESS or is_own(name):
        return True
    return problem.answer is not None and has_plain_answer(problem) and name not in SPECIFIED


def chat_messages(problem: Problem, suffix: Mapping[str, str]) -> list[dict[str, str]]:
    """The conversation that asks for a response; `suffix` maps a domain to the text appended to its prompts.

    The turns before the prompt, a system prompt among them, are the label `context`.
    """
    domain = domain_of(problem.domain)
    default = domain.suffix if domain is not None and domain not in SHIPPED else ""
    tail = suffix.get(problem.domain, default)
    asked = {"role": "user", "content": f"{problem.prompt}\n{tail}" if tail else problem.prompt}
    return [*problem.labels.get(CONTEXT, ()), asked]


_JSON_FIELDS = ("tests", "labels")


_BATCH = 5000  # rows that are written at a time


def write_problems(path: Path, problems: Iterable[Problem]) -> int:
    """Write problems as parquet, atomically and a few thousand at a time; return the number of rows."""
    import pyarrow as pa

    text = {f: pa.string() for f in Problem.__dataclass_fields__ if f != "index"}
    schema = pa.schema([(f, text.get(f, pa.int64())) for f in Problem.__dataclass_fields__])
    return write_parquet(path, map(_flat, problems), schema)


_fields = attrgetter(*Problem.__dataclass_fields__)
_json_places = [list(Problem.__dataclass_fields__).index(name) for name in _JSON_FIELDS]
_encode = json.JSONEncoder(ensure_ascii=False).encode


def _flat(problem: Problem) -> list[Any]:
    values = list(_fields(problem))
    for place in _json_places:
        values[place] = _encode(values[place]) if values[place] else ""
    return values


def write_parquet(path: Path, rows: Iterable[Sequence[Any]], schema: Any) -> int:
    """Write rows, each in the order of a pyarrow schema, a few thousand at a time; return their number.

    The file takes its name when it is whole.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    left, written = iter(rows), 0
    with whole(path) as partial, pq.ParquetWriter(partial, schema) as writer:
        while batch := list(islice(left, _BATCH)):
            columns = [pa.array(c, f.type) for c, f in zip(zip(*batch, strict=True), schema, strict=True)]
            writer.write_table(pa.Table.from_arrays(columns, schema=schema))
            written += len(batch)
    return written


def read_problems(path: Path) -> list[Problem]:
    """Read problems that `write_problems` wrote, or JSONL with the same fields.

    Raises UserError naming the file and row for a file that is missing, broken or of another schema.
    """
    check_is_file(path, "data file")
    if path.suffix == ".parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            rows = pq.read_table(path).to_pylist()
        except (pa.ArrowInvalid, OSError) as error:
            raise UserError(f"not a parquet file ({error})", where=str(path)) from None
        for row in rows:
            for name in _JSON_FIELDS:
                value = row.get(name) or None
                row[name] = loads(value) if isinstance(value, str) else value
            row["labels"] = row.get("labels") or {}
    else:
        rows = list(sound_rows(path, json_lines(path)))
    problems = []
    for number, row in enumerate(rows):
        try:
            problems.append(Problem(**row))
        except TypeError as error:
            raise UserError(
                f"row {number} is not a problem ({str(error).removeprefix('Problem.__init__() ')})",
                where=str(path),
                hint=f"its fields are {', '.join(Problem.__dataclass_fields__)}",
            ) from None
    return problems
