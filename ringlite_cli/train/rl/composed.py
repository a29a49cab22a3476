"""How a response's reward is composed: which verifiers score a problem, by what weights, and what penalties take off.

As TRL's `reward_weights` do, weights multiply and the products are summed; nothing is divided by the weights' sum, and
a verifier that no weight names has weight 1. Other than in TRL, a verifier that failed is not left out of the sum,
where it would count as 0 and shift the response within its group: the response gets no reward.
"""

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from ringlite_cli.errors import UserError
from ringlite_cli.problems import NO_VERDICT, Problem, Verdict, can_score, has_plain_answer, route
from ringlite_cli.recipe.composition import Composition
from ringlite_cli.repetition import words_of
from ringlite_cli.runs.catalogue.columns import PENALTY
from ringlite_cli.runs.ranks import is_follower
from ringlite_cli.thoughts import TAGS, Tags, answer_part
from ringlite_cli.train.rl.penalties import length_loss, repetition_loss

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Part:
    """A verifier's part in the reward of a problem's responses. problem: as that verifier is to be asked."""

    verifier: str
    weight: float
    problem: Problem


@dataclass(frozen=True, slots=True)
class Composed:
    """A response's verdict and reward, None for no reward. parts: verifier or penalty -> its own number, unweighted;
    empty where a verdict alone is the reward.
    """

    verdict: Verdict
    reward: float | None
    parts: Mapping[str, float | None]


class Composer:
    """Composes rewards as the recipe says; without such a word a verifier's own number is the reward, untouched."""

    def __init__(self, composition: Composition | None = None, thought_tags: Tags = TAGS) -> None:
        self._rules, self._tags = composition or Composition(), thought_tags

    @property
    def weights(self) -> Mapping[str, Mapping[str, float]]:
        """Return domain -> verifier -> weight."""
        return self._rules.weights

    @property
    def composes(self) -> bool:
        """Return whether the reward of any problem may be more than its own verifier's."""
        return bool(self._rules.weights or self._rules.length_penalty or self._rules.repetition_penalty)

    def parts(self, problem: Problem) -> tuple[Part, ...]:
        """Return what scores a problem's responses, its own verifier first."""
        own, weights = route(problem), self._rules.weights.get(problem.domain, {})
        others = [name for name in weights if name != own and can_score(name, problem)]
        answer = problem.answer if has_plain_answer(problem) else None  # a judge would take it for a reference
        named = (Part(name, weights[name], replace(problem, verifier=name, answer=answer)) for name in others)
        return (Part(own, weights.get(own, 1.0), problem), *named)

    def asked(self, problems: Sequence[Problem]) -> list[Problem]:
        """Return the problems as their verifiers are asked: each once for every verifier that scores it."""
        return [part.problem for problem in problems for part in self.parts(problem)]

    def composed(self, problem: Problem) -> bool:
        """Return whether the reward of a problem is more than its own verifier's."""
        return bool(self._rules.weights.get(problem.domain)) or any(
            self._penalised(name, problem, [route(problem)]) for name in ("length_penalty", "repetition_penalty")
        )

    def compose(self, problem: Problem, parts: Sequence[Part], verdicts: Sequence[Verdict], response: str) -> Composed:
        """Return the reward that the parts' verdicts come to. response: as the verifiers got it."""
        own = verdicts[0]
        if not self.composed(problem):
            return Composed(own, own.reward if counts(own) else None, {})
        told: dict[str, float | None] = {
            part.verifier: verdict.reward if counts(verdict) else None
            for part, verdict in zip(parts, verdicts, strict=True)
        }
        lost = self._lost(problem, parts, response)
        failed = [i for i, part in enumerate(parts) if part.weight and not counts(verdicts[i])]
        if failed:
            why = verdicts[failed[0]]
            name, detail = parts[failed[0]].verifier, f"{why.detail or f'gave {why.reward}'}"
            verdict = replace(own, verdict="error", reward=0.0, detail=f"{name}: {detail}")
            return Composed(verdict, None, told | lost)
        paid = math.fsum(p.weight * v.reward for p, v in zip(parts, verdicts, strict=True) if p.weight)
        reward = math.fsum([paid, *lost.values()])
        return Composed(replace(own, reward=reward), reward, told | lost)

    def _lost(self, problem: Problem, parts: Sequence[Part], response: str) -> dict[str, float]:
        """Return what each penalty takes off the reward, 0 or below: by the weights of the verifiers it is for."""
        rules, found = self._rules, dict[str, float]()
        words: list[str] | None = None
        for name in ("length_penalty", "repetition_penalty"):
            names = self._penalised(name, problem, [part.verifier for part in parts])
            if not names:
                continue
            words = words_of(answer_part(response, self._tags)) if words is None else words
            weight = sum(part.weight for part in parts if part.verifier in names)
            if name == "length_penalty" and rules.length_penalty:
                reference = problem.answer if has_plain_answer(problem) else None
                found[PENALTY + "length"] = -weight * length_loss(words, reference, rules.length_penalty)
            elif rules.repetition_penalty:
                found[PENALTY + "repetition"] = -weight * repetition_loss(words, rules.repetition_penalty)
        return {key: value + 0.0 for key, value in found.items()}  # no -0.0 in files

    def _penalised(self, name: str, problem: Problem, verifiers: Sequence[str]) -> list[str]:
        """Return those of a problem's verifiers whose rewards a penalty is taken off."""
        rule = getattr(self._rules, name)
        if rule is None or (rule.domains is not None and problem.domain not in rule.domains):
            return []
        return [verifier for verifier in verifiers if verifier in rule.verifiers]


def counts(verdict: Verdict) -> bool:
    """Return whether a verdict speaks of the response, and its reward is a number."""
    return verdict.verdict not in NO_VERDICT and math.isfinite(verdict.reward)


def composer_for(composition: Composition | None, problems: Sequence[Problem]) -> Composer:
    """Return what composes the rewards of these problems, and warn of rows that a weighted verifier can't score.

    Raises UserError where no response to a problem could earn anything.
    """
    composer = Composer(composition)
    check_paid(composer, problems)
    for said in left_out(composer, problems) if not is_follower() else ():
        log.warning("%s: they lack what it reads, an answer or tests", said)
    return composer


def left_out(composer: Composer, problems: Sequence[Problem]) -> list[str]:
    """Return a sentence for each weighted verifier that lacks what it reads in some of its domain's problems."""
    said = []
    for domain, weights in composer.weights.items():
        rows = [problem for problem in problems if problem.domain == domain]
        for name in weights:
            without = sum(route(problem) != name and not can_score(name, problem) for problem in rows)
            if without:
                said.append(f"{name} is left out of the reward of {without:,} of {len(rows):,} rows of {domain}")
    return said


def check_paid(composer: Composer, problems: Sequence[Problem]) -> None:
    """Raise UserError where a problem has no verifier with a weight above 0: none of its responses could earn."""
    unpaid = [problem for problem in problems if not any(part.weight for part in composer.parts(problem))]
    if unpaid:
        raise UserError(
            f"{len(unpaid)} problems, as {unpaid[0].id!r}, have no verifier of a weight above 0",
            where=f"rewards.weights.{unpaid[0].domain}",
            hint=f"give {route(unpaid[0])}, their own verifier, a weight, or leave them out of the set",
        )
