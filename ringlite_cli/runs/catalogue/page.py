"""docs/metrics.md, made from the catalogue: python -m ringlite_cli.runs.catalogue.page > docs/metrics.md"""

from ringlite_cli.runs.catalogue import OF_STAGE, PANELS
from ringlite_cli.runs.catalogue.columns import HOW, Metric

_TITLES = {"sft": "Supervised fine-tuning", "rl": "Reinforcement learning"}
_HEAD = """# Metrics

Every training stage writes `metrics.jsonl`, one row per optimizer step. This page lists the columns. It is generated:
`python -m ringlite_cli.runs.catalogue.page > docs/metrics.md`.
"""


def page() -> str:
    """Return the page as Markdown."""
    lines = [_HEAD]
    for kind, metrics in OF_STAGE.items():
        lines += [f"## {_TITLES[kind]} (`kind: {kind}`)", ""]
        lines += ["| column | unit | how it becomes one number | meaning | drawn in |", "|---|---|---|---|---|"]
        lines += [_row(kind, metric) for metric in metrics] + [""]
    lines += [
        "`ringlite status` shows the last row of the stage at work. `ringlite compare` shows means over the last tenth",
        "of the steps. The guard watches " + _joined([m for m in OF_STAGE["rl"] if m.watched]) + ".",
    ]
    return "\n".join(lines) + "\n"


def _row(kind: str, metric: Metric) -> str:
    drawn = [p.title for p in PANELS[kind] if metric.key in [curve.key for curve in p.curves]]
    drawn += ["Table"] if metric.table else []
    unit = metric.unit or "–"
    return f"| `{metric.key}` | {unit} | {HOW[metric.reduced]} | {metric.meaning} | {', '.join(drawn) or '–'} |"


def _joined(metrics: list[Metric]) -> str:
    *most, last = (f"`{m.key}`" for m in metrics)
    return ", ".join(most) + f" and {last}"


if __name__ == "__main__":
    print(page(), end="")
