"""Select: entropy and scores of every SFT checkpoint, the band, and the pick with its reason."""

from dataclasses import dataclass

from ringlite_cli.report.blocks import Cell, Column, Section, Table
from ringlite_cli.report.figures import Figure, Series, Sheet, lines
from ringlite_cli.report.figures.thin import Point
from ringlite_cli.report.files import Interval, JsonRow, interval, listing, num, objects, text
from ringlite_cli.report.load import Run, Stage
from ringlite_cli.report.pens import Pens
from ringlite_cli.report.sections.common import opening
from ringlite_cli.report.words import count, fixed, percent, percent_interval, short


@dataclass(frozen=True, slots=True)
class Choice:
    """The candidates in order of training, and the decision: the picked name, the band, the names inside it."""

    candidates: list[JsonRow]
    decision: JsonRow
    picked: str
    band: Interval | None
    inside: list[str]

    @property
    def pick(self) -> JsonRow:
        return next((c for c in self.candidates if text(c, "name") == self.picked), {}) if self.picked else {}


def section(run: Run, pens: Pens) -> Section:
    page = Section("select", "Choosing the SFT checkpoint by entropy", short="Pick")
    stages = run.of("select")
    if not stages:
        page.say("No select stage in this run.", "missing")
    for stage in stages:
        page.blocks += opening(stage, stages)
        choice = choice_of(stage)
        if choice.decision:
            page.say(text(choice.decision, "reason"), "lead")
            if (warning := text(choice.decision, "warning")) != stage.message:
                page.say(warning, "warn")
        else:
            page.say(f"No decision yet: {stage.name}/decision.json is missing or unreadable.", "missing")
        if choice.candidates:
            page.figures(*figures_of(choice, pens.sheet))
            page.blocks.append(_table(choice))
            for each in choice.candidates:
                if error := text(each, "error"):
                    page.say(f"{text(each, 'name', '?')} could not be measured: {error}", "warn")
        else:
            page.say(f"{stage.name}/candidates.json and metrics.jsonl hold no candidates yet.", "missing")
    return page


def choice_of(stage: Stage) -> Choice:
    """Return what the stage measured and decided; candidates of an unfinished stage come from its metrics."""
    found = stage.load("decision.json")
    candidates = objects(stage.load("candidates.json")) or [r for r in stage.metrics if text(r, "name")]
    return choice_from(candidates, found if isinstance(found, dict) else {})


def choice_from(candidates: list[JsonRow], decision: JsonRow) -> Choice:
    """Return the choice that rows of candidates.json and decision.json tell of."""
    candidates = sorted(candidates, key=lambda c: (num(c, "step") or 0.0, text(c, "name")))
    inside = [name for name in listing(decision, "inside_band") if isinstance(name, str)]
    return Choice(candidates, decision, text(decision, "picked"), interval(decision, "entropy_band"), inside)


def figures_of(choice: Choice, sheet: Sheet, pick_word: str = "pick") -> list[Figure | None]:
    """Return the figures of a selection: entropy, scores, and one against the other."""
    x = "epoch" if all(num(c, "epoch") is not None for c in choice.candidates) else "step"
    k = text(next(iter(choice.candidates), {}), "k", "k")
    entropy = _over(choice, x, "entropy", "entropy", "p-sft")
    passed = _in_percent(_over(choice, x, "pass@1", "pass@1", "p-sft"))
    covered = _in_percent(_over(choice, x, "pass@k", f"pass@{k}", "p-quiet"))
    spread, names = _spread(choice)
    pick = choice.pick
    return [
        lines(
            sheet,
            "Entropy of the policy",
            x,
            "nats per response token",
            [entropy],
            zero=True,
            even=False,
            band=choice.band,
            pick=_point(pick, x, "entropy"),
            pick_word=pick_word,
        ),
        lines(
            sheet,
            "Responses verified right",
            x,
            "%",
            [passed, covered],
            zero=True,
            even=False,
            pick=_point(pick, x, "pass@1", 100),
        ),
        lines(
            sheet,
            "pass@1 against entropy",
            "entropy, nats per response token",
            "pass@1, %",
            [spread],
            zero=True,
            even=False,
            band=choice.band,
            band_axis="x",
            pick=_point(pick, "entropy", "pass@1", 100),
            labels=names,
        ),
    ]


def _over(choice: Choice, x: str, key: str, name: str, style: str) -> Series:
    rows = [(p, interval(c, key + "_ci95")) for c in choice.candidates if (p := _point(c, x, key))]
    return Series(name, style, [p for p, _ in rows], "dots", [ends for _, ends in rows])


def _in_percent(series: Series) -> Series:
    ends = [(100 * e[0], 100 * e[1]) if e else None for e in series.intervals or []]
    return Series(series.name, series.style, [(a, 100 * b) for a, b in series.points], series.kind, ends)


def _spread(choice: Choice) -> tuple[Series, list[str]]:
    """pass@1 (in percent) over entropy, joined in order of training, each point named by its epoch or step."""
    rows = [(p, c) for c in choice.candidates if (p := _point(c, "entropy", "pass@1", 100))]
    names = [f"{num(c, 'epoch'):g}" if num(c, "epoch") is not None else text(c, "step") for _, c in rows]
    return Series("by epoch", "p-sft", [p for p, _ in rows], "dots"), names


def _point(row: JsonRow, x: str, y: str, times: float = 1.0) -> Point | None:
    a, b = num(row, x), num(row, y)
    return None if a is None or b is None else (a, times * b)


def _table(choice: Choice) -> Table:
    labels = ["checkpoint", "", "epoch", "SFT tokens", "entropy", "95 % interval", "pass@1", "95 % interval", "pass@k"]
    labels += ["k", "problems", "tokens per response", "truncated"]
    columns = [Column(label, numeric=k > 1) for k, label in enumerate(labels)]
    note = "Entropy in nats per response token, sampled at temperature 1; pass@1 and pass@k in percent of problems."
    return Table("Candidates", columns, [_row(c, choice) for c in choice.candidates], note)


def _row(row: JsonRow, choice: Choice) -> list[Cell]:
    name = text(row, "name", "?")
    place = "picked" if name == choice.picked else "in band" if name in choice.inside else ""
    place = "not measured" if text(row, "error") else place
    ends, passed_ends = interval(row, "entropy_ci95"), interval(row, "pass@1_ci95")
    entropy, passed, covered = num(row, "entropy"), num(row, "pass@1"), num(row, "pass@k")
    length, cut = num(row, "response_tokens_mean"), num(row, "truncated_fraction")
    return [
        Cell(name, tone="strong" if place == "picked" else ""),
        Cell(place, tone="strong" if place == "picked" else "quiet"),
        Cell(fixed(num(row, "epoch"), 2), num(row, "epoch")),
        Cell(short(num(row, "sft_tokens")), num(row, "sft_tokens")),
        Cell(fixed(entropy, 3), entropy),
        Cell(f"{fixed(ends[0], 3)} – {fixed(ends[1], 3)}" if ends else "–", ends and ends[0]),
        Cell(percent(passed), passed),
        Cell(percent_interval(passed_ends), passed_ends and passed_ends[0]),
        Cell(percent(covered), covered),
        Cell(count(num(row, "k")), num(row, "k")),
        Cell(count(num(row, "n")), num(row, "n")),
        Cell(fixed(length, 1), length),
        Cell(percent(cut), cut),
    ]
