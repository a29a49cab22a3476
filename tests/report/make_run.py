"""Makes a run folder such as the pipeline leaves, with numbers that look like a real run and mean nothing."""

import json
import math
import random
from pathlib import Path
from typing import Any

DOMAINS = ("math", "code", "science", "logic")
EPOCHS = 6
_CLOCK = 1_760_000_000


def make_run(folder: Path, *, rl_steps: int = 80, sft_steps: int = 240, note: str = "", seed: int = 7) -> Path:
    """A finished run: curate, sft, select, rl-math, rl-mixed, eval."""
    chance = random.Random(seed)
    curate(folder)
    sft(folder, chance, sft_steps)
    select(folder)
    rl(folder, chance, "rl-math", ["select", "curate"], rl_steps, {"math": 1.0})
    rl(folder, chance, "rl-mixed", ["rl-math", "curate"], rl_steps // 2, {"math": 0.3, "code": 0.4, "science": 0.3})
    evaluate(folder)
    if note:
        for path in folder.glob("*/manifest.json"):
            edit(path, lambda manifest: manifest["recipe"].update(note=note))
    return folder


def edit(path: Path, change: Any) -> None:
    value = json.loads(path.read_text())
    change(value)
    path.write_text(json.dumps(value))


def put(folder: Path, name: str, value: Any) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(json.dumps(value, ensure_ascii=False))


def put_rows(folder: Path, name: str, rows: list[dict[str, Any]]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


def manifest(run: Path, stage: str, kind: str, after: list[str], minute: int, seconds: float, **more: Any) -> None:
    """The manifest that a stage leaves when it is done; `more` replaces fields of it."""
    put(
        run / stage,
        "manifest.json",
        {
            "stage": stage,
            "kind": kind,
            "status": "done",
            "fingerprint": "5d4f9a1be22c07aa",
            "seed": 17,
            "recipe": {"kind": kind, "model": {"path": "models/tiny"}, "trl": {"learning_rate": 5e-5}},
            "parent": after,
            "inputs": {f"{p}/policy": entry(f"{p}/policy", bytes=6_912_330) for p in after},
            "outputs": {"metrics": entry(f"{stage}/metrics.jsonl", bytes=52_411)},
            "versions": {
                "ringlite": "0.1.0",
                "commit": "0123456789ab",
                "python": "3.11.9",
                "platform": "Linux x86_64",
                "packages": {"torch": "2.13.0+cpu", "trl": "1.16.0"},
                "device": "cpu, 2 cores (a processor)",
            },
            "started": f"2025-10-09T08:{minute:02d}:00+00:00",
            "finished": f"2025-10-09T08:{minute + 2:02d}:00+00:00",
            "seconds": seconds,
            "tokens": {},
            "metrics": {},
            "note": f"{stage} done",
            "message": "",
        }
        | more,
    )


def entry(path: str, **size: int) -> dict[str, Any]:
    return {"path": path, "digest": "sha256:9f86d081884c7d65", **size}


REASONS = {
    "missing_answer": 96,
    "multi_part": 61,
    "has_image": 44,
    "not_guessable": 132,
    "exact_duplicate": 210,
    "near_duplicate": 318,
    "contamination": 57,
    "trace_fails_verifier": 141,
    "bad_tests": 38,
}


def curate(run: Path) -> None:
    rows_in = {"demo-math": 6250, "demo-code": 1900, "demo-science": 1500, "demo-logic": 1100}
    by_source, by_domain = {}, {}
    for number, (source, rows) in enumerate(rows_in.items()):
        dropped = {reason: n // 4 + (n % 4 > number) for reason, n in REASONS.items()}
        group = {"rows_in": rows, "dropped": dropped, "out": rows - sum(dropped.values())}
        by_source[source], by_domain[DOMAINS[number]] = group, group
    total = sum(rows_in.values())
    funnel = {
        "rows_in": total,
        "dropped": REASONS,
        "out": total - sum(REASONS.values()),
        "by_source": by_source,
        "by_domain": by_domain,
        "sets": {
            "traces": {"rows": 4000, "by_domain": {"math": 3000, "code": 1000}},
            "math": {"rows": 1500, "by_domain": {"math": 1500}},
            "select": {"rows": 200, "by_domain": dict.fromkeys(DOMAINS, 50)},
            "eval": {"rows": 800, "by_domain": dict.fromkeys(DOMAINS, 200)},
        },
        "traces_stripped": {"trace_disagrees": 12},
        "verified_by": {"verifier": 9512, "nothing": 141},
        "warnings": [],
    }
    manifest(run, "curate", "curate", [], 0, 21.4, metrics=funnel, inputs={}, note="9,653 of 10,750 rows kept")
    put(run / "curate", "funnel.json", funnel)
    put_rows(run / "curate", "metrics.jsonl", [])


def sft(run: Path, chance: random.Random, steps: int) -> None:
    rows, checkpoints = [], []
    for step in range(1, steps + 1):
        loss = 0.22 + 3.4 * math.exp(-step / (steps / 7)) + chance.gauss(0, 0.02)
        rows.append(
            {
                "step": step,
                "epoch": EPOCHS * step / steps,
                "loss": loss,
                "lr": 2e-3 * min(1, step / 10) * (0.5 + 0.5 * math.cos(math.pi * step / steps)),
                "grad_norm": 0.4 + 2.5 * math.exp(-step / 20) + abs(chance.gauss(0, 0.1)),
                "tokens_trained": 4210 * step,
                "mean_token_accuracy": 1 - loss / 5,
                "step_seconds": 0.55,
            }
        )
    for epoch in range(1, EPOCHS + 1):
        step = steps * epoch // EPOCHS
        name = f"checkpoint-{step}"
        checkpoints.append(
            {"name": name, "path": f"checkpoints/{name}", "step": step, "epoch": float(epoch)}
            | {"tokens_trained": 4210 * step, "loss": rows[step - 1]["loss"]}
        )
    manifest(run, "sft", "sft", ["curate"], 3, 141.0, tokens={"trained": 4210 * steps})
    put_rows(run / "sft", "metrics.jsonl", rows)
    put(run / "sft", "checkpoints.json", checkpoints)


def select(run: Path) -> None:
    entropy = [0.92, 0.61, 0.43, 0.31, 0.22, 0.17]
    passed = [0.04, 0.21, 0.384, 0.47, 0.52, 0.53]
    checkpoints = json.loads((run / "sft" / "checkpoints.json").read_text())
    rows = [
        {
            "name": c["name"],
            "path": f"sft/{c['path']}",
            "step": c["step"],
            "epoch": c["epoch"],
            "sft_tokens": c["tokens_trained"],
            "entropy": entropy[k],
            "entropy_ci95": [entropy[k] - 0.02, entropy[k] + 0.02],
            "pass@1": passed[k],
            "pass@1_ci95": [max(0, passed[k] - 0.035), passed[k] + 0.035],
            "pass@k": passed[k] ** 0.5,
            "k": 16,
            "n": 200,
            "response_tokens_mean": 63.2 - 2 * k,
            "truncated_fraction": 0.08 / (k + 1),
            "tokens": 202_240,
            "error": None,
        }
        for k, c in enumerate(checkpoints)
    ]
    decision = {
        "picked": rows[3]["name"],
        "path": rows[3]["path"],
        "rule": "band",
        "entropy_band": [0.3, 0.5],
        "inside_band": [rows[2]["name"], rows[3]["name"]],
        "reason": f"{rows[3]['name']} has the best pass@1 (47.0 %) of the 2 checkpoints with an entropy of 0.3 to 0.5.",
        "warning": None,
    }
    manifest(run, "select", "select", ["sft", "curate"], 6, 38.0, tokens={"generated": 1_180_000})
    put_rows(run / "select", "metrics.jsonl", rows)
    put(run / "select", "candidates.json", rows)
    put(run / "select", "decision.json", decision)


def rl(run: Path, chance: random.Random, name: str, after: list[str], steps: int, mix: dict[str, float]) -> None:
    rows = [_rl_row(chance, step, steps, mix) for step in range(1, steps + 1)]
    tokens = {key: sum(row[f"tokens_{key}"] for row in rows) for key in ("trained", "generated", "dropped")}
    minute = 9 if name == "rl-math" else 13
    manifest(run, name, "rl", after, minute, sum(r["step_seconds"] for r in rows), tokens=tokens)
    put_rows(run / name, "metrics.jsonl", rows)
    rollouts = [r for step in range(1, steps + 1) for d in mix for r in _rollouts(chance, step, steps, d)]
    put_rows(run / name, "rollouts.jsonl", rollouts)


def _rl_row(chance: random.Random, step: int, steps: int, mix: dict[str, float]) -> dict[str, Any]:
    reward = 0.42 + 0.3 * (1 - math.exp(-3 * step / steps)) + chance.gauss(0, 0.035)
    mean = 61 + 8 * step / steps + chance.gauss(0, 1.5)
    generated = int(mean * 128)
    rollout, verify, update = (abs(chance.gauss(m, m / 9)) for m in (1.5, 0.12, 1.1))
    return {
        "step": step,
        "loss": chance.gauss(0, 0.01),
        "reward": reward,
        "reward_by_domain": {d: reward + 0.08 * k - 0.1 + chance.gauss(0, 0.05) for k, d in enumerate(mix)},
        "grad_norm": abs(chance.gauss(0.3, 0.05)) * (40 if step == steps // 2 else 1),
        "entropy": 0.31 - 0.08 * step / steps + chance.gauss(0, 0.008),
        "kl": 0.012 * step / steps + abs(chance.gauss(0, 0.0008)),
        "clip_fraction": abs(chance.gauss(0.002, 0.001)),
        "lr": 5e-5,
        "budget": 8192,
        "tokens_generated": generated,
        "tokens_trained": min(8192, generated),
        "tokens_dropped": max(0, generated - 8192),
        "response_tokens_mean": mean,
        "response_tokens_max": min(128, mean + 45 + chance.gauss(0, 6)),
        "truncated_fraction": max(0, 0.03 + chance.gauss(0, 0.01)),
        "informative_fraction": min(1, max(0, 0.55 + chance.gauss(0, 0.08))),
        "row_fill": 0.94,
        "rollout_seconds": rollout,
        "reward_seconds": verify,
        "update_seconds": update,
        "step_seconds": rollout + verify + update + 0.08,
    }


def _rollouts(chance: random.Random, step: int, steps: int, domain: str) -> list[dict[str, Any]]:
    found = []
    for right in (True, False):
        a, b = chance.randint(11, 98), chance.randint(11, 98)
        value = a + b if right else a + b + 10
        found.append(
            {
                "step": step,
                "prompt_id": f"{domain}-{chance.randint(0, 999):03d}",
                "domain": domain,
                "prompt": f"What is {a} + {b}?\nPlease reason step by step.",
                "response": f"{a} + {b}: ones {a % 10 + b % 10}, tens {a // 10 + b // 10}.\nSo \\boxed{{{value}}}",
                "verdict": "correct" if right else "wrong_answer",
                "reward": 1.0 if right else 0.0,
                "advantage": 0.94 if right else -0.94,
                "tokens": 58 + right,
                "tokens_kept": 0 if step == steps and not right else 58 + right,
                "truncated": False,
            }
        )
    return found


SCORES = {
    "base": (0.002, 0.0, 0.001, 0.012),
    "select": (0.456, 0.31, 0.352, 0.281),
    "rl-math": (0.634, 0.318, 0.371, 0.277),
    "rl-mixed": (0.629, 0.462, 0.518, 0.301),
}


def evaluate(run: Path) -> None:
    scores = {
        policy: {
            domain: {
                "avg@k": value,
                "ci95": [max(0.0, value - 0.032), min(1.0, value + 0.032)],
                "pass@k": min(1.0, value + 0.18),
                "tokens": 51_360,
                "verdicts": {"correct": round(800 * value), "wrong_answer": 800 - round(800 * value)},
                **({"maj@k": value + 0.02} if domain != "code" else {}),
                "n": 200,
                "k": 4,
                "response_tokens_mean": 64.2,
                "truncated_fraction": 0.018,
            }
            for domain, value in zip(DOMAINS, values, strict=True)
        }
        for policy, values in SCORES.items()
    }
    after = ["sft", "select", "rl-math", "rl-mixed", "curate"]
    manifest(run, "eval", "eval", after, 16, 44.0, metrics=scores, tokens={"generated": 821_000})
    put(run / "eval", "scores.json", scores)
    put_rows(run / "eval", "metrics.jsonl", [])
