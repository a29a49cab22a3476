"""The keys of the remedies against mismatch: the trainer finds a token more or less likely than its engine did."""

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, model_validator

from ringlite_cli.errors import near
from ringlite_cli.own_code import OwnCode, is_own
from ringlite_cli.recipe.key_classes import objective
from ringlite_cli.recipe.section import Section

BANDS = {"icepop": (0.5, 5.0), "geometric": (0.99, 1.01)}
"""Rule -> its low and high where none are given."""
_USED: dict[str, tuple[str, ...]] = {
    "none": (),
    "truncate": ("cap",),
    "kpop": ("masked_share", "divergence"),
} | dict.fromkeys(BANDS, ("low", "high"))
"""Shipped rule -> the keys that it uses; a rule that is not named here may use all."""
FOLDER = Path(__file__).parents[1] / "c3po" / "mismatches"


@cache
def mismatch_rules() -> tuple[str, ...]:
    """Return the names of the shipped rules, none first: those of their files."""
    names = {file.stem for file in FOLDER.glob("[a-z]*.py")}
    return ("none", *sorted(names - {"none"}))


def _known(name: str) -> str:
    if is_own(name) or name in mismatch_rules():
        return name
    known, hint = ", ".join(map(repr, mismatch_rules())), near(name, mismatch_rules())
    raise ValueError(f"input should be {known} or module:object, not {name!r}" + (f"; {hint}" if hint else ""))


RuleName = Annotated[str, AfterValidator(_known), OwnCode("a mismatch Rule")]
"""A shipped rule's name, or `module:object`."""


class Mismatch(Section):
    """What is done about tokens that trainer and engine find differently likely, k = pi_old / pi_engine of a token."""

    rule: RuleName | None = objective(
        None,
        description=f"{', '.join(mismatch_rules())}, or module:object; default: icepop where rollouts are "
        "carried over or drawn ahead, else none",
    )
    cap: float = objective(2.0, gt=0, description="truncate: the largest weight of a token")
    low: float | None = objective(
        None, ge=0, description="icepop, geometric: the smallest k that is kept; default: 0.5, 0.99"
    )
    high: float | None = objective(
        None, gt=0, description="icepop, geometric: the largest k that is kept; default: 5.0, 1.01"
    )
    masked_share: float = objective(
        0.28, gt=0, lt=1, description="kpop: share of tokens to be masked; its bound follows from the step before"
    )
    divergence: float | None = objective(
        None, gt=0, description="kpop: a bound in nats that stays as it is; default: by masked_share"
    )

    @model_validator(mode="after")
    def _is_a_band(self) -> "Mismatch":
        if self.low is not None and self.high is not None and self.low >= self.high:
            raise ValueError(f"low, {self.low:g}, must be below high, {self.high:g}")
        return self

    def faults(self, rule: str) -> Iterator[str]:
        """Yield what of the keys does not go with the rule that is taken, each as `key: what; what next`."""
        keys = ("cap", "low", "high", "masked_share", "divergence")
        given = [name for name in keys if getattr(self, name) != type(self).model_fields[name].default]
        for name in given:
            if name not in _USED.get(rule, keys):
                yield f"mismatch.{name}: {rule} does not use it; leave it out, or set mismatch.rule to one that does"
        if rule == "kpop" and {"masked_share", "divergence"} <= set(given):
            yield "mismatch.masked_share: divergence is a bound that stays as it is; leave one of the two out"
        if rule in BANDS:
            low, high = BANDS[rule]
            if self.high is None and self.low is not None and self.low >= high:
                yield f"mismatch.low: {self.low:g} is not below high, which is {high:g} for {rule}; set both"
            if self.low is None and self.high is not None and self.high <= low:
                yield f"mismatch.high: {self.high:g} is not above low, which is {low:g} for {rule}; set both"
