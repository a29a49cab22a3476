"""Published scores beside ours: theirs, of the paper's Table 1, and only where task and settings are the same."""

from dataclasses import dataclass

from ringlite_cli.recipe.renamed import with_new_names
from ringlite_cli.report.blocks import Cell, Column, Table, Text
from ringlite_cli.report.files import JsonRow, mapping, num
from ringlite_cli.report.load import Stage
from ringlite_cli.report.sections.score import Score
from ringlite_cli.report.words import count, fixed, joined, percent, percent_interval

MODELS = ("Qwen3-8B thinking", "R1-Distill-Qwen-14B", "AceReason-7B", "Ring-lite", "Ring-lite-2507")


@dataclass(frozen=True, slots=True)
class Published:
    """pass@1 in percent of MODELS; `n` problems, `k` samples of each where the paper says so (§4.1: 32 for AIME)."""

    title: str
    scores: tuple[float, ...]
    n: int
    k: int | None = None


TABLE = {
    "math500": Published("MATH-500", (97.40, 93.90, 94.10, 96.65, 97.95), 500),
    "aime24": Published("AIME24", (76.00, 69.70, 69.00, 76.61, 79.79), 30, 32),
    "aime25": Published("AIME25", (67.30, 52.29, 53.60, 69.11, 72.92), 30, 32),
    "gpqadiamond": Published("GPQA Diamond", (62.00, 59.10, 50.67, 61.05, 69.35), 198),
}
"""arXiv 2506.14731, Table 1. LiveCodeBench, Codeforces and OlympiadBench are left out: which problems is not said."""

_SETTINGS = {"temperature": 1.0, "top_p": 0.95, "max_completion_length": 32_768}
"""§4.1; zero-shot, as every task here is."""


def published(stage: Stage, scores: list[Score]) -> list[Table | Text]:
    """A table where any task can stand beside a published one, and a note for each that can not."""
    shown, notes = [], []
    for task in dict.fromkeys(score.task for score in scores):
        theirs = TABLE.get("".join(c for c in task.lower() if c.isalnum()))
        if theirs is None:
            continue
        mine = [score for score in scores if score.task == task]
        if differences := _differences(mapping(stage.manifest, "recipe"), mine[0], theirs):
            words = f"No published scores stand beside {task}: {joined(differences)}. Theirs would not compare."
            notes.append(Text(words, "note"))
        else:
            shown.append((mine, theirs))
    return ([_table(shown)] if shown else []) + notes


def _differences(section: JsonRow, score: Score, theirs: Published) -> list[str]:
    """Return in what our evaluation differs from the published one."""
    found = []
    ours_by_name = with_new_names(section)
    for key, value in _SETTINGS.items():
        ours = num(ours_by_name, key)
        if ours != value:
            found.append(f"{key} is {'not known' if ours is None else f'{ours:,g}'} here and {value:,g} there")
    if score.n != theirs.n:
        found.append(f"{count(score.n)} problems here and {theirs.n} there")
    if theirs.k is not None and score.k != theirs.k:
        found.append(f"{count(score.k)} samples a problem here and {theirs.k} there")
    return found


def _table(shown: list[tuple[list[Score], Published]]) -> Table:
    columns = [Column("task", False), Column("model", False), Column("whose", False), Column("score")]
    columns.append(Column("95 % interval"))
    rows = []
    for mine, theirs in shown:
        rows += [
            [
                Cell(theirs.title),
                Cell(s.policy, tone="strong"),
                Cell("this run", tone="strong"),
                Cell(percent(s.avg, 2), s.avg, "strong"),
                Cell(percent_interval(s.ends), s.ends and s.ends[0]),
            ]
            for s in mine
        ]
        rows += [
            [
                Cell(theirs.title),
                Cell(model, tone="quiet"),
                Cell("published", tone="quiet"),
                Cell(fixed(score, 2) + "\u00a0%", score / 100, "quiet"),
                Cell("–", tone="quiet"),
            ]
            for model, score in zip(MODELS, theirs.scores, strict=True)
        ]
    note = (
        "Published: the authors' own numbers, arXiv 2506.14731, Table 1 (§4.1: temperature 1.0, top-p 0.95, "
        "32,768 tokens, zero-shot). Nothing of theirs was measured here; prompts and verifiers may differ."
    )
    return Table("Beside published scores", columns, rows, note)
