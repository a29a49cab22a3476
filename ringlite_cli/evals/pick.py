"""Choosing the SFT checkpoint that RL starts from: by the entropy of its policy, not by its score alone (§4.3.2).

Paper: among the checkpoints, take one whose entropy lies within 0.3-0.5. Where several do, the paper is silent: the
best pass@1 among them is taken. Where none does: the nearest to the band, with a warning.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any

from ringlite_cli.errors import UserError, WorkFailed
from ringlite_cli.shares import in_percent

Band = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A checkpoint and what was measured of it. Rates are fractions; entropy is in nats per response token.

    path:  of the model folder, relative to the folder of the selection.
    repetition: share of a response's word 4-grams that stand in it already.
    forced_entropy, forced_loss: over the tokens of the problems' own traces instead of sampled ones, both in nats; None
           where the problems have no traces.
    error: why it could not be measured (all measurements are then None), or None.
    """

    name: str
    path: str
    step: int | None = None
    epoch: float | None = None
    sft_tokens: int | None = None
    entropy: float | None = None
    entropy_ci95: tuple[float, float] | None = None
    pass_1: float | None = None
    pass_1_ci95: tuple[float, float] | None = None
    pass_k: float | None = None
    k: int = 0
    n: int = 0
    response_tokens_mean: float | None = None
    truncated_fraction: float | None = None
    tokens: int = 0
    error: str | None = None
    pass_k_ci95: tuple[float, float] | None = None
    response_tokens_ci95: tuple[float, float] | None = None
    repetition: float | None = None
    repetition_ci95: tuple[float, float] | None = None
    forced_entropy: float | None = None
    forced_entropy_ci95: tuple[float, float] | None = None
    forced_loss: float | None = None

    def row(self) -> dict[str, Any]:
        """The candidate as candidates.json has it."""
        return {
            "name": self.name,
            "path": self.path,
            "step": self.step,
            "epoch": self.epoch,
            "sft_tokens": self.sft_tokens,
            "entropy": self.entropy,
            "entropy_ci95": self.entropy_ci95,
            "pass@1": self.pass_1,
            "pass@1_ci95": self.pass_1_ci95,
            "pass@k": self.pass_k,
            "k": self.k,
            "n": self.n,
            "response_tokens_mean": self.response_tokens_mean,
            "truncated_fraction": self.truncated_fraction,
            "tokens": self.tokens,
            "error": self.error,
            "pass@k_ci95": self.pass_k_ci95,
            "response_tokens_ci95": self.response_tokens_ci95,
            "repetition": self.repetition,
            "repetition_ci95": self.repetition_ci95,
            "forced_entropy": self.forced_entropy,
            "forced_entropy_ci95": self.forced_entropy_ci95,
            "forced_loss": self.forced_loss,
        }

    @classmethod
    def of_row(cls, row: Mapping[str, Any]) -> "Candidate":
        """The candidate of a row of candidates.json."""
        values = {key.replace("@", "_"): value for key, value in row.items()}
        return cls(**{name: values[name] for name in cls.__dataclass_fields__ if name in values})


