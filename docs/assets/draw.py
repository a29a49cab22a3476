"""Draw the pictures of the pages: `python docs/assets/draw.py` writes pipeline.svg and c3po-*.svg beside this file.

The budget's picture is drawn by the selection that training uses, on twelve made-up lengths; the steps' picture by
metrics.jsonl of the recorded run on one H100; the weights' picture by the two formulas.
"""

import json
from collections.abc import Callable, Iterable, Sequence
from html import escape
from pathlib import Path

from ringlite_cli.c3po.budget import pick_tokens, seeded_order

HERE = Path(__file__).parent
RUN = HERE.parent / "experiments" / "smollm2-h100"
INK, QUIET, LINE = "#1f2933", "#5b6770", "#c9d1d8"
BLUE, AMBER, GREY, PALE = "#2463c4", "#b45309", "#9aa5b1", "#eef3fb"
FONT = "system-ui, 'Segoe UI', Roboto, 'Liberation Sans', Arial, sans-serif"

LENGTHS = [310, 95, 620, 180, 240, 870, 130, 410, 60, 530, 205, 350]
"""Made-up lengths of twelve responses, in tokens."""
BUDGET = 2500

STAGES = [
    ("curate", "clean, verify, split", "named sets"),
    ("sft", "learn worked traces", "checkpoints"),
    ("select", "pick by entropy", "the start of RL"),
    ("rl-math", "C3PO on math", "a policy"),
    ("rl-mixed", "C3PO on all domains", "a policy"),
    ("eval", "score every policy", "avg@k, intervals"),
]


def text(
    x: float, y: float, words: str, *, size: int = 13, fill: str = INK, anchor: str = "start", bold: bool = False
) -> str:
    """Return a line of text."""
    weight = ' font-weight="600"' if bold else ""
    at = f'x="{x:g}" y="{y:g}" font-size="{size}" fill="{fill}" text-anchor="{anchor}"{weight}'
    return f"<text {at}>{escape(words)}</text>"


def rect(x: float, y: float, width: float, height: float, fill: str, *, stroke: str = "none", round_: float = 0) -> str:
    """Return a rectangle."""
    return (
        f'<rect x="{x:.2f}" y="{y:.2f}" width="{width:.2f}" height="{height:.2f}" rx="{round_:g}" '
        f'fill="{fill}" stroke="{stroke}"/>'
    )


def path(points: Iterable[tuple[float, float]], colour: str, *, dash: str = "", width: float = 2) -> str:
    """Return a line through points."""
    d = "M" + "L".join(f"{x:.2f},{y:.2f}" for x, y in points)
    dashed = f' stroke-dasharray="{dash}"' if dash else ""
    return f'<path d="{d}" fill="none" stroke="{colour}" stroke-width="{width:g}"{dashed}/>'


def arrow(x: float, y: float, to_x: float, to_y: float) -> str:
    """Return an arrow, which points to the right or down."""
    head = [(-7, -4), (0, 0), (-7, 4)] if to_x > x else [(-4, -7), (0, 0), (4, -7)]
    return path([(x, y), (to_x, to_y)], QUIET, width=1.5) + path(
        [(to_x + a, to_y + b) for a, b in head], QUIET, width=1.5
    )


def picture(title: str, width: int, height: int, parts: Sequence[str]) -> str:
    """Return an SVG file with a white ground, so that it is read on a dark page too."""
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
            f'role="img" font-family="{FONT}">',
            f"<title>{escape(title)}</title>",
            rect(0, 0, width, height, "#fff", round_=6),
            *parts,
            "</svg>\n",
        ]
    )


def axes(
    left: float, top: float, right: float, bottom: float, ticks: Sequence[tuple[float, str]], title: str
) -> list[str]:
    """Return a frame: lines at the ticks (y, word) and the title of the vertical axis above."""
    parts = [text(left - 40, top - 10, title, size=12, fill=QUIET)]
    for y, word in ticks:
        parts += [
            path([(left, y), (right, y)], LINE, width=1),
            text(left - 6, y + 4, word, size=11, fill=QUIET, anchor="end"),
        ]
    return parts


def pipeline() -> str:
    """Return the picture of the stages, and what each hands to the next."""
    wide, gap, top = 128, 26, 64
    parts = [
        text(80, 26, "your problems", fill=QUIET, anchor="middle"),
        arrow(80, 34, 80, top - 4),
        text(80 + wide + gap, 26, "your model", fill=QUIET, anchor="middle"),
        arrow(80 + wide + gap, 34, 80 + wide + gap, top - 4),
    ]
    for number, (name, does, leaves) in enumerate(STAGES):
        x = 16 + number * (wide + gap)
        parts += [
            rect(x, top, wide, 60, PALE, stroke=BLUE, round_=8),
            text(x + wide / 2, top + 25, name, size=15, anchor="middle", bold=True),
            text(x + wide / 2, top + 45, does, size=11, fill=QUIET, anchor="middle"),
            text(x + wide / 2, top + 80, leaves, size=12, fill=AMBER, anchor="middle"),
        ]
        if number:
            parts.append(arrow(x - gap + 3, top + 30, x - 4, top + 30))
    right = 16 + len(STAGES) * wide + (len(STAGES) - 1) * gap
    parts += [
        path([(16, 168), (right, 168)], LINE, width=1),
        text(16, 190, "runs/<name>/<stage>/: manifest.json, metrics.jsonl and the outputs of each stage", fill=QUIET),
        text(right, 190, "runs/<name>/report.html", fill=AMBER, anchor="end"),
    ]
    return picture("The six stages of a recipe, from problems and a model to a report", right + 16, 206, parts)


