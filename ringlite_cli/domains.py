"""A reward domain as one value: what its rows need, what verifies them, and what its prompts end with.

`DOMAINS` holds the shipped ones, and those that the recipe at hand names as `module:object` (its key `domains`).
"""

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from ringlite_cli.own_code import load

PAPER_SUFFIX = "Please reason step by step, and put your final answer within \\boxed{}."
"""What the paper appends to math and science prompts (§3.3)."""


@dataclass(frozen=True)
class Domain:
    """A reward domain.

    verifier: a route of `ringlite_cli.problems.ROUTES`, a function (Problem, response) -> reward at the top level of a
    module, or `module:object` that names one; "" is the route of the domain's own name.
    needs: what a row must hold, so that responses to it can be scored.
    answer: how a response gives its answer: in a box, as a program, or as the response itself. Rules about boxes and
    about programs are put to rows accordingly.
    suffix: text after its prompts, where a recipe's prompt_suffix does not name the domain.
    colour: a class of the report's style sheet; "" takes a spare one.
    """

    name: str
    verifier: str | Callable[..., Any] = ""
    needs: Literal["answer", "tests", "nothing"] = "answer"
    answer: Literal["boxed", "code", "free"] = "free"
    suffix: str = ""
    colour: str = ""

    @property
    def route(self) -> str:
        """The name of what verifies its rows."""
        if callable(self.verifier):
            return f"{self.verifier.__module__}:{self.verifier.__qualname__}"
        return self.verifier or self.name


SHIPPED = (
    Domain("math", answer="boxed", suffix=PAPER_SUFFIX, colour="d-math"),
    Domain("code", needs="tests", answer="code", colour="d-code"),
    Domain("science", answer="boxed", suffix=PAPER_SUFFIX, colour="d-science"),
    Domain("logic", answer="boxed", colour="d-logic"),
    Domain("general", needs="nothing", colour="d-general"),
)
_VARIABLE = "RINGLITE_OWN_DOMAINS"
_declared: dict[str, str] = json.loads(os.environ.get(_VARIABLE, "{}"))
DOMAINS: dict[str, Domain | None] = {domain.name: domain for domain in SHIPPED} | dict.fromkeys(_declared)
"""Name -> domain; None for one of the user's own that has not been needed yet."""


def declare(domains: Mapping[str, str]) -> None:
    """Make a recipe's own domains known, name -> `module:object`, here and in processes started from now on.

    Those of the recipe before are forgotten. Nothing is imported.
    """
    for name in _declared:
        DOMAINS.pop(name, None)
    _declared.clear()
    _declared.update({name: own for name, own in domains.items() if name not in DOMAINS})
    DOMAINS.update(dict.fromkeys(_declared))
    os.environ[_VARIABLE] = json.dumps(_declared)


def domain_of(name: str) -> Domain | None:
    """Return a domain by its name, None for a name that is none. Raises UserError where the user's object is none."""
    found = DOMAINS.get(name)
    if found is None and name in _declared:
        found = DOMAINS[name] = load(_declared[name], Domain)
    return found


def writes_code(domain: str) -> bool:
    """Return whether a response of the domain is a program."""
    found = DOMAINS.get(domain) or domain_of(domain)
    return found is not None and found.answer == "code"
