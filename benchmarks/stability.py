"""C3PO beside GRPO on one start, one data set and one learning rate: how steady each run is, and which collapse.

    python benchmarks/stability.py --policy FOLDER [--problems problems.parquet] [--seeds 5] [--steps 60] [--lr 3e-4]

FOLDER: a weak SFT checkpoint of the demo's tiny mixture of experts (a demo run leaves some in sft/checkpoints).
Without --problems the problems are made: chains of additions and subtractions. Both algorithms go through the same
packed path and see the same prompts; all that differs is the selection and the divisor. A run has collapsed where the
mean reward of its last fifth is less than half of its first fifth's, or where it stopped with a loss or policy that is
not finite. CV: standard deviation over mean, over the steps of a run; the table has means over seeds.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

Row = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--policy", type=Path, required=True)
    parser.add_argument("--problems", type=Path, help="a parquet set of curation; default: made")
    parser.add_argument("--algorithms", nargs="+", default=["c3po", "grpo"])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--lr", type=float, default=3e-4, help="where plain GRPO collapses from a weak start")
    parser.add_argument("--budget", type=int, default=4096)
    parser.add_argument("--longest", type=int, default=112)
    parser.add_argument("--out", type=Path, help="a JSON line per run")
    options = parser.parse_args()
    table = {name: [run(options, name, seed) for seed in range(options.seeds)] for name in options.algorithms}
    print(
        "| algorithm | runs | collapsed | CV grad norm | CV tokens/step | CV step time | reward first | reward last |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for name, runs in table.items():
        print(line(name, runs))


def run(options: argparse.Namespace, algorithm: str, seed: int) -> Row:
    """One run's summary, of as many steps as it got through."""
    from ringlite_cli.errors import WorkFailed
    from ringlite_cli.problems import read_problems
    from ringlite_cli.rewards.verifiers import Verifiers, VerifierSettings
    from ringlite_cli.runs.files import read_jsonl
    from ringlite_cli.train.rl import run_rl

    problems = read_problems(options.problems) if options.problems else made(400)
    trl = {"num_generations": 8, "max_completion_length": options.longest, "learning_rate": options.lr, "beta": 0.0}
    trl |= {"warmup_steps": 0, "adam_beta2": 0.99, "save_strategy": "no"}
    batch = {"prompts_per_step": 16, "token_budget": options.budget, "row_tokens": 1024, "prompt_suffix": {}}
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder, Verifiers(VerifierSettings(isolation="none")) as verify:
        failed = ""
        try:
            run_rl(
                options.policy, problems, verify, Path(folder), steps=options.steps, seed=seed, algorithm=algorithm,
                trl=trl, **batch,
            )  # fmt: skip
        except WorkFailed as error:
            failed = str(error)
        rows = read_jsonl(Path(folder) / "metrics.jsonl")
    result = {"algorithm": algorithm, "seed": seed, "failed": failed, **summary(rows)}
    result |= {"seconds": round(time.monotonic() - started)}
    print(json.dumps(result), flush=True)
    if options.out:
        with options.out.open("a", encoding="utf-8") as file:
            file.write(json.dumps(result) + "\n")
    return result


def made(rows: int) -> list[Any]:
    from ringlite_cli.data.generators import GENERATORS

    return list(GENERATORS["arithmetic"].generate(rows, 17))


def summary(rows: Sequence[Row]) -> Row:
    fifth = max(1, len(rows) // 5)
    first, last = (statistics.mean(row["reward"] for row in part) for part in (rows[:fifth], rows[-fifth:]))
    return {
        "steps": len(rows),
        "cv_grad_norm": cv([row["grad_norm"] for row in rows]),
        "cv_tokens": cv([row["tokens_trained"] for row in rows]),
        "cv_update": cv([row["update_seconds"] for row in rows[1:]]),
        "reward_first": first,
        "reward_last": last,
        "collapsed": last < 0.5 * first,
    }


def cv(values: Sequence[float | None]) -> float:
    known = [value for value in values if value is not None]
    return statistics.pstdev(known) / statistics.mean(known) if known and statistics.mean(known) else 0.0


def line(name: str, runs: Sequence[Row]) -> str:
    collapsed = sum(bool(run["collapsed"] or run["failed"]) for run in runs)
    columns = ("cv_grad_norm", "cv_tokens", "cv_update", "reward_first", "reward_last")
    means = " | ".join(f"{statistics.mean(run[column] for run in runs):.3f}" for column in columns)
    return f"| {name} | {len(runs)} | {collapsed} | {means} |"


if __name__ == "__main__":
    main()
