"""How a response's reward is composed in RL: weights of several verifiers, and penalties for length and repetition."""

from typing import Annotated

from pydantic import AfterValidator, Field, model_validator

from ringlite_cli.recipe.curation import Verifier
from ringlite_cli.recipe.key_classes import tunable
from ringlite_cli.recipe.section import Domain, Positive, Section

COMPOSED = ("weights", "length_penalty", "repetition_penalty")
"""Keys of `rewards` that RL alone reads."""
COMPOSING = ("rl", "select")
"""Kinds of stages that train by rewards, select by its probes; results of other kinds do not depend on those keys."""
OPEN_ENDED = ("judge", "reward-model")
"""Verifiers whose rewards are an opinion, which a policy may learn to please; the others verify."""


def _pays(weights: dict[str, float]) -> dict[str, float]:
    if weights and not any(weights.values()):
        raise ValueError("no verifier has a weight above 0, so nothing would be rewarded; give one, or leave it out")
    return weights


Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Weights = Annotated[dict[Verifier, Weight], AfterValidator(_pays)]
"""Verifier -> what its reward is multiplied by."""
Most = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Penalty(Section):
    """What a response loses of the rewards of some verifiers, before they are weighted."""

    most: Most = tunable(0.5, description="reward that a response loses at most")
    verifiers: list[Verifier] = tunable(
        list(OPEN_ENDED), min_length=1, description="verifiers whose rewards it is taken off"
    )
    domains: list[Domain] | None = tunable(None, min_length=1, description="domains it is for; default: all")


class LengthPenalty(Penalty):
    """What answers lose that are longer than a target."""

    words: Positive = tunable(description="words of an answer, its thoughts left out, up to which nothing is lost")
    span: Positive = tunable(description="words beyond them over which the loss grows from 0 to `most`")
    reference: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = tunable(
        None, description="so many times the words of a row's reference answer count in place of `words`; default: none"
    )


class RepetitionPenalty(Penalty):
    """What answers lose that repeat their own words."""

    ngram: Positive = tunable(4, description="words of an n-gram")
    window: Positive | None = tunable(
        None, description="words back in which an n-gram must stand already to be repeated; default: the whole answer"
    )
    free: float = tunable(0.1, ge=0, lt=1, description="share of repeated n-grams up to which nothing is lost")
    full: float = tunable(0.5, gt=0, le=1, description="share of repeated n-grams from which on `most` is lost")

    @model_validator(mode="after")
    def _ordered(self) -> "RepetitionPenalty":
        if self.free >= self.full:
            raise ValueError(f"free ({self.free:g}) must be below full ({self.full:g})")
        return self


class Composition(Section):
    """The part of `rewards` that composes what verifiers gave."""

    weights: dict[Domain, Weights] = tunable(
        {},
        description="domain -> verifier -> what its reward is multiplied by before they are summed; default: a row's "
        "own verifier alone",
    )
    length_penalty: LengthPenalty | None = tunable(None, description="what long open-ended answers lose; default: none")
    repetition_penalty: RepetitionPenalty | None = tunable(
        None, description="what open-ended answers lose that repeat themselves; default: none"
    )
