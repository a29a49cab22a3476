"""The pictures of a selection, drawn as the report draws them: select.svg, and probe.svg of the RL probe."""

from collections.abc import Mapping, Sequence
from typing import Any

from ringlite_cli.evals.pick import Candidate, Decision
from ringlite_cli.report.figures import Series, Sheet, lines, standalone
from ringlite_cli.report.sections.reward_model import calibration
from ringlite_cli.report.sections.selection import choice_from, figures_of


def selection_svg(candidates: Sequence[Candidate], decision: Decision) -> str:
    """Return entropy and scores over epochs (steps where there are none) as SVG text, the band shaded."""
    choice = choice_from([candidate.row() for candidate in candidates], decision.row())
    return standalone(f"Selection: {decision.picked}", figures_of(choice, Sheet(), f"picked: {decision.picked}"))


def probe_svg(summary: Mapping[str, Any], band: tuple[float, float]) -> str:
    """Return the gain per million tokens of each probed candidate over its entropy, as SVG text."""
    points, intervals, names = [], [], []
    for row in summary["candidates"]:
        if row["gain_per_mtoken"] is None:
            continue
        scale = 1e8 / row["tokens_trained"]  # a share to points per million tokens
        points.append((row["entropy"], scale * row["gain"]))
        intervals.append((scale * row["ci95"][0], scale * row["ci95"][1]))
        names.append(row["name"] + (" (picked)" if row["name"] == summary["picked"] else ""))
    gain = Series("gain", "p-rl0", points, "points", list(intervals))
    title, x, y = (
        "Gain over entropy",
        "entropy before RL, nats per response token",
        "points of pass@1 per million tokens",
    )
    figure = lines(Sheet(), title, x, y, [gain], zero=True, even=False, band=band, band_axis="x", labels=names)
    return standalone("RL probe: gain over entropy", [figure])


def calibration_svg(numbers: Mapping[str, Any]) -> str:
    """Return how often a reward model is right over how sure it is, as SVG text; an empty picture without pairs."""
    return standalone("Reward model: calibration on held-out pairs", [calibration(numbers, Sheet())])
