"""Any other schema, by a mapping: our field -> column, as in `columns: {prompt: question, answer: final}`.

Fields: prompt (required), answer, trace, thought, tests, entry_point, domain, verifier, and instruction_id_list with
kwargs, which make an answer of the route `instructions`; other names are labels. A column may be a path or a joined
text (see expressions.py), a prompt or a trace a conversation (see chats.py).
"""

import json
import math
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from ringlite_cli.data.adapters.chats import Exchange, content_text, is_chat, normal_trace, of_row
from ringlite_cli.data.adapters.code_traces import SOLUTIONS, as_solutions
from ringlite_cli.data.adapters.expressions import ABSENT, value_of
from ringlite_cli.data.adapters.fields import BadRow, Fields, Raw, one_answer, reference_texts
from ringlite_cli.data.adapters.testcases import entry_beside, read_tests
from ringlite_cli.data.adapters.thoughts import with_thought
from ringlite_cli.errors import UserError, near
from ringlite_cli.problems import CONTEXT, REFERENCED

_INSTRUCTIONS = ("instruction_id_list", "kwargs")
_RATE = "pass_rate"
"""The label that difficulty is told by: a number, which a table of text spells."""
_FIELDS = ("prompt", "answer", "trace", "thought", "tests", "entry_point", "domain", "verifier", *_INSTRUCTIONS)


class Columns:
    """The adapter of a column mapping. Raises UserError where nothing is mapped to `prompt`.

    verifier: the one that the source names for all its rows, or "".
    """

    def __init__(self, columns: Mapping[str, str], verifier: str = "") -> None:
        if "prompt" not in columns:
            raise UserError(
                "columns maps nothing to 'prompt'",
                where="columns",
                hint=f"write `prompt: <column>`; other fields are {', '.join(_FIELDS[1:])}, and labels by any name",
            )
        self._columns, self._verifier = dict(columns), verifier
        self._rows = 0
        self._absent: Counter[str] = Counter()
        self._names: dict[str, None] = {}  # the columns that rows have, in the order of their first row

    def __call__(self, row: Raw) -> Fields:
        """The fields of a row; of a conversation its last exchange. Raises BadRow."""
        return self.every(row)[-1]

    def every(self, row: Raw) -> list[Fields]:
        """The fields of a row; of a conversation all its exchanges, in order. Raises BadRow."""
        values = self._values(row)
        prompt = values["prompt"]
        if is_chat(prompt):
            found = of_row(row, prompt)
        else:
            found = [Exchange(_prompt_text(prompt, self._columns["prompt"]), None)]
        shared = self._shared(row, values)
        return [self._fields(row, values, each, shared, last=each is found[-1]) for each in found]

    def faults(self) -> list[str]:
        """Return what is wrong with the mapping after all rows were read: columns that no row has."""
        never = [(ours, name) for ours, name in self._columns.items() if 0 < self._rows == self._absent[name]]
        found = []
        for ours, name in never:
            hint = near(name, self._names, f"there are {', '.join(map(repr, self._names)) or 'none'}")
            found.append(f"no row has the column {name!r}, mapped to {ours!r}; {hint}")
        return found

    def _values(self, row: Raw) -> dict[str, Any]:
        """Our field -> the row's value, None where it is empty or absent. Raises BadRow without a prompt."""
        self._rows += 1
        if len(self._names) < 200:
            self._names |= dict.fromkeys(row)
        values = {}
        for ours, name in self._columns.items():
            value = value_of(row, name)
            if value is ABSENT:
                self._absent[name] += 1
                if ours == "prompt":
                    raise BadRow(f"no column {name!r}; it has {', '.join(map(repr, row)) or 'none'}")
            values[ours] = None if value is ABSENT else value
        return values

    def _shared(self, row: Raw, values: Mapping[str, Any]) -> Fields:
        """Return what all exchanges of a row have in common."""
        labels = {k: v for k, v in values.items() if k not in _FIELDS and not _is_blank(v)}
        if isinstance(labels.get(_RATE), str):
            with suppress(ValueError):
                labels[_RATE] = float(labels[_RATE])
        fields: Fields = {"prompt": "", "labels": labels}
        for name in ("domain", "verifier"):
            if values.get(name) is not None:
                fields[name] = _plain(values[name], self._columns[name])
        if values.get(_INSTRUCTIONS[0]):
            fields["answer"] = json.dumps(
                {name: _opened(values.get(name)) for name in _INSTRUCTIONS}, ensure_ascii=False
            )
            fields.setdefault("verifier", "instructions")
        if "tests" in values:
            entry, starter = values.get("entry_point") or entry_beside(row), row.get("starter_code")
            fields["tests"] = read_tests(
                values["tests"], starter if isinstance(starter, str) else "", str(entry) if entry else None
            )
        return fields

    def _fields(self, row: Raw, values: Mapping[str, Any], each: Exchange, shared: Fields, *, last: bool) -> Fields:
        fields = Fields(**shared)
        labels = dict(shared.get("labels", {}))
        fields["prompt"] = each.prompt
        if last and "answer" in values:
            is_referenced = (self._verifier or fields.get("verifier")) in REFERENCED
            fields["answer"] = (reference_texts if is_referenced else one_answer)(values["answer"])
        trace = each.trace
        if last and "trace" in values and self._columns["trace"] != self._columns["prompt"]:
            trace = self._trace(values, fields, labels)
        elif last and trace is None and fields.get("tests") and "trace" not in values:
            trace = self._trace({"trace": next((row[n] for n in SOLUTIONS if row.get(n)), None)}, fields, labels)
        if last and values.get("thought") is not None:
            trace = with_thought(normal_trace(values["thought"]), trace)
        fields["trace"] = trace
        if each.context:
            labels[CONTEXT] = each.context
        return fields | {"labels": labels}

    def _trace(self, values: Mapping[str, Any], fields: Fields, labels: dict[str, Any]) -> str | None:
        """The trace of the mapped column; of code the first accepted solution, the others go to the labels."""
        if fields.get("tests"):
            first, others = as_solutions(values["trace"])
            labels.update(others)
            return first
        return normal_trace(values["trace"])


def mapped(columns: Mapping[str, str], verifier: str = "") -> Columns:
    """The adapter of a column mapping. Raises UserError where nothing is mapped to `prompt`."""
    return Columns(columns, verifier)


def _prompt_text(value: Any, name: str) -> str:
    if value is None or value == "":
        raise BadRow(f"{name!r} is empty")
    if isinstance(value, list | tuple) and value and all(isinstance(part, Mapping) for part in value):
        return content_text(value, name)
    return _plain(value, name)


def _is_blank(value: Any) -> bool:
    """Return whether a label says nothing: null, an empty cell, or the NaN that stands for one."""
    return value is None or value == "" or (isinstance(value, float) and math.isnan(value))


def _opened(value: Any) -> Any:
    """The list that a column holds as JSON text; anything else as it is."""
    if isinstance(value, str) and value.lstrip().startswith("["):
        with suppress(ValueError):
            return json.loads(value)
    return value


def _plain(value: Any, name: str) -> str:
    if not isinstance(value, str):
        raise BadRow(f"{name!r} is a {type(value).__name__}, not text")
    return value
