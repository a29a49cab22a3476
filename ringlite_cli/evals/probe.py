"""What a short RL from each candidate gained, and how well entropy told it beforehand.

The paper picks by entropy because RL gains most from there (§4.3.2, Figure 9). The probe measures that on the user's
own candidates: the same few steps from each, and the same problems sampled again with the same random numbers.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ringlite_cli.evals import metrics
from ringlite_cli.evals.pick import Candidate, Decision
from ringlite_cli.presence import is_there
from ringlite_cli.runs.files import read_json, read_jsonl

FEW = 3
"""With fewer candidates than this an order says nothing."""

PREDICTORS = {
    "entropy": "entropy",
    "nearness to the band": "nearness",
    "pass@1": "pass@1",
}


def probe_row(
    candidate: Candidate,
    after: Candidate,
    responses: tuple[Path, Path],
    tokens: Mapping[str, int],
    rewards: Sequence[float],
    *,
    seed: int = 0,
) -> dict[str, Any]:
    """One candidate's probe. responses: the files of those before and after; rewards: mean of each RL step.

    `gain` is the difference of mean rewards over the selection's problems, `ci95` its paired interval,
    `gain_per_mtoken` the gain per million response tokens that were trained.
    """
    before, later = (_means(file, candidate.name) for file in responses)
    ids = [name for name in before if name in later]
    gain, (low, high) = metrics.paired_difference([before[i] for i in ids], [later[i] for i in ids], seed=seed)
    part = max(1, len(rewards) // 3)
    return {
        "name": candidate.name,
        "entropy": candidate.entropy,
        "pass@1": candidate.pass_1,
        "pass@1_after": after.pass_1,
        "entropy_after": after.entropy,
        "gain": gain,
        "ci95": [low, high],
        "n": len(ids),
        "tokens_trained": tokens["trained"],
        "tokens_generated": tokens["generated"],
        "gain_per_mtoken": 1e6 * gain / tokens["trained"] if tokens["trained"] else None,
        "reward_first": float(np.mean(rewards[:part])) if len(rewards) else None,
        "reward_last": float(np.mean(rewards[-part:])) if len(rewards) else None,
        "error": None,
    }


def failed_row(candidate: Candidate, error: str) -> dict[str, Any]:
    """A candidate whose probe failed, which loses the others nothing."""
    return {"name": candidate.name, "entropy": candidate.entropy, "pass@1": candidate.pass_1, "gain": None,
            "gain_per_mtoken": None, "error": error}  # fmt: skip


def summarise(rows: Sequence[Mapping[str, Any]], decision: Decision, steps: int) -> dict[str, Any]:
    """{"steps", "candidates", "rank_correlation", "best", "picked", "lost"} of the probes.

    rank_correlation: Spearman's, of the gain per token with what was known before RL; None where it is not
    defined (fewer than three candidates, or values all alike). lost: gain per token of the best candidate
    minus that of the pick.
    """
    low, high = decision.entropy_band
    probed = [
        {**row, "nearness": -max(low - row["entropy"], row["entropy"] - high, 0.0)}
        for row in rows
        if row["gain_per_mtoken"] is not None
    ]
    gains = [row["gain_per_mtoken"] for row in probed]
    best = max(probed, key=lambda row: row["gain_per_mtoken"], default=None)
    pick = next((row for row in probed if row["name"] == decision.picked), None)
    return {
        "steps": steps,
        "candidates": list(rows),
        "n": len(probed),
        "rank_correlation": {name: _spearman([row[key] for row in probed], gains) for name, key in PREDICTORS.items()},
        "best": best and best["name"],
        "picked": decision.picked,
        "lost": best["gain_per_mtoken"] - pick["gain_per_mtoken"] if best and pick else None,
    }


def as_text(summary: Mapping[str, Any]) -> str:
    """The probes as a Markdown section."""
    lines = [
        f"## RL probe: {summary['steps']} steps from each candidate",
        "",
        "Gains are in points of pass@1 on the selection's problems, paired, with a 95 % interval. They change no pick.",
        "",
        "| checkpoint | entropy | before | after | gain | 95 % | tokens trained | points per million tokens |",
        "|---|---:|---:|---:|---:|---|---:|---:|",
    ]
    for row in summary["candidates"]:
        if row["gain"] is None:
            lines.append(f"| {row['name']} | | | | not probed: {str(row['error']).splitlines()[0]} | | | |")
            continue
        before, after, gain, low, high = (
            100 * x for x in (row["pass@1"], row["pass@1_after"], row["gain"], *row["ci95"])
        )
        name = f"**{row['name']}**" if row["name"] == summary["picked"] else row["name"]
        per = "" if row["gain_per_mtoken"] is None else f"{100 * row['gain_per_mtoken']:+,.1f}"
        lines.append(
            f"| {name} | {row['entropy']:.3f} | {before:.1f} | {after:.1f} | {gain:+.1f} | [{low:+.1f}, {high:+.1f}] "
            f"| {row['tokens_trained']:,} | {per} |"
        )
    return "\n".join([*lines, "", words(summary)])


def words(summary: Mapping[str, Any]) -> str:
    """Return what the probes say of the pick, in a few sentences."""
    if summary["best"] is None:
        return "No candidate could be probed."
    parts = [f"Per token {summary['best']} gained most"]
    if summary["best"] == summary["picked"]:
        parts[0] += ", which is the pick."
    elif summary["lost"] is not None:
        parts[0] += f"; the pick, {summary['picked']}, gained {100 * summary['lost']:,.1f} points per million less."
    else:
        parts[0] += "; the pick was not probed."
    known = {name: value for name, value in summary["rank_correlation"].items() if value is not None}
    if summary["n"] < FEW:
        parts.append(f"Of {summary['n']} candidates, too few to say what predicts the gain.")
    elif known:
        told = ", ".join(f"{value:+.2f} with {name}" for name, value in known.items())
        parts.append(f"Rank correlation of the gain per token over {summary['n']} candidates: {told}.")
    return " ".join(parts)


def load_summary(folder: Path) -> dict[str, Any] | None:
    """probe.json of a selection; None where it was not asked for."""
    file = folder / "probe.json"
    return read_json(file) if is_there(file) else None


def _means(file: Path, policy: str) -> dict[str, float]:
    rewards: dict[str, list[float]] = {}
    for row in read_jsonl(file):
        if row["policy"] == policy:
            rewards.setdefault(row["id"], []).append(row["reward"])
    return {name: float(np.mean(found)) for name, found in rewards.items()}


def _spearman(first: Sequence[float], second: Sequence[float]) -> float | None:
    if len(first) < FEW or len(set(first)) < 2 or len(set(second)) < 2:
        return None
    from scipy.stats import rankdata

    return float(np.corrcoef(rankdata(first), rankdata(second))[0, 1])
