"""Token efficiency over all runs of a project: RL tokens over SFT tokens, beside what came of it (§4.3.2, Figure 9)."""

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from ringlite_cli.runs.files import read_json
from ringlite_cli.runs.manifest import Manifest, read_manifest

FILE = "token_efficiency.json"
_DEPTHS = ("*", "*/*", "*/*/*")
"""A run folder lies in the project's folder; an experiment's lie two below (arm and seed)."""


def token_efficiency(project: Path) -> list[dict[str, Any]]:
    """A row per run below a folder that has trained by SFT and RL, in order of names.

    sft_tokens: trained up to the picked checkpoint; of the whole SFT before RL without a pick. rl_tokens: trained by
    all RL stages. efficiency: rl_tokens / sft_tokens. epoch, entropy: of the pick. start, final: mean avg@k of the pick
    and of the last policy of RL that was evaluated, over `tasks`, those of both (of the final one where the pick has
    no score); gain: their difference. What a run does not have is None. A run with damaged files is left out.
    """
    runs = sorted({file.parent for depth in _DEPTHS for file in project.glob(f"{depth}/recipe.json")})
    rows = []
    for run in runs:
        with suppress(OSError, ValueError, LookupError, TypeError, AttributeError):
            if row := _row(run, run.relative_to(project).as_posix()):
                rows.append(row)
    return rows


def _row(run: Path, name: str) -> dict[str, Any] | None:
    stages = [m for file in sorted(run.glob("*/manifest.json")) if (m := read_manifest(file.parent))]
    done = [m for m in stages if m.status == "done"]
    rl_tokens, sft_tokens = _trained(done, "rl"), _trained(_before_rl(done), "sft")
    pick = _pick(run)
    sft_tokens = pick.get("sft_tokens") or sft_tokens
    if not rl_tokens or not sft_tokens:
        return None
    policy, start, final, tasks = _scores(run)
    return {
        "run": name,
        "sft_tokens": sft_tokens,
        "rl_tokens": rl_tokens,
        "efficiency": rl_tokens / sft_tokens,
        "picked": pick.get("name"),
        "epoch": pick.get("epoch"),
        "entropy": pick.get("entropy"),
        "policy": policy,
        "tasks": tasks,
        "start": start,
        "final": final,
        "gain": None if start is None or final is None else final - start,
    }


def _before_rl(stages: list[Manifest]) -> list[Manifest]:
    """The stages that no RL stage stands above: a last SFT is none of them."""
    of = {m.stage: m for m in stages}

    def follows(m: Manifest) -> bool:
        above = [of[name] for name in m.parent if name in of and name != m.stage]
        return any(each.kind == "rl" or follows(each) for each in above)

    return [m for m in stages if not follows(m)]


def _trained(stages: list[Manifest], kind: str) -> int:
    return sum(m.tokens.get("trained", 0) for m in stages if m.kind == kind)


def _pick(run: Path) -> Mapping[str, Any]:
    """The candidate that the run's selection picked; {} without one."""
    for file in sorted(run.glob("*/decision.json")):
        picked = read_json(file)["picked"]
        return next((row for row in read_json(file.parent / "candidates.json") if row["name"] == picked), {})
    return {}


def _scores(run: Path) -> tuple[str | None, float | None, float | None, list[str]]:
    """The last policy of RL that was evaluated, its start's and its mean avg@k, the tasks."""
    found: dict[str, dict[str, float]] = {}
    evals = [(m.started, file) for file in run.glob("*/scores.json") if (m := read_manifest(file.parent))]
    for _, file in sorted(evals):
        for policy, scores in read_json(file).items():
            shares = {task: float(score["avg@k"]) for task, score in scores.items()}
            found[policy] = found.get(policy, {}) | shares
    kinds = {policy: _kind(run, policy) for policy, shares in found.items() if shares}
    last = next((policy for policy in reversed(kinds) if kinds[policy] == "rl"), None)
    if last is None:
        return None, None, None, []
    start = next((policy for policy in kinds if kinds[policy] == "select"), None)
    tasks = sorted(found[last].keys() & found[start].keys() if start else found[last].keys())
    if not tasks:
        return last, None, None, []
    return last, _mean(found[start], tasks) if start else None, _mean(found[last], tasks), tasks


def _kind(run: Path, policy: str) -> str:
    manifest = read_manifest(run / policy)
    return manifest.kind if manifest else ""


def _mean(shares: Mapping[str, float], tasks: list[str]) -> float:
    return sum(shares[task] for task in tasks) / len(tasks)