def budget() -> str:
    """Return the picture of one step's selection: twelve responses in a seeded order, cut where the budget is full."""
    order = seeded_order(range(len(LENGTHS)), seed=17, step=1)
    taken = {pick.index: pick.tokens for pick in pick_tokens(LENGTHS, BUDGET, order)}
    left, top, scale = 150, 62, 0.62
    parts = [text(16, 26, f"Φ = {BUDGET:,} tokens, twelve responses, a seeded random order", bold=True)]
    parts.append(text(16, 44, "blue: trained; grey: drawn and rewarded, not trained in this step", size=12, fill=QUIET))
    so_far = 0
    for row, index in enumerate(order):
        y, length, tokens = top + row * 22, LENGTHS[index], taken.get(index, 0)
        so_far += tokens
        parts.append(text(left - 8, y + 12, f"response {index + 1}: {length}", size=12, anchor="end"))
        parts.append(rect(left, y, length * scale, 15, "#e3e7ec"))
        if tokens:
            parts.append(rect(left, y, tokens * scale, 15, BLUE))
        word = (
            f"{so_far:,}" if tokens == length else f"cut after {tokens} tokens: {so_far:,}" if tokens else "not trained"
        )
        parts.append(text(left + length * scale + 8, y + 12, word, size=12, fill=QUIET if tokens else GREY))
    return picture("How a step picks its tokens", 860, top + len(order) * 22 + 14, parts)


def steps() -> str:
    """Return the picture of a real run: tokens drawn and tokens trained in each step of rl-math and rl-mixed."""
    rows = [
        json.loads(line)
        for stage in ("rl-math", "rl-mixed")
        for line in (RUN / f"{stage}-metrics.jsonl").read_text(encoding="utf-8").splitlines()
    ]
    left, top, right, bottom, most = 66, 62, 840, 250, 130_000
    x = lambda step: left + (right - left) * step / (len(rows) - 1)  # noqa: E731
    y = lambda tokens: bottom - (bottom - top) * tokens / most  # noqa: E731
    border = x(31.5)
    parts = axes(
        left, top, right, bottom, [(y(n), f"{n:,}") for n in (0, 40_000, 80_000, 120_000)], "response tokens a step"
    )
    parts += [
        path([(border, top), (border, bottom)], GREY, dash="4 4", width=1),
        text(border - 8, bottom + 20, "rl-math, 32 steps", size=12, fill=QUIET, anchor="end"),
        text(border + 8, bottom + 20, "rl-mixed, 16 steps", size=12, fill=QUIET),
        path([(x(i), y(row["tokens_generated"])) for i, row in enumerate(rows)], AMBER),
        path([(x(i), y(row["tokens_trained"])) for i, row in enumerate(rows)], BLUE, width=2.5),
        text(left + 4, 26, "drawn", fill=AMBER, bold=True),
        text(left + 60, 26, f"trained: Φ = {rows[0]['budget']:,}", fill=BLUE, bold=True),
    ]
    return picture("Tokens drawn and trained in each step of a run on one H100", 860, 284, parts)


def weights() -> str:
    """Return the picture of what one token weighs in the loss, by the length of its response."""
    responses, mean = 128, 400
    left, top, right, bottom, most = 66, 62, 840, 250, 4.2
    x = lambda length: left + (right - left) * length / 1600  # noqa: E731
    y = lambda weight: bottom - (bottom - top) * weight / most  # noqa: E731
    of_grpo: Callable[[float], float] = lambda length: mean / length  # noqa: E731  (1/(N |o|)) / (1/(N mean))
    parts = axes(left, top, right, bottom, [(y(n), f"{n}x") for n in (0, 1, 2, 3, 4)], "weight of a token")
    parts += [
        text(x(n), bottom + 18, f"{n:,}", size=11, fill=QUIET, anchor="middle") for n in (100, 400, 800, 1200, 1600)
    ]
    parts += [
        text(right, bottom + 36, "tokens of the response", size=12, fill=QUIET, anchor="end"),
        path([(x(n), y(of_grpo(n))) for n in range(100, 1601, 10)], AMBER),
        path([(x(0), y(1)), (x(1600), y(1))], BLUE, width=2.5),
        text(left + 4, 26, "GRPO: 1 / (N · length)", fill=AMBER, bold=True),
        text(
            left + 200,
            26,
            f"C3PO: 1 / Φ, with Φ = {responses * mean:,} (N = {responses}, mean length {mean})",
            fill=BLUE,
            bold=True,
        ),
    ]
    return picture("What one token weighs, by the length of its response", 860, 300, parts)


PICTURES = {"pipeline.svg": pipeline, "c3po-budget.svg": budget, "c3po-steps.svg": steps, "c3po-weights.svg": weights}

if __name__ == "__main__":
    for name, draw in PICTURES.items():
        (HERE / name).write_text(draw(), encoding="utf-8")
