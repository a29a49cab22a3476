"""The top of the page: one paragraph made from the numbers, and how each stage stands."""

from dataclasses import dataclass

from ringlite_cli.report.files import num, text
from ringlite_cli.report.load import Run, Stage
from ringlite_cli.report.sections import curation, selection, tokens
from ringlite_cli.report.words import count, decimal, duration, joined, percent, short

MARKS = {"done": "✓", "running": "…", "failed": "✗", "interrupted": "‖", "unknown": "?", "ahead": "○"}


@dataclass(frozen=True, slots=True)
class Step:
    """One stage in the strip: its status in a word and a mark, time and tokens."""

    name: str
    kind: str
    status: str
    mark: str
    time: str
    tokens: str
    said: str


def steps(run: Run) -> list[Step]:
    """Every stage, and those of the recipe that have not begun."""
    begun = [_step(stage) for stage in run.stages]
    return begun + [Step(name, "", "not started", MARKS["ahead"], "", "", "") for name in run.ahead]


def _step(stage: Stage) -> Step:
    account = tokens.account(stage)
    parts = [f"{short(v)} {name}" for name, v in (("trained", account.trained), ("generated", account.generated)) if v]
    time = duration(stage.seconds) if stage.seconds else ""
    return Step(stage.name, stage.kind, stage.status, MARKS[stage.status], time, ", ".join(parts), stage.summary)


def summary(run: Run) -> str:
    """What happened, stage by stage, in sentences; the scores stand above it."""
    said = [_state(run), *map(_curation, run.of("curate")), _training(run), *map(_pick, run.of("select"))]
    return " ".join(part for part in said if part)


def _state(run: Run) -> str:
    unfinished = [f"{stage.name} ({stage.status})" for stage in run.stages if stage.status != "done"]
    unfinished += [f"{name} (not started)" for name in run.ahead]
    total = sum(stage.seconds or 0.0 for stage in run.stages)
    took = f" in {duration(total)}" if total else ""
    if unfinished:
        return (
            f"This run is not complete: {joined(unfinished)}. So far it worked{took}."
            if took
            else (f"This run is not complete: {joined(unfinished)}.")
        )
    return f"All {len(run.stages)} stages are done{took}."


def _curation(stage: Stage) -> str:
    funnel = curation.funnel_of(stage)
    rows_in, out = num(funnel, "rows_in"), num(funnel, "out")
    return f"Curation kept {count(out)} of {count(rows_in)} rows." if rows_in and out is not None else ""


def _training(run: Run) -> str:
    parts = []
    if sft := sum(tokens.account(stage).trained or 0.0 for stage in run.of("sft")):
        parts.append(f"SFT trained {short(sft)} tokens")
    if rl := sum(tokens.account(stage).trained or 0.0 for stage in run.of("rl")):
        parts.append(f"RL {short(rl)}")
    if found := tokens.efficiency(run):
        parts.append(f"RL / SFT {found.start}: {decimal(found.rl / found.sft)}")
    return ", ".join(parts) + "." if parts else ""


def _pick(stage: Stage) -> str:
    choice = selection.choice_of(stage)
    if not choice.picked:
        return ""
    entropy, passed = num(choice.pick, "entropy"), num(choice.pick, "pass@1")
    where = ""
    if choice.band:
        inside = choice.picked in choice.inside
        where = f", {'inside' if inside else 'OUTSIDE'} the band {choice.band[0]:g} – {choice.band[1]:g}"
    rule = text(choice.decision, "rule")
    return (
        f"Select picked {choice.picked} (entropy {decimal(entropy)} nats{where}; pass@1 {percent(passed)}"
        f"{f'; rule “{rule}”' if rule else ''})."
    )
