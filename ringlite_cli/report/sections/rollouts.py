"""Responses to read: all rollouts of RL and all evaluated responses, to filter and to put side by side."""

from collections.abc import Iterable, Iterator

from ringlite_cli.report.blocks import Browser, Heading, Rollout, Rollouts, Section
from ringlite_cli.report.files import JsonRow, mapping, num, text
from ringlite_cli.report.load import Run, Stage
from ringlite_cli.report.pens import Pens
from ringlite_cli.report.reading.golds import golds
from ringlite_cli.report.reading.groups import (
    LETTERS,
    Group,
    counts_as_right,
    parts_in_words,
    plain,
    response_groups,
    rollout_groups,
)
from ringlite_cli.report.reading.pack import pack
from ringlite_cli.report.reading.sample import Sample
from ringlite_cli.report.reading.stream import response_rows, rollout_rows, with_rescored
from ringlite_cli.report.reading.tallies import Tallies, middle_of
from ringlite_cli.report.sections.verdicts import of_rollouts, rewards_by_label
from ringlite_cli.report.words import count, fixed

ROLLOUTS, RESPONSES = "rollouts.jsonl", "responses.jsonl"
EXAMPLES = 12
"""Rollouts of a stage that stand on the page for readers without a script, and on paper."""
PAGE_BYTES = 4 << 20
"""Text of RL's rollouts that the page holds before compression, and as much of evaluated responses."""


def section(run: Run, pens: Pens) -> Section:
    page = Section("rollouts", "Rollouts to read", short="Rollouts")
    stages = run.of("rl")
    if not stages:
        page.say("No RL stage in this run, so no rollouts.", "missing")
    drawn, scored = Sample(PAGE_BYTES), Sample(PAGE_BYTES)
    tallies = {stage.name: _read(stage, drawn) for stage in stages}
    for stage in run.of("eval"):
        for group in response_groups(with_rescored(response_rows(stage.folder), stage.folder / RESPONSES)):
            scored.add(
                f"{stage.name}/{group.task}/{group.problem}", group, len(group.rows) + group.left_out, group.size()
            )
    if browser := _browser(run, drawn, scored, pens):
        page.blocks.append(browser)
    for stage in stages:
        page.blocks.append(Heading(stage.name))
        told = tallies[stage.name]
        if not told.rows:
            page.say(f"{stage.name}/rollouts.jsonl is missing or has no rows yet.", "missing")
            continue
        if verdicts := of_rollouts(stage, told, pens):
            page.blocks.append(verdicts)
        page.blocks += rewards_by_label(told)
        examples = [_view(row, stage, pens) for row in told.examples(EXAMPLES)]
        page.blocks.append(Rollouts(examples, f"The first and the last rollout of each kind in {stage.name}"))
    return page


def _read(stage: Stage, sample: Sample) -> Tallies:
    """Stream a stage's rollouts once: into its tallies, and group by group into the sample."""
    told = Tallies(middle_of(stage.values("step")))
    size = num(mapping(mapping(stage.manifest, "recipe"), "trl"), "num_generations")
    rows = with_rescored(_counted(rollout_rows(stage.folder), told), stage.folder / ROLLOUTS)
    for group in rollout_groups(stage.name, rows, int(size) if size else None):
        key = f"{stage.name}/{group.step}/{group.problem}"
        sample.add(key, group, len(group.rows) + group.left_out, group.size())
    return told


def _counted(rows: Iterable[JsonRow], told: Tallies) -> Iterator[JsonRow]:
    for row in rows:
        told.add(row)
        yield row


def _browser(run: Run, drawn: Sample, scored: Sample, pens: Pens) -> Browser | None:
    groups: list[Group] = [*drawn.kept(), *scored.kept()]
    if not groups:
        return None
    wanted = {group.problem for group in groups}
    right = golds(run, [*run.of("rl"), *run.of("eval")], wanted)
    colours = {group.domain: pens.palette.domain(group.domain) for group in groups}
    told = [_told(drawn, "rollouts of RL"), _told(scored, "evaluated responses")]
    note = " ".join(words for words in told if words)
    note += _of_rescoring(sum(group.rescored for group in groups))
    return Browser(pack(groups, right, colours), note)


def _of_rescoring(rows: int) -> str:
    """Say whose verdicts are shown."""
    if not rows:
        return " Verdicts are those of the run."
    return (
        f" Verdicts are those of the run. `ringlite rescore` verified {count(rows)} of these responses again: what it "
        "found stands beside, and in their place where “verdicts” is set to “rescored”. Figures and tables "
        "of this page are the run's."
    )


def _told(sample: Sample, what: str) -> str:
    """Say how many responses the page holds, and how they were chosen where it does not hold all."""
    kept = sample.kept()
    if not sample.rows:
        return ""
    rows = sum(len(group.rows) for group in kept)
    if rows == sample.rows:
        return f"All {count(rows)} {what} are on this page."
    return (
        f"{count(rows)} of {count(sample.rows)} {what} are on this page: {count(len(kept))} of {count(sample.groups)} "
        "groups, a sample by a hash of the problem, which knows no verdict. The files have all."
    )


def _view(row: JsonRow, stage: Stage, pens: Pens) -> Rollout:
    domain = text(row, "domain", "?")
    tokens, kept = num(row, "tokens"), num(row, "tokens_kept")
    facts = [
        ("verdict", text(row, "verdict", "–")),
        ("reward", text(row, "reward", "–")),
        *([("made of", parts)] if (parts := parts_in_words(row)) else []),
        ("advantage", _signed(num(row, "advantage"))),
        ("tokens", _tokens(tokens, kept)),
        *([("cut at", "the length limit")] if row.get("truncated") is True else []),
        ("prompt id", text(row, "prompt_id", "–")),
    ]
    response = plain(row.get("response"))
    cut = (
        f"{count(len(response) - LETTERS)} more characters in {stage.name}/rollouts.jsonl"
        if len(response) > LETTERS
        else ""
    )
    return Rollout(
        title=f"{domain}, step {count(num(row, 'step'))}",
        style=pens.palette.domain(domain),
        right=counts_as_right(row),
        facts=facts,
        prompt=plain(row.get("prompt"))[:LETTERS],
        response=response[:LETTERS],
        cut=cut,
    )


def _signed(value: float | None) -> str:
    return ("+" if value is not None and value > 0 else "") + fixed(value, 2)


def _tokens(tokens: float | None, kept: float | None) -> str:
    if kept is None or tokens is None or kept == tokens:
        return count(tokens) + ("" if kept is None else ", all kept")
    return f"{count(tokens)}, {count(kept)} kept" if kept else f"{count(tokens)}, none kept (beyond the budget)"
