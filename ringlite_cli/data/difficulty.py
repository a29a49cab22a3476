"""Pass rates by model (PAPER §2, phases 2 and 3): what every model's k verified responses say of a problem.

Out go problems whose answer nothing agrees with, problems that the first model (the policy, or its distilled start)
always solves, problems that none of the models ever solves, and those whose prompts are too long for all of them.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from ringlite_cli.data.asking import Asking, Response, is_too_long
from ringlite_cli.data.cleansing import is_benchmark
from ringlite_cli.data.funnel import bucket
from ringlite_cli.data.rows import CuratedRow, Drop, Sifted
from ringlite_cli.problems import NO_VERDICT, is_right
from ringlite_cli.recipe.schema import Difficulty
from ringlite_cli.samples import FILTERED, REFUSALS


def by_pass_rate(rows: Sequence[CuratedRow], section: Difficulty, asking: Asking) -> Sifted:
    """Label the train rows of the domains asked for with pass rates, and drop what can't teach.

    The result's notes hold a histogram of pass rates per model, over all problems that were asked.
    """
    asked = [r for r in rows if _is_asked(r, section.domains)]
    rates: list[dict[str, float]] = [{} for _ in asked]
    too_long = {id(row) for row in asked}
    for responder in section.models:
        groups = asking.ask(asked, responder, section.num_generations, "difficulty")
        for row, rate, responses in zip(asked, rates, groups, strict=True):
            if is_too_long(responses):
                continue
            too_long.discard(id(row))
            if (share := _share_right(responses)) is not None:
                rate[responder.name] = share
        _tell_missing(groups, responder.name, asking)
    sifted = Sifted(notes={"pass_rates": _histograms(rates)} if asked else {})
    rate_of = {id(row): rate for row, rate in zip(asked, rates, strict=True)}
    for row in rows:
        of_models = rate_of.get(id(row))
        reason = "prompt_too_long" if id(row) in too_long else _reason(row, of_models, section) if of_models else None
        if reason:
            sifted.drops.append(Drop(row, reason, f"pass rates {of_models}"))
            continue
        if of_models:
            _label(row, of_models, section)
        sifted.kept.append(row)
    return sifted


def _histograms(rates: Sequence[dict[str, float]]) -> dict[str, dict[str, int]]:
    """{model: {tenth of the pass rate: problems}}, the lowest first."""
    counts: dict[str, Counter[float]] = defaultdict(Counter)
    for of_models in rates:
        for name, rate in of_models.items():
            counts[name][rate] += 1
    return {name: _tenths(found) for name, found in counts.items()}


def _tenths(counts: Counter[float]) -> dict[str, int]:
    found: Counter[str] = Counter()
    for rate in sorted(counts):
        found[bucket("pass_rate", rate)] += counts[rate]
    return dict(found)


def _is_asked(row: CuratedRow, domains: Sequence[str] | None) -> bool:
    return row.split == "train" and not is_benchmark(row) and (domains is None or row.problem.domain in domains)


def _share_right(responses: Sequence[Response]) -> float | None:
    """Return the share of right responses among those that came and have a verdict; None where there is none."""
    judged = [response for response in responses if response.verdict not in (*REFUSALS, *NO_VERDICT)]
    return sum(is_right(r.verdict, r.reward) for r in judged) / len(judged) if judged else None


def _tell_missing(groups: Sequence[Sequence[Response]], model: str, asking: Asking) -> None:
    verdicts = Counter(response.verdict for responses in groups for response in responses)
    if filtered := verdicts[FILTERED]:
        what = "were withheld by its server's content filter"
        asking.report(f"difficulty: {filtered:,} responses of {model} {what}: no rate counts them")
    failed = sum(verdicts[name] for name in NO_VERDICT)
    if failed:
        asking.report(f"difficulty: {failed:,} responses of {model} have no verdict (our error): no rate counts them")


def _reason(row: CuratedRow, rates: Mapping[str, float], section: Difficulty) -> str | None:
    if not any(rates.values()):
        if row.verified not in ("trace", "solution"):
            return "no_agreement"
        return "never_solved" if section.drop_never_right else None
    return "always_solved" if section.drop_all_right and rates.get(section.models[0].name) == 1 else None


def _label(row: CuratedRow, rate: dict[str, float], section: Difficulty) -> None:
    """Write a row's rates; `pass_rate` is the first model's, and is left out where that one has none."""
    if row.verified not in ("trace", "solution") and any(rate.values()):
        row.verified = "models"
    first = section.models[0].name
    own = {"pass_rate": rate[first]} if first in rate else {}
    row.change(labels={**row.problem.labels, **own, "pass_rates": rate, "pass_samples": section.num_generations})
