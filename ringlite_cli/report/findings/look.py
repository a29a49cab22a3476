"""Puts every rule to every stage of a run."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ringlite_cli.report.findings.rule import RED, Finding, Rule
from ringlite_cli.report.findings.rules import RULES
from ringlite_cli.report.load import Run


@dataclass(frozen=True, slots=True)
class Examined:
    """What was found, red first, then in the pipeline's order; which rules had numbers to look at, and which none."""

    findings: list[Finding]
    looked: list[str]
    blind: list[str]


def examine(run: Run, rules: Sequence[Rule] = RULES) -> Examined:
    """Return the findings of a run, and which rules could not be put to it for want of numbers."""
    found: list[Finding] = []
    looked: list[str] = []
    blind: list[str] = []
    for rule in rules:
        seen = [rule.look(stage) for stage in run.stages if stage.kind in rule.kinds or "" in rule.kinds]
        (looked if any(each is not None for each in seen) else blind).append(rule.name)
        found += [replace(finding, rule=rule.name) for each in seen for finding in each or ()]
    place = {stage.name: number for number, stage in enumerate(run.stages)}
    return Examined(sorted(found, key=lambda f: (f.level != RED, place.get(f.stage, -1))), looked, blind)
