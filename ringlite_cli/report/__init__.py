"""The report of a run: one self-contained HTML page made from the run folder alone.

files (tolerant readers) -> load (the run as plain dataclasses) -> sections (what is said) -> figures (inline SVG)
-> build (jinja2 templates and one style sheet, written as one file).
"""

from ringlite_cli.report.build import write_report

__all__ = ["write_report"]
