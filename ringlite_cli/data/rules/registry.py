"""A rule is a function from a problem to the reason to drop it, or None. Each family registers its own, in order."""

from collections.abc import Callable
from dataclasses import dataclass

from ringlite_cli.problems import Problem

Check = Callable[[Problem], str | None]


@dataclass(frozen=True, slots=True)
class Rule:
    """A registered rule: the family (prompt, answer, trace or code), what it looks for, and the check itself."""

    name: str
    family: str
    about: str
    check: Check


@dataclass
class Family:
    """The rules of one file, in the order in which they are asked."""

    name: str
    rules: list[Rule]

    def rule(self, check: Check) -> Check:
        """Registers a check under its function's name; its docstring is what the data card prints."""
        about = " ".join((check.__doc__ or "").split())
        if not about:
            raise ValueError(f"rule {check.__name__} needs a docstring")
        self.rules.append(Rule(check.__name__, self.name, about, check))
        return check

    def reason(self, problem: Problem) -> str | None:
        """The first reason that a rule of this family gives."""
        for rule in self.rules:
            if reason := rule.check(problem):
                return reason
        return None
