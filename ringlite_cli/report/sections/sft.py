"""Long-CoT SFT: the loss curve, what goes with it, and the checkpoints."""

from ringlite_cli.report.blocks import Block, Cell, Column, Details, Section, Table, Text
from ringlite_cli.report.files import num, objects, text
from ringlite_cli.report.load import Run, Stage
from ringlite_cli.report.pens import Pens
from ringlite_cli.report.sections.common import opening, panel
from ringlite_cli.report.words import count, decimal, fixed, short
from ringlite_cli.runs.catalogue.panels import SFT_PANELS

_LETTERS = 6000
"""Characters shown of a sample."""


def section(run: Run, pens: Pens) -> Section:
    page = Section("sft", "Supervised fine-tuning", short="SFT")
    stages = run.of("sft")
    if not stages:
        page.say("No sft stage in this run.", "missing")
    for stage in stages:
        page.blocks += opening(stage, stages)
        page.blocks += _samples(stage)
        if stage.metrics:
            page.figures(*(panel(stage, each, pens, "p-sft") for each in SFT_PANELS))
        else:
            page.say(f"{stage.name}/metrics.jsonl is missing or has no rows yet.", "missing")
        if table := _checkpoints(stage):
            page.blocks.append(table)
    return page


def trained_tokens(stage: Stage) -> float | None:
    """Tokens that the stage trained on: the manifest's total, else the highest running total in metrics.jsonl."""
    found = stage.tokens.get("trained")
    return found if found else max((v for row in stage.metrics if (v := num(row, "tokens_trained"))), default=None)


def _samples(stage: Stage) -> list[Block]:
    """Return what was counted of the samples, and the first of them as it was trained."""
    account = stage.load("samples.json")
    if not isinstance(account, dict):
        return []
    parts = [
        f"{count(num(account, 'samples'))} samples, {short(num(account, 'trained_tokens'))} tokens with loss an epoch"
    ]
    left_out = account.get("left_out")
    for reason, number in (left_out if isinstance(left_out, dict) else {}).items():
        parts.append(f"{number} left out ({reason})")
    for name, words in (("cut", "cut"), ("unverified", "not confirmed by a verifier (verified_by: none)")):
        if number := num(account, name):
            parts.append(f"{count(number)} {words}")
    how = account.get("how")
    for made, number in (how if isinstance(how, dict) else {}).items():
        parts.append(f"{number} {made}")
    blocks: list[Block] = [Text("; ".join(parts) + ".", "warn" if left_out or num(account, "cut") else "note")]
    if shown := objects(account.get("shown"))[:1]:
        loss = "trained too" if account.get("loss_on_prompts") else "without loss"
        words = f"[prompt, {loss}]\n{text(shown[0], 'prompt')}\n\n[trained]\n{text(shown[0], 'response')}"
        blocks.append(Details("A sample as it is trained", words[:_LETTERS]))
    return blocks


def _checkpoints(stage: Stage) -> Table | None:
    found = objects(stage.load("checkpoints.json"))
    if not found:
        return None
    columns = [Column("checkpoint", False), Column("step"), Column("epoch"), Column("tokens trained"), Column("loss")]
    rows = []
    for each in found:
        step, epoch, tokens, loss = (num(each, key) for key in ("step", "epoch", "tokens_trained", "loss"))
        rows.append(
            [
                Cell(text(each, "name", "?")),
                Cell(count(step), step),
                Cell(fixed(epoch, 2), epoch),
                Cell(short(tokens), tokens),
                Cell(decimal(loss), loss),
            ]
        )
    return Table(f"Checkpoints of {stage.name}", columns, rows)
