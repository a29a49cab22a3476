"""Pairs made of two policies' responses: drawn by the recipe's engine, ranked by a rule, ties dropped and counted."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from ringlite_cli.chat.judged import asked_of
from ringlite_cli.data.pairs import Pair, Pairs
from ringlite_cli.errors import UserError
from ringlite_cli.problems import NO_VERDICT as UNJUDGED
from ringlite_cli.problems import Problem, Verdict, Verify, route
from ringlite_cli.recipe.reward_model import MadePairs, PairRule
from ringlite_cli.recipe.schema import Rewards
from ringlite_cli.recipe.scoring import ROUTE
from ringlite_cli.samples import REFUSALS, SamplingSettings
from ringlite_cli.stages.base import Context
from ringlite_cli.stages.parts.progress import show_part
from ringlite_cli.stages.parts.samplers import stage_samplers
from ringlite_cli.thoughts import answer_part, with_thought

TIE, NO_VERDICT, NO_RESPONSE = "a tie", "no verdict", "no response"
_TASK = "pairs"
Row = Mapping[str, Any]


def make_pairs(context: Context) -> Pairs:
    """Draw, verify and rank; responses.jsonl keeps every response, so that an interrupted stage asks for none twice.

    Raises UserError where the rule needs the very reward model that is to be trained.
    """
    section: MadePairs = context.section.pairs
    problems = context.problems(section.data)
    if section.rule == "verifier" and context.rewards.reward_model == "":
        refuse_own_scores(problems, context.name)
    drawn = _draw(context, section, problems)
    found = Pairs(rows=sum(len(left) for left, _ in drawn.values()))
    for problem in problems:
        for left, right in zip(*drawn[problem.id], strict=True):
            _add(found, problem, left, right, section.rule, context.recipe.rewards)
    return found


def refuse_own_scores(problems: Sequence[Problem], name: str) -> None:
    """Raise UserError where rows are to be ranked by the verifier `reward-model`, and there is none yet."""
    asked = sum(route(problem) == ROUTE for problem in problems)
    if asked:
        raise UserError(
            f"{asked} of {len(problems)} problems name the verifier {ROUTE!r}, which is what this stage trains",
            where=f"stages.{name}.pairs.rule",
            hint="rank them by first, longer or shorter, or make pairs of a set with another verifier",
        )


def _draw(
    context: Context, section: MadePairs, problems: Sequence[Problem]
) -> dict[str, tuple[Sequence[Row], Sequence[Row]]]:
    """By problem: the responses of the first policy, and as many of the second."""
    from ringlite_cli.evals.evaluate import resume_key
    from ringlite_cli.evals.responses import ResponseLog

    recipe, k = context.recipe, section.num_generations
    first, second = section.policies
    draws = {first: 2 * k} if first == second else {first: k, second: k}
    settings = SamplingSettings(
        section.max_completion_length,
        temperature=section.temperature,
        top_p=section.top_p,
        seed=recipe.seed,
        batch_tokens=section.batch_tokens,
    )
    with (
        context.verifiers() as verifiers,
        ResponseLog(context.folder) as log,
        stage_samplers(context.run, context.name, recipe.engine, recipe.model.dtype) as make_sampler,
        context.console.progress(f"{context.name}: pairs", 1) as bar,
    ):
        verify = verifiers if section.rule == "verifier" else _unscored
        for policy, count in draws.items():
            path = context.policy(policy)
            key = resume_key(path, settings, recipe.prompt_suffix, count) | {"rule": section.rule}
            todo = log.open(policy, _TASK, problems, count, key)
            if todo:
                _ask(log, policy, path, todo, count, settings, make_sampler, verify, recipe.prompt_suffix,
                     partial(show_part, bar, list(draws), policy))  # fmt: skip
        groups = {p: dict(zip((x.id for x in problems), log.groups(p, _TASK, problems), strict=True)) for p in draws}
    if first == second:
        return {x.id: (groups[first][x.id][:k], groups[first][x.id][k:]) for x in problems}
    return {x.id: (groups[first][x.id], groups[second][x.id]) for x in problems}


def _ask(
    log: Any,
    policy: str,
    path: Path,
    todo: Sequence[Problem],
    count: int,
    settings: SamplingSettings,
    make_sampler: Any,
    verify: Verify,
    suffix: Mapping[str, str],
    progress: Any,
) -> None:
    from ringlite_cli.evals.responses import collect

    sampler = make_sampler(path, settings)
    try:
        collect(log, policy, {_TASK: todo}, sampler, verify, k={_TASK: count}, suffix=suffix, progress=progress)
    finally:
        sampler.close()


def _unscored(asked: Sequence[tuple[Problem, str]]) -> list[Verdict]:
    """Verdicts where the rule reads none."""
    return [Verdict("unscored", 0.0) for _ in asked]


def _add(found: Pairs, problem: Problem, left: Row, right: Row, rule: PairRule, rewards: Rewards) -> None:
    if not all((row["tokens"] or row["response"]) and row["verdict"] not in REFUSALS for row in (left, right)):
        found.left_out[NO_RESPONSE] += 1
        return
    if rule == "verifier" and (left["verdict"] in UNJUDGED or right["verdict"] in UNJUDGED):
        found.left_out[NO_VERDICT] += 1
        return
    texts = [read_part(with_thought(row["response"], row["thought_opened"]), rewards) for row in (left, right)]
    pair = Pair(tuple(asked_of(problem)), texts[0], texts[1])
    if fault := pair.fault:
        found.left_out[fault] += 1
    elif not (ahead := _ahead(rule, left, right, texts)):
        found.left_out[TIE] += 1
    else:
        found.add(pair if ahead > 0 else Pair(pair.asked, texts[1], texts[0]))


def _ahead(rule: PairRule, left: Row, right: Row, texts: Sequence[str]) -> float:
    """Above 0 where the first response is the better, below where the second is; 0 for a tie."""
    if rule == "first":
        return 1.0
    if rule == "verifier":
        return float(left["reward"]) - float(right["reward"])
    longer = float(len(texts[0]) - len(texts[1]))
    return longer if rule == "longer" else -longer


def read_part(response: str, rewards: Rewards) -> str:
    """Return the part of a response that the reward model reads when it scores: what stands after its thoughts."""
    return response if rewards.answer_in_thought else answer_part(response, rewards.thought_tags)