@dataclass(frozen=True, slots=True)
class Decision:
    """The pick and why. `warning` is None where the rule was met as meant."""

    picked: str
    path: str
    rule: str
    entropy_band: Band
    inside_band: list[str]
    reason: str
    warning: str | None = None

    def row(self) -> dict[str, Any]:
        """The decision as decision.json has it."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}

    @classmethod
    def of_row(cls, row: Mapping[str, Any]) -> "Decision":
        """The decision of decision.json."""
        return cls(**{name: row[name] for name in cls.__dataclass_fields__ if name in row})


Key = Callable[[Candidate], float]

RULES: dict[str, tuple[Key, str]] = {
    "band": (lambda c: c.pass_1 or 0.0, "pass@1"),
    "band-then-coverage": (lambda c: c.pass_k or 0.0, "pass@k"),
    "score": (lambda c: c.pass_1 or 0.0, "pass@1"),
}
"""Name -> what is maximised, and its name. `score` ignores the band: it is there for contrast."""


def pick(candidates: Sequence[Candidate], entropy_band: Band, rule: str = "band") -> Decision:
    """The candidate that RL starts from.

    Equal scores go to the candidate with fewer SFT tokens. Raises UserError for a rule or band that is none, and
    WorkFailed where no candidate was measured.
    """
    if rule not in RULES:
        raise UserError(f"there is no rule {rule!r}", where="select.rule", hint=f"the rules are {', '.join(RULES)}")
    low, high = entropy_band
    if not 0 <= low < high:
        raise UserError(
            f"[{low}, {high}] is not a range of entropies",
            where="select.entropy_band",
            hint="give 0 <= low < high, in nats",
        )
    measured = [c for c in candidates if c.error is None and c.entropy is not None and isfinite(c.entropy)]
    if not measured:
        raise WorkFailed(
            "no candidate could be measured" + "".join(f"\n{c.name}: {c.error}" for c in candidates if c.error),
            where="select",
        )
    inside = [c for c in measured if low <= (c.entropy or 0.0) <= high]
    pool = measured if rule == "score" else inside
    if pool:
        chosen = max(pool, key=_order(rule))
        reason = _why_best(chosen, pool, entropy_band, rule)
        warning = _outside(chosen, entropy_band) if chosen not in inside else None
    else:
        chosen = min(measured, key=lambda c: (_distance(c, entropy_band), -(c.pass_1 or 0.0)))
        reason = (
            f"{_label(chosen)}: no candidate's entropy is inside {low:g}-{high:g}; with {chosen.entropy:.3f} nats per "
            f"token it is the nearest, {_distance(chosen, entropy_band):.3f} away; pass@1 {_percent(chosen.pass_1)}."
        )
        warning = _none_inside(measured, entropy_band)
    if chosen.pass_k == 0:
        nothing = "the pick solves none of the problems: RL finds no reward to learn from; train sft longer, or on more"
        warning = "; ".join(filter(None, [warning, nothing]))
    return Decision(chosen.name, chosen.path, rule, (low, high), [c.name for c in inside], reason, warning)


def explain(candidates: Sequence[Candidate], decision: Decision) -> str:
    """Return in words, candidate by candidate, why the picked one was picked."""
    low, _ = decision.entropy_band
    lines = [decision.reason, ""]
    for c in candidates:
        if c.error is not None or c.entropy is None:
            lines.append(f"- {c.name}: left out, it could not be measured ({c.error})")
            continue
        place = "inside" if c.name in decision.inside_band else "below" if c.entropy < low else "above"
        meaning = {
            "inside": "inside the band",
            "below": "below the band: trained so far that little is left to explore",
            "above": "above the band: not settled enough to earn rewards often",
        }[place]
        mark = " <- picked" if c.name == decision.picked else ""
        lines.append(f"- {_label(c)}: entropy {c.entropy:.3f}, {meaning}; {_more(c)}{mark}")
    scored = {c.name: c for c in candidates if c.error is None and c.pass_1 is not None}
    best, picked = max(scored.values(), key=_order("score"), default=None), scored.get(decision.picked)
    if best is not None and picked is not None and (best.pass_1 or 0.0) > (picked.pass_1 or 0.0):
        lines += ["", f"By score alone it would be {_label(best)}, with pass@1 {_percent(best.pass_1)}."]
    return "\n".join(lines)


def _more(c: Candidate) -> str:
    """Return what else was measured of a candidate, in words."""
    words = [f"pass@1 {_percent(c.pass_1)}", f"pass@{c.k} {_percent(c.pass_k)}"]
    if c.forced_entropy is not None:
        words.append(f"entropy on the traces {c.forced_entropy:.3f}")
    if c.repetition is not None:
        words.append(f"{_percent(c.repetition)} of its words repeat themselves")
    return ", ".join(words)


def _order(rule: str) -> Callable[[Candidate], tuple[float, float]]:
    score = RULES[rule][0]
    return lambda c: (score(c), -(c.sft_tokens if c.sft_tokens is not None else c.step or 0))


def _why_best(chosen: Candidate, pool: Sequence[Candidate], band: Band, rule: str) -> str:
    score, name = RULES[rule]
    low, high = band
    value = f"{name.replace('@k', f'@{chosen.k}')} of {_percent(score(chosen))}"
    where = f"of all {len(pool)} candidates" if rule == "score" else f"of the {len(pool)} inside {low:g}-{high:g}"
    others = [c for c in pool if c is not chosen]
    if not others:
        inside = "" if rule == "score" else f" inside {low:g}-{high:g}, with {chosen.entropy:.3f} nats per token"
        return f"{_label(chosen)}: the only candidate{inside}; {value}."
    tied = [c.name for c in others if score(c) == score(chosen)]
    text = f"{_label(chosen)}: entropy {chosen.entropy:.3f} nats per token and the best {value} {where}"
    if tied:
        return f"{text}, shared with {', '.join(tied)}; it has had the fewest SFT tokens of these."
    near = [c.name for c in others if name == "pass@1" and _overlap(c.pass_1_ci95, chosen.pass_1_ci95)]
    return f"{text}; the intervals of {', '.join(near)} overlap with its own." if near else f"{text}."


def _none_inside(measured: Sequence[Candidate], band: Band) -> str:
    low, high = band
    found = sorted(c.entropy for c in measured if c.entropy is not None)
    if found[-1] < low:
        advice = "all are below it: keep earlier checkpoints, train less, or lower the band"
    elif found[0] > high:
        advice = "all are above it: train longer, or raise the band"
    else:
        advice = "they stand on both sides of it: keep checkpoints more often"
    return f"no checkpoint's entropy is inside {low:g}-{high:g} (found {found[0]:.3f} to {found[-1]:.3f}); {advice}"


def _outside(chosen: Candidate, band: Band) -> str:
    return (
        f"the pick's entropy {chosen.entropy:.3f} is outside {band[0]:g}-{band[1]:g}; the rule 'score' ignores the band"
    )


def _distance(candidate: Candidate, band: Band) -> float:
    entropy = candidate.entropy or 0.0
    return max(band[0] - entropy, entropy - band[1], 0.0)


def _overlap(first: tuple[float, float] | None, second: tuple[float, float] | None) -> bool:
    return first is not None and second is not None and first[0] <= second[1] and second[0] <= first[1]


def _label(candidate: Candidate) -> str:
    return candidate.name if candidate.epoch is None else f"{candidate.name} (epoch {candidate.epoch:g})"


def _percent(fraction: float | None) -> str:
    return "unknown" if fraction is None else f"{in_percent(fraction, 1)} %"
