"""C3PO beside GRPO on one start, one data set and one learning rate: how steady each run is, and which collapse.

    python benchmarks/stability.py --out FOLDER [--policy HF_FOLDER] [--seeds 5] [--steps 30] [--lr 4e-4]

Without --policy the start is made once in FOLDER/start: the demo recipe's curation and two epochs of its SFT, a weak
start. The problems are made: chains of additions and subtractions. All algorithms go through the same packed path and
see the same prompts; all that differs is the selection and the divisor. Each finished run is a line of
FOLDER/runs.jsonl, and the same command goes on with the runs that are missing there.

A run has collapsed where the mean reward of its last fifth is less than half of its first fifth's, or where it stopped
with a loss or policy that is not finite. CV: standard deviation over mean, over the steps of a run; the table has means
over runs. "worst": the lowest mean reward of a last fifth.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ResultRow = dict[str, Any]

SETTINGS = ("steps", "lr", "budget", "longest", "prompts", "group", "problems")
"""Options that make a run another one."""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder of the start and of runs.jsonl")
    parser.add_argument("--policy", type=Path, help="the start of all runs; default: made from the demo recipe")
    parser.add_argument("--algorithms", nargs="+", default=["c3po", "grpo"])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--lr", type=float, default=4e-4, help="where plain GRPO collapses from a weak start")
    parser.add_argument("--budget", type=int, default=3072)
    parser.add_argument("--longest", type=int, default=112)
    parser.add_argument("--prompts", type=int, default=16)
    parser.add_argument("--group", type=int, default=8)
    parser.add_argument("--problems", type=int, default=400)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    done = finished(options)
    policy = options.policy or weak_start(options.out / "start")
    for seed in range(options.seeds):
        for algorithm in options.algorithms:
            if (algorithm, seed) not in done:
                done[algorithm, seed] = run(options, policy, algorithm, seed)
                with (options.out / "runs.jsonl").open("a", encoding="utf-8") as file:
                    file.write(json.dumps(done[algorithm, seed]) + "\n")
                print(json.dumps(done[algorithm, seed]), flush=True)
    print(table({name: [done[name, seed] for seed in range(options.seeds)] for name in options.algorithms}))


def finished(options: argparse.Namespace) -> dict[tuple[str, int], ResultRow]:
    """The runs of these very settings that runs.jsonl has."""
    from ringlite_cli.runs.files import read_jsonl

    path = options.out / "runs.jsonl"
    rows = read_jsonl(path) if path.exists() else []
    return {(row["algorithm"], row["seed"]): row for row in rows if row["settings"] == settings(options)}


def settings(options: argparse.Namespace) -> ResultRow:
    return {name: getattr(options, name) for name in SETTINGS} | {"policy": str(options.policy or "")}


def weak_start(folder: Path) -> Path:
    """The demo recipe's model after two epochs of its SFT; made once."""
    from ringlite_cli.__main__ import run as ringlite

    ended = ringlite(
        ["run", "demo", "--to", "sft", "--runs-dir", str(folder), "--set", "stages.sft.trl.num_train_epochs=2"]
    )
    if ended:
        raise SystemExit(ended)
    stage = folder / "demo" / "sft"
    return stage / json.loads((stage / "checkpoints.json").read_text(encoding="utf-8"))[-1]["path"]


def run(options: argparse.Namespace, policy: Path, algorithm: str, seed: int) -> ResultRow:
    """One run's summary, of as many steps as it got through."""
    from ringlite_cli.data.generators import GENERATORS
    from ringlite_cli.errors import WorkFailed
    from ringlite_cli.recipe.rl_settings import RlSettings
    from ringlite_cli.rewards.verifiers import Verifiers, VerifierSettings
    from ringlite_cli.runs.files import read_jsonl
    from ringlite_cli.train.rl.run import ModelOptions, run_rl

    problems = list(GENERATORS["arithmetic"].generate(options.problems, 17))
    trl = {"num_generations": options.group, "max_completion_length": options.longest, "learning_rate": options.lr}
    trl |= {"beta": 0.0, "warmup_steps": 0, "adam_beta2": 0.99, "save_strategy": "no"}
    trl |= {"max_steps": options.steps}
    batch = {"prompts_per_step": options.prompts, "token_budget": options.budget, "row_tokens": 1024}
    chosen = RlSettings(algorithm=algorithm, guard=None, trl=trl, **batch)
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder, Verifiers(VerifierSettings(isolation="none")) as verify:
        failed = ""
        try:
            model = ModelOptions(prompt_suffix={})
            run_rl(policy, problems, verify, Path(folder), chosen, seed=seed, model=model)
        except WorkFailed as error:
            failed = str(error)
        rows = read_jsonl(Path(folder) / "metrics.jsonl")
    result = {"algorithm": algorithm, "seed": seed, "failed": failed, "settings": settings(options), **summary(rows)}
    return result | {"seconds": round(time.monotonic() - started)}


def summary(rows: Sequence[ResultRow]) -> ResultRow:
    if not rows:
        return {"steps": 0, "collapsed": True}
    fifth = max(1, len(rows) // 5)
    first, last = (statistics.mean(row["reward"] for row in part) for part in (rows[:fifth], rows[-fifth:]))
    return {
        "steps": len(rows),
        "cv_grad_norm": cv([row["grad_norm"] for row in rows]),
        "cv_tokens": cv([row["tokens_trained"] for row in rows]),
        "cv_update": cv([row["update_seconds"] for row in rows[1:]]),
        "budget_filled": statistics.mean(row["budget_fill"] for row in rows),
        "reward_first": first,
        "reward_last": last,
        "collapsed": last < 0.5 * first,
    }


def cv(values: Sequence[float | None]) -> float:
    known = [value for value in values if value is not None]
    return statistics.pstdev(known) / statistics.mean(known) if known and statistics.mean(known) else 0.0


def table(runs_of: dict[str, list[ResultRow]]) -> str:
    lines = [
        "| algorithm | runs | collapsed | CV grad norm | CV tokens/step | CV update time | reward first | reward last "
        "| worst |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name, runs in runs_of.items():
        collapsed = sum(bool(run["collapsed"] or run["failed"]) for run in runs)
        some = [run for run in runs if run["steps"]]
        columns = ("cv_grad_norm", "cv_tokens", "cv_update", "reward_first", "reward_last")
        means = " | ".join(f"{statistics.mean(run[column] for run in some):.3f}" if some else "-" for column in columns)
        worst = f"{min(run['reward_last'] for run in some):.3f}" if some else "-"
        lines.append(f"| {name} | {len(runs)} | {collapsed} | {means} | {worst} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
