"""The picture of a selection: entropy and scores over the SFT, the band shaded, the pick marked."""

import io
from collections.abc import Mapping, Sequence
from typing import Any

from ringlite_cli.evals.pick import Candidate, Decision

BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#666666"  # Okabe and Ito: told apart by all eyes


def selection_svg(candidates: Sequence[Candidate], decision: Decision) -> str:
    """Two panels over epochs (steps where there are none), as SVG text."""
    import matplotlib
    from matplotlib.figure import Figure

    shown = [c for c in candidates if c.error is None and c.entropy is not None]
    with matplotlib.rc_context({"svg.hashsalt": "ringlite", "svg.fonttype": "none", "font.size": 10}):
        figure = Figure(figsize=(7, 5.2), layout="constrained")
        above, below = figure.subplots(2, 1, sharex=True)
        x = _positions(shown)
        _entropy(above, x, shown, decision)
        _scores(below, x, shown)
        picked = [i for i, c in enumerate(shown) if c.name == decision.picked]
        for axes in (above, below):
            for i in picked:
                axes.axvline(x[i], color=GREY, linestyle=":", linewidth=1.2, zorder=0)
            axes.grid(alpha=0.25)
            axes.spines[["top", "right"]].set_visible(False)
        for i in picked:
            above.annotate(f"picked: {decision.picked}", (x[i], 1), xycoords=("data", "axes fraction"),
                           xytext=(4, -2), textcoords="offset points", va="top", color=GREY)  # fmt: skip
        below.set_xlabel("SFT epochs" if all(c.epoch is not None for c in shown) else "SFT steps")
        out = io.StringIO()
        figure.savefig(out, format="svg", metadata={"Date": None, "Title": f"Selection: {decision.picked}"})
    return out.getvalue()


def probe_svg(summary: Mapping[str, Any], band: tuple[float, float]) -> str:
    """Gain per million tokens of each probed candidate over its entropy, as SVG text."""
    import matplotlib
    from matplotlib.figure import Figure

    shown = [row for row in summary["candidates"] if row["gain_per_mtoken"] is not None]
    with matplotlib.rc_context({"svg.hashsalt": "ringlite", "svg.fonttype": "none", "font.size": 10}):
        figure = Figure(figsize=(7, 3.6), layout="constrained")
        axes = figure.subplots()
        axes.axvspan(*band, color=GREEN, alpha=0.18, label=f"band {band[0]:g}-{band[1]:g}")
        axes.axhline(0, color=GREY, linewidth=0.8)
        for row in shown:
            scale = 1e8 / row["tokens_trained"]  # a share to points per million tokens
            y, low, high = (scale * value for value in (row["gain"], *row["ci95"]))
            reach = [[max(0.0, y - low)], [max(0.0, high - y)]]
            axes.errorbar(row["entropy"], y, yerr=reach, color=BLUE, marker="o", capsize=3)
            mark = " (picked)" if row["name"] == summary["picked"] else ""
            axes.annotate(
                row["name"] + mark, (row["entropy"], y), xytext=(5, 5), textcoords="offset points", color=GREY
            )
        axes.set_xlabel("entropy before RL, nats per response token")
        axes.set_ylabel("points of pass@1 per million tokens")
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False)
        out = io.StringIO()
        figure.savefig(out, format="svg", metadata={"Date": None, "Title": "RL probe: gain over entropy"})
    return out.getvalue()


def _positions(shown: Sequence[Candidate]) -> list[float]:
    if all(c.epoch is not None for c in shown):
        return [c.epoch or 0.0 for c in shown]
    return [float(c.step if c.step is not None else i) for i, c in enumerate(shown)]


def _entropy(axes: Any, x: list[float], shown: Sequence[Candidate], decision: Decision) -> None:
    low, high = decision.entropy_band
    axes.axhspan(low, high, color=GREEN, alpha=0.18, label=f"band {low:g}-{high:g}")
    _line(axes, x, [(c.entropy, c.entropy_ci95) for c in shown], BLUE, "o", "entropy")
    axes.set_ylabel("nats per response token")
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False)


def _scores(axes: Any, x: list[float], shown: Sequence[Candidate]) -> None:
    _line(axes, x, [(c.pass_1, c.pass_1_ci95) for c in shown], ORANGE, "o", "pass@1")
    k = max((c.k for c in shown), default=1)
    _line(axes, x, [(c.pass_k, None) for c in shown], GREY, "s", f"pass@{k}", style="--")
    axes.set_ylabel("score")
    axes.set_ylim(0, 1)
    axes.legend(frameon=False)


def _line(
    axes: Any,
    x: list[float],
    points: Sequence[tuple[float | None, tuple[float, float] | None]],
    colour: str,
    marker: str,
    label: str,
    style: str = "-",
) -> None:
    """A line with its intervals as error bars."""
    y = [float("nan") if value is None else value for value, _ in points]
    down = [0.0 if ci is None else max(0.0, v - ci[0]) for v, (_, ci) in zip(y, points, strict=True)]
    up = [0.0 if ci is None else max(0.0, ci[1] - v) for v, (_, ci) in zip(y, points, strict=True)]
    axes.errorbar(x, y, yerr=[down, up], color=colour, marker=marker, linestyle=style, capsize=3, label=label)
