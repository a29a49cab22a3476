"""The token account: what each stage trained on and generated, and RL's share of the training (§4.3.2)."""

from dataclasses import dataclass
from itertools import takewhile

from ringlite_cli.report.blocks import Cell, Column, Section, Table
from ringlite_cli.report.files import num, text
from ringlite_cli.report.load import Run, Stage
from ringlite_cli.report.pens import Pens
from ringlite_cli.report.sections.cost import cost_table
from ringlite_cli.report.sections.project import project_blocks
from ringlite_cli.report.sections.selection import choice_of
from ringlite_cli.report.sections.sft import trained_tokens
from ringlite_cli.report.words import count, decimal, percent, short


@dataclass(frozen=True, slots=True)
class Account:
    """Tokens of one stage; None where the stage does not say."""

    stage: Stage
    trained: float | None
    generated: float | None
    dropped: float | None


@dataclass(frozen=True, slots=True)
class Efficiency:
    """RL tokens over SFT tokens; `start` says up to which checkpoint the SFT tokens are counted."""

    rl: float
    sft: float
    start: str


def section(run: Run, pens: Pens) -> Section:
    page = Section("tokens", "Tokens, time and cost", short="Cost")
    accounts = [account(stage) for stage in run.stages]
    accounts = [a for a in accounts if any(v is not None for v in (a.trained, a.generated, a.dropped))]
    cost = cost_table(run, pens)
    if not accounts:
        page.say("No stage of this run has counted tokens yet.", "missing")
        page.blocks += [cost] if cost else []
        return page
    if found := efficiency(run):
        page.say(
            f"Token efficiency (RL tokens / SFT tokens, §4.3.2): {short(found.rl)} / {short(found.sft)} = "
            f"{decimal(found.rl / found.sft)}, counting the SFT tokens {found.start}.",
            "lead",
        )
    else:
        page.say("Token efficiency needs both an SFT and an RL stage with trained tokens.", "note")
    page.blocks.append(_table(accounts))
    page.blocks += [cost] if cost else []
    page.blocks += project_blocks(run, pens)
    return page


def account(stage: Stage) -> Account:
    """The manifest's totals, else sums over metrics.jsonl (for SFT the highest running total)."""
    if stage.kind == "sft":
        return Account(stage, trained_tokens(stage), None, None)
    said = stage.tokens

    def total(name: str) -> float | None:
        return said[name] if said.get(name) else stage.total(f"tokens_{name}") or said.get(name)

    if stage.kind == "rl":
        return Account(stage, total("trained"), total("generated"), total("dropped"))
    return Account(stage, said.get("trained") or None, said.get("generated") or None, said.get("dropped") or None)


def efficiency(run: Run) -> Efficiency | None:
    """Over all RL stages; SFT tokens up to the picked checkpoint where there was a pick, else all before RL."""
    rl = sum(account(stage).trained or 0.0 for stage in run.of("rl"))
    picks = [choice_of(stage).pick for stage in run.of("select")]
    for pick in picks:
        if rl and (sft := num(pick, "sft_tokens")):
            return Efficiency(rl, sft, f"up to the picked {text(pick, 'name')}")
    before = takewhile(lambda stage: stage.kind != "rl", run.stages)
    sft = sum(trained_tokens(stage) or 0.0 for stage in before if stage.kind == "sft")
    return Efficiency(rl, sft, "of the whole SFT stage") if rl and sft else None


def _table(accounts: list[Account]) -> Table:
    labels = ["stage", "kind", "trained", "generated", "dropped", "trained of generated"]
    columns = [Column(label, numeric=k > 1) for k, label in enumerate(labels)]
    note = "Trained: tokens in a loss. Dropped: generated in RL but beyond the token budget Φ, so in no loss."
    return Table("Tokens by stage", columns, [_row(a) for a in accounts], note)


def _row(a: Account) -> list[Cell]:
    share = a.trained / a.generated if a.trained and a.generated else None
    return [
        Cell(a.stage.name),
        Cell(a.stage.kind, tone="quiet"),
        *(Cell(count(v), v) for v in (a.trained, a.generated, a.dropped)),
        Cell(percent(share), share),
    ]
