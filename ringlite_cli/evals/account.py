"""Token efficiency over all runs of a project: RL tokens over SFT tokens, beside what came of it (§4.3.2, Figure 9)."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ringlite_cli.runs.files import read_json
from ringlite_cli.runs.manifest import Manifest, read_manifest

FILE = "token_efficiency.json"
_DEPTHS = ("*", "*/*", "*/*/*")
"""A run folder lies in the project's folder; an experiment's lie two below (arm and seed)."""


def token_efficiency(project: Path) -> list[dict[str, Any]]:
    """A row per run below a folder that has trained by SFT and RL, in order of names.

    sft_tokens: trained up to the picked checkpoint; of the whole SFT without a pick. rl_tokens: trained by all RL
    stages. efficiency: rl_tokens / sft_tokens. epoch, entropy: of the pick. start, final: mean avg@k over tasks of the
    pick and of the last policy evaluated; gain: their difference. What a run does not have is None.
    """
    runs = sorted({file.parent for depth in _DEPTHS for file in project.glob(f"{depth}/recipe.json")})
    rows = (_row(run, run.relative_to(project).as_posix()) for run in runs)
    return [row for row in rows if row is not None]


def _row(run: Path, name: str) -> dict[str, Any] | None:
    stages = [m for file in sorted(run.glob("*/manifest.json")) if (m := read_manifest(file.parent))]
    done = [m for m in stages if m.status == "done"]
    rl_tokens, sft_tokens = _trained(done, "rl"), _trained(done, "sft")
    pick = _pick(run)
    sft_tokens = pick.get("sft_tokens") or sft_tokens
    if not rl_tokens or not sft_tokens:
        return None
    start, final, policy = _scores(run)
    return {
        "run": name,
        "sft_tokens": sft_tokens,
        "rl_tokens": rl_tokens,
        "efficiency": rl_tokens / sft_tokens,
        "picked": pick.get("name"),
        "epoch": pick.get("epoch"),
        "entropy": pick.get("entropy"),
        "policy": policy,
        "start": start,
        "final": final,
        "gain": None if start is None or final is None else final - start,
    }


def _trained(stages: list[Manifest], kind: str) -> int:
    return sum(m.tokens.get("trained", 0) for m in stages if m.kind == kind)


def _pick(run: Path) -> Mapping[str, Any]:
    """The candidate that the run's selection picked; {} without one."""
    for file in sorted(run.glob("*/decision.json")):
        picked = read_json(file)["picked"]
        return next((row for row in read_json(file.parent / "candidates.json") if row["name"] == picked), {})
    return {}


def _scores(run: Path) -> tuple[float | None, float | None, str | None]:
    """Mean avg@k of the pick and of the last policy evaluated, and that policy's name."""
    for file in sorted(run.glob("*/scores.json")):
        scores = read_json(file)
        means = {policy: sum(s["avg@k"] for s in of.values()) / len(of) for policy, of in scores.items() if of}
        if means:
            last = list(means)[-1]
            return means.get("select"), means[last], last
    return None, None, None
