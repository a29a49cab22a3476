"""Pass rates by model (PAPER §2, phases 2 and 3): what every model's k verified responses say of a problem.

Out go problems whose answer nothing agrees with, problems that the first model (the policy, or its distilled start)
always solves, and problems that none of the models ever solves.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence

from ringlite_cli.data.asking import Asking
from ringlite_cli.data.cleansing import is_benchmark
from ringlite_cli.data.funnel import bucket
from ringlite_cli.data.rows import Drop, Row, Sifted
from ringlite_cli.recipe.schema import Difficulty


def by_pass_rate(rows: Sequence[Row], section: Difficulty, asking: Asking) -> Sifted:
    """Labels the train rows of the domains asked for with pass rates, and drops what can't teach.

    The result's notes hold a histogram of pass rates per model, over all problems that were asked.
    """
    asked = [r for r in rows if _is_asked(r, section.domains)]
    rates: list[dict[str, float]] = [{} for _ in asked]
    for responder in section.models:
        answers = asking.ask(asked, responder, section.samples, "difficulty")
        for rate, responses in zip(rates, answers, strict=True):
            rate[responder.name] = sum(r.reward for r in responses) / max(len(responses), 1)
    sifted = Sifted(notes={"pass_rates": _histograms(rates)} if asked else {})
    rate_of = {id(row): rate for row, rate in zip(asked, rates, strict=True)}
    for row in rows:
        of_models = rate_of.get(id(row), {})
        if of_models and (reason := _reason(row, list(of_models.values()), section)):
            sifted.drops.append(Drop(row, reason, f"pass rates {of_models}"))
            continue
        if of_models:
            _label(row, of_models, section.samples)
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


def _is_asked(row: Row, domains: Sequence[str] | None) -> bool:
    return row.split == "train" and not is_benchmark(row) and (domains is None or row.problem.domain in domains)


def _reason(row: Row, rates: Sequence[float], section: Difficulty) -> str | None:
    if not any(rates):
        if row.verified not in ("trace", "solution"):
            return "no_agreement"
        return "never_solved" if section.drop_never_right else None
    return "always_solved" if section.drop_all_right and rates[0] == 1 else None


def _label(row: Row, rate: dict[str, float], samples: int) -> None:
    if row.verified not in ("trace", "solution") and any(rate.values()):
        row.verified = "models"
    first = next(iter(rate.values()))
    row.change(labels={**row.problem.labels, "pass_rate": first, "pass_rates": rate, "pass_samples": samples})
