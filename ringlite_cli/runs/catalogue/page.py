"""docs/metrics.md, made from the catalogue: python -m ringlite_cli.runs.catalogue.page > docs/metrics.md"""

from ringlite_cli.runs.catalogue import OF_STAGE, PANELS
from ringlite_cli.runs.catalogue.columns import HOW, Metric
from ringlite_cli.runs.catalogue.panels import RL_BY_NAME

_TITLES = {"sft": "Supervised fine-tuning", "reward-model": "Reward model", "rl": "Reinforcement learning"}
_HEAD = """# Metrics

Every training stage writes `metrics.jsonl`, one row per optimizer step, also where trackers hear of fewer steps
(`trl.logging_steps`). This page lists the columns. It is generated:
`python -m ringlite_cli.runs.catalogue.page > docs/metrics.md`.

Where a rollout serves several steps (`updates_per_rollout`), the first one's row has the seconds and tokens of the
rollout; in the others they are 0, or left out.
"""
_MFU = """
## Model FLOPs utilization

`mfu` = FLOPs that the update needs / (`update_seconds` x ranks x the card's dense bfloat16 peak).

- For each token and each weight that it is multiplied with, 6 FLOPs: 2 forward, 4 backward. Of a mixture, the experts
  that the token is sent to. A frozen weight counts 4, an adapter's 6. The head counts for trained tokens alone.
- Attention: 6 x n² x heads x head size for a sample of n tokens and each layer that sees all of it: the causal half of
  what a full square would take. A layer that sees a window of w tokens counts 2 x n x w - w² for n² where n is above w,
  one that sees chunks the square of each. Layers that keep a state, or choose what they see, count nothing here.
- Not counted: what gradient checkpointing computes again, reference and old log-probabilities, embeddings, norms.
- Peaks (`ringlite_cli/train/speed.py` has the sources): A100 312 TFLOP/s, H100 SXM, H200 and GH200 989, H100 NVL 835,
  H100 PCIe 756, B200 2,250, L40S 362, RTX 4090 165, MI300X 1,307. There is no `mfu` on a CPU, on a part of a card
  (MIG), on a card that is not listed, or of a mixture whose config does not say how many experts a token is sent to.

prime-rl publishes MFU by another count: full squares of attention (12 x n² where 6 are counted here), by hidden size
instead of heads x head size, and the head for all tokens. `benchmarks/trainer_rows.py` prints both."""


def page() -> str:
    """Return the page as Markdown."""
    lines = [_HEAD]
    for kind, metrics in OF_STAGE.items():
        lines += [f"## {_TITLES[kind]} (`kind: {kind}`)", ""]
        lines += ["| column | unit | how it becomes one number | meaning | drawn in |", "|---|---|---|---|---|"]
        lines += [_row(kind, metric) for metric in metrics] + [""]
    lines += [
        "`ringlite status` shows the last row of the stage at work. `ringlite compare` shows means over the last tenth",
        "of the steps. Shares of time and speeds are those of the whole time there, in whole rollouts; in status, of",
        "the last rollout. The guard watches " + _joined([m for m in OF_STAGE["rl"] if m.watched]) + ".",
        _MFU,
    ]
    return "\n".join(lines) + "\n"


def _row(kind: str, metric: Metric) -> str:
    drawn = [p.title for p in PANELS[kind] if metric.key in [curve.key for curve in p.curves]]
    drawn += [each.title for each in RL_BY_NAME if kind == "rl" and each.key == metric.key]
    drawn += ["Table"] if metric.table else []
    unit = metric.unit or "–"
    return f"| `{metric.key}` | {unit} | {HOW[metric.reduced]} | {metric.meaning} | {', '.join(drawn) or '–'} |"


def _joined(metrics: list[Metric]) -> str:
    *most, last = (f"`{m.key}`" for m in metrics)
    return ", ".join(most) + f" and {last}"


if __name__ == "__main__":
    print(page(), end="")
