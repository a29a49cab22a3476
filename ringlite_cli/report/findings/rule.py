"""What a rule and a finding are, and how rules read a stage."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from ringlite_cli.report.files import JsonRow, mapping
from ringlite_cli.report.load import Stage
from ringlite_cli.report.words import percent

RED, AMBER = "red", "amber"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line for the reader. level: red (the result cannot be trusted, or nothing is learned) or amber (look at it).

    words: what was seen, with its numbers. cure: what to do. place: the section of the page that shows it.
    """

    level: str
    stage: str
    words: str
    cure: str
    place: str
    rule: str = ""


Found = Sequence[Finding] | None
"""What is wrong with a stage; [] where all is well; None where the stage does not have the numbers for it."""
Look = Callable[[Stage], Found]

CUT = (0.1, 0.5)
"""Share of responses cut at the length limit, amber and red: a cut response has no answer and counts as wrong."""
UNPARSED = (0.1, 0.5)
"""Share of responses in which the verifier finds no answer, amber and red."""


@dataclass(frozen=True, slots=True)
class Rule:
    """A sign of trouble. name: its name on the page. kinds: the kinds of stage that it looks at ("" in it: all)."""

    name: str
    kinds: tuple[str, ...]
    look: Look


def tail(stage: Stage) -> list[JsonRow]:
    """Return the rows of the last tenth of the steps."""
    return stage.metrics[-max(1, len(stage.metrics) // 10) :]


def guard_of(stage: Stage) -> JsonRow:
    """Return the guard's section of the recipe that the stage was run with; {} where it has none."""
    return mapping(mapping(stage.manifest, "recipe"), "guard")


def graded(value: float, amber: float, red: float) -> str:
    """Return the level of a value that should be low; "" below both limits."""
    return RED if value >= red else AMBER if value >= amber else ""


def unparsed(stage: Stage, whose: str, verdicts: Mapping[str, float], place: str) -> Found:
    """Return the finding of verdicts -> responses, too many of which are "unparsed"."""
    total = sum(verdicts.values())
    if not total:
        return None
    share = verdicts.get("unparsed", 0.0) / total
    if not (level := graded(share, *UNPARSED)):
        return []
    cure = "teach the form of an answer by sft, or ask for it by prompt_suffix; read some below"
    return [Finding(level, stage.name, f"no answer is found in {percent(share)} of {whose}", cure, place)]
