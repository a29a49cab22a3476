"""Some rollouts to read: per RL stage and domain, right and wrong, from its first and its last steps."""

from typing import Any

from ringlite_cli.report.blocks import Heading, Rollout, Rollouts, Section
from ringlite_cli.report.files import Row, load_rows, num, objects, text
from ringlite_cli.report.load import Run, Stage
from ringlite_cli.report.pens import Pens
from ringlite_cli.report.sections.verdicts import of_rollouts, rewards_by_label
from ringlite_cli.report.words import count, fixed
from ringlite_cli.runs.rollouts import FILE, old_parts

MOST = 40
"""Rollouts on one page."""
LETTERS = 3000
"""Characters shown of a prompt or a response."""
END_BYTES = 12 << 20
"""Bytes read from either end of a long rollouts.jsonl."""


def section(run: Run, pens: Pens) -> Section:
    page = Section("rollouts", "Rollouts to read")
    stages = run.of("rl")
    if not stages:
        page.say("No RL stage in this run, so no rollouts.", "missing")
    for stage in stages:
        page.blocks.append(Heading(stage.name))
        found = load_rows(stage.folder / FILE, end_bytes=END_BYTES, before=old_parts(stage.folder))
        chosen = choose(found.rows, max(4, MOST // len(stages)))
        if not chosen:
            page.say(f"{stage.name}/rollouts.jsonl is missing or has no rows yet.", "missing")
            continue
        if verdicts := of_rollouts(stage, found.rows, pens, cut=found.cut):
            page.blocks.append(verdicts)
        page.blocks += rewards_by_label(found.rows, cut=found.cut)
        page.say("The first and the last of each kind in the file; nothing else decided what is shown.", "note")
        page.blocks.append(Rollouts([_view(row, stage, pens) for row in chosen]))
    return page


def choose(rows: list[Row], most: int) -> list[Row]:
    """The first right and wrong and the last right and wrong rollout of each domain, in order of domain and step."""
    kinds: dict[tuple[str, bool | None], list[int]] = {}
    for place, row in enumerate(rows):
        if text(row, "response") or text(row, "verdict"):
            kinds.setdefault((text(row, "domain", "?"), _right(row)), []).append(place)
    firsts = [places[0] for places in kinds.values()]
    lasts = [places[-1] for places in kinds.values()]
    kept = sorted({*firsts, *lasts}, key=lambda place: (text(rows[place], "domain", "?"), place))
    return [rows[place] for place in kept[:most]]


def _right(row: Row) -> bool | None:
    """Whether the response earned a reward; None where it got no verdict."""
    reward = num(row, "reward")
    return None if reward is None else reward > 0


def _view(row: Row, stage: Stage, pens: Pens) -> Rollout:
    domain = text(row, "domain", "?")
    tokens, kept = num(row, "tokens"), num(row, "tokens_kept")
    facts = [
        ("verdict", text(row, "verdict", "–")),
        ("reward", text(row, "reward", "–")),
        ("advantage", _signed(num(row, "advantage"))),
        ("tokens", _tokens(tokens, kept)),
        *([("cut at", "the length limit")] if row.get("truncated") is True else []),
        ("prompt id", text(row, "prompt_id", "–")),
    ]
    response = _plain(row.get("response"))
    cut = (
        f"{count(len(response) - LETTERS)} more characters in {stage.name}/rollouts.jsonl"
        if len(response) > LETTERS
        else ""
    )
    return Rollout(
        title=f"{domain}, step {count(num(row, 'step'))}",
        style=pens.palette.domain(domain),
        right=_right(row),
        facts=facts,
        prompt=_plain(row.get("prompt"))[:LETTERS],
        response=response[:LETTERS],
        cut=cut,
    )


def _signed(value: float | None) -> str:
    return ("+" if value is not None and value > 0 else "") + fixed(value, 2)


def _tokens(tokens: float | None, kept: float | None) -> str:
    if kept is None or tokens is None or kept == tokens:
        return count(tokens) + ("" if kept is None else ", all kept")
    return f"{count(tokens)}, {count(kept)} kept" if kept else f"{count(tokens)}, none kept (beyond the budget)"


def _plain(value: Any) -> str:
    """Text, or the messages of a conversation one below the other."""
    if isinstance(value, str):
        return value
    return "\n\n".join(f"[{text(m, 'role', '?')}]\n{text(m, 'content')}" for m in objects(value))
