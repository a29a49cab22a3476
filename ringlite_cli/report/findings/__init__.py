"""Findings: what a run's own numbers say is wrong with it, and what mends it (see `rules`)."""

from ringlite_cli.report.findings.look import Examined, examine
from ringlite_cli.report.findings.rule import Finding, Rule
from ringlite_cli.report.findings.rules import RULES

__all__ = ["RULES", "Examined", "Finding", "Rule", "examine"]
