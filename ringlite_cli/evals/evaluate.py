"""Scores of policies on tasks: k responses per problem, each verified and kept; avg@k and pass@k with intervals."""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ringlite_cli.domains import writes_code
from ringlite_cli.errors import UserError, WorkFailed
from ringlite_cli.evals import metrics
from ringlite_cli.evals.overlong import note_on
from ringlite_cli.evals.responses import Group, ResponseLog, collect, model_key, renew_verdicts
from ringlite_cli.problems import DEFAULT_SUFFIX, DOMAINS, NO_VERDICT, VERDICT_REVISION, Problem, Verify, is_right
from ringlite_cli.recipe.evaluation import EvalSettings
from ringlite_cli.recipe.graph import HARNESS
from ringlite_cli.runs.files import write_json
from ringlite_cli.runs.revisions import in_words, revisions_of
from ringlite_cli.samples import FILTERED, REFUSALS, OnProgress, Progress, Sampler, SamplingSettings
from ringlite_cli.shares import in_percent
from ringlite_cli.thoughts import answer_part, with_thought

MakeSampler = Callable[[Path | str, SamplingSettings], Sampler]
"""Loads a policy into an engine: TransformersSampler, for one."""

Report = Callable[[str], None]
Scores = dict[str, dict[str, dict[str, Any]]]

DEFAULT_K = 4
"""Responses per problem where neither the settings nor the task say."""
CUT_IS_MANY = 0.1
"""From this fraction of responses cut by length on, a score carries a note."""


def evaluate(
    policies: Mapping[str, Path | str],
    tasks: Mapping[str, Sequence[Problem]],
    make_sampler: MakeSampler,
    verify: Verify,
    out_dir: Path,
    settings: EvalSettings,
    *,
    k: Mapping[str, int] | None = None,
    seed: int = 0,
    prompt_suffix: Mapping[str, str] | None = None,
    resume: bool = True,
    progress: Callable[[str, Progress], None] | None = None,
    report: Report | None = None,
    scores_file: str | None = "scores.json",
    commits: Mapping[str, str | None] | None = None,
) -> Scores:
    """Write out_dir/responses.jsonl and scores.json; return {policy: {task: score of `score`}}.

    k: task -> responses per problem, where settings.num_generations does not say. commits: of policies on the hub.

    Going on after a stop, only problems without all their responses are sampled. All policies draw with the same random
    numbers per problem and sample, so their differences are paired. A policy that cannot be evaluated does not lose the
    others: it is reported at the end, by WorkFailed (UserError where it is the only one).
    """
    check_tasks_are_sound(tasks)
    suffix = DEFAULT_SUFFIX if prompt_suffix is None else prompt_suffix
    sampling = settings.sampling(seed)
    counts = {task: settings.num_generations or (k or {}).get(task, DEFAULT_K) for task in tasks}
    scores: Scores = {}
    failed: dict[str, UserError] = {}
    with ResponseLog(out_dir, resume=resume) as log:
        for policy, path in policies.items():
            try:
                keys = {
                    task: resume_key(path, sampling, suffix, counts[task], (commits or {}).get(policy))
                    for task in tasks
                }
                _respond(log, policy, path, tasks, keys, sampling, suffix, make_sampler, verify, progress)
            except UserError as error:
                failed[policy] = error
                continue
            scores[policy] = {}
            for task, problems in tasks.items():
                result = score(log.groups(policy, task, problems), seed=seed)
                scores[policy][task] = result | {"data": data_of(problems)}
                if report:
                    report(f"{policy:<12} {task:<12} {describe(scores[policy][task])}")
            if scores_file:
                write_json(out_dir / scores_file, scores)
    raise_failed(failed, len(policies))
    return scores


def score(groups: Sequence[Group], *, seed: int = 0) -> dict[str, Any]:
    """The score of one policy on one task from its responses: one group of k rows per problem, in any order."""
    # An interval follows from the seed and the rows alone
    groups = sorted(groups, key=lambda group: str(group[0].get("id", "")))
    rewards = [[row["reward"] for row in group] for group in groups]
    rows = [row for group in groups for row in group]
    k = min(map(len, rewards), default=0)
    means = [float(np.mean(group)) for group in rewards]
    low, high = metrics.bootstrap(means, seed=seed)
    came = [row for row in rows if row["verdict"] not in REFUSALS]
    counted = [row["tokens"] for row in came if _is_counted(row)]
    cut = sum(row["truncated"] for row in came) / len(came) if came else 0.0
    right = [sum(is_right(row["verdict"], row["reward"]) for row in group) for group in groups]
    solved = [metrics.pass_at_k(len(g), n, k) for g, n in zip(groups, right, strict=True)] if k else []
    result = {
        "avg@k": metrics.avg_at_k(rewards),
        "ci95": [low, high],
        "pass@k": float(np.mean(solved)) if solved else None,
        "pass@k_ci95": list(metrics.bootstrap(solved, seed=seed)),
        "n": len(groups),
        "k": k,
        "response_tokens_mean": sum(counted) / len(counted) if counted else None if came else 0.0,
        "truncated_fraction": cut,
        "tokens": sum(row["tokens"] for row in rows),
        "verdicts": dict(Counter(row["verdict"] for row in rows).most_common()),
        "verdict_revision": max(revisions_of(rows), default=VERDICT_REVISION),
    }
    if rows and not writes_code(rows[0]["domain"]):
        votes = _majority(groups)
        result["maj@k"] = float(np.mean(votes))
        result["maj@k_ci95"] = list(metrics.bootstrap(votes, seed=seed))
    notes = _notes(rows, cut, uncounted=len(came) - len(counted))
    return result | ({"notes": notes} if notes else {})


def _is_counted(row: Mapping[str, Any]) -> bool:
    """Return whether a row's tokens are known: 0 are those of no text, or of a choice by likelihood."""
    return bool(row["tokens"]) or not row["response"] or str(row.get("task", "")).startswith(HARNESS)


def _notes(rows: Sequence[Mapping[str, Any]], cut: float, uncounted: int) -> list[str]:
    """What a reader of a score has to know. cut: the share of responses that the length limit cut."""
    notes = [note_on(rows)]
    if filtered := sum(row["verdict"] == FILTERED for row in rows):
        notes.append(f"responses that the server's content filter withheld count as failures: {filtered:,}")
    if failed := sum(row["verdict"] in NO_VERDICT for row in rows):
        notes.append(f"responses without a verdict (an error of the verifier) count as failures: {failed:,}")
    if uncounted:
        notes.append(f"the server did not count the tokens of {uncounted:,} responses: lengths and tokens lack them")
    if cut >= CUT_IS_MANY:
        notes.append(
            f"{in_percent(cut)}% of the responses were cut at the length limit: "
            "raise max_completion_length to trust the score"
        )
    if len(mixed := revisions_of(rows)) > 1:
        notes.append(
            f"verdicts of revisions {in_words(mixed)} are mixed: `ringlite rescore` verifies all of them again"
        )
    return [note for note in notes if note]


def describe(result: Mapping[str, Any]) -> str:
    """One line of a score, in percent."""
    low, high = (100 * x for x in result["ci95"])
    line = f"avg@{result['k']} {in_percent(result['avg@k'], 1):>5} % [{low:.1f}, {high:.1f}]  n={result['n']}"
    length = result["response_tokens_mean"]
    line += "  tokens not counted" if length is None else f"  {length:.0f} tokens"
    return line + (
        f"  ({in_percent(result['truncated_fraction'])}% cut)" if result["truncated_fraction"] >= CUT_IS_MANY else ""
    )


def data_of(problems: Sequence[Problem]) -> dict[str, Any]:
    """Return what a score was measured on: the file or dataset, its commit where it came from the hub, and a digest.

    The digest is of the problems as they were asked and verified, so it tells whether two scores are on the same ones.
    """
    asked = json.dumps([[p.id, p.prompt, p.answer, p.tests, p.verifier] for p in problems], sort_keys=True)
    revisions = {str(p.labels["revision"]) for p in problems if p.labels.get("revision")}
    return {
        "source": ", ".join(dict.fromkeys(p.source for p in problems if p.source)),
        "revision": ", ".join(sorted(revisions)) or None,
        "digest": hashlib.sha256(asked.encode("utf-8", "surrogatepass")).hexdigest()[:16],
    }


def by_domain(problems: Sequence[Problem]) -> dict[str, list[Problem]]:
    """Problems by domain, so that a mixed set is scored as one task per domain."""
    names = [*DOMAINS, *sorted({problem.domain for problem in problems} - set(DOMAINS))]
    tasks = {domain: [problem for problem in problems if problem.domain == domain] for domain in names}
    return {domain: members for domain, members in tasks.items() if members}


def _respond(
    log: ResponseLog,
    policy: str,
    path: Path | str,
    tasks: Mapping[str, Sequence[Problem]],
    keys: Mapping[str, Mapping[str, Any]],
    settings: SamplingSettings,
    suffix: Mapping[str, str],
    make_sampler: MakeSampler,
    verify: Verify,
    progress: Callable[[str, Progress], None] | None,
) -> None:
    """Gets the responses of a policy that are not logged yet; loads the policy only if there are any."""
    counts = {task: key["k"] for task, key in keys.items()}
    todo = {task: log.open(policy, task, problems, counts[task], keys[task]) for task, problems in tasks.items()}
    renew_verdicts(log, policy, tasks, verify)
    if not any(todo.values()):
        return
    sampler = make_sampler(path, settings)
    told: OnProgress | None = (lambda state: progress(policy, state)) if progress else None
    try:
        collect(log, policy, todo, sampler, verify, k=counts, suffix=suffix, progress=told)
    finally:
        sampler.close()


def resume_key(
    path: Path | str, settings: SamplingSettings, suffix: Mapping[str, str], k: int, commit: str | None = None
) -> dict[str, Any]:
    """Return what a response depends on, besides its problem. commit: of a hub id."""
    return {
        "model": model_key(path, commit),
        "k": k,
        "max_completion_length": settings.max_completion_length,
        "temperature": settings.temperature,
        "top_p": settings.top_p,
        "seed": settings.seed,
        "suffix": dict(suffix),
    }


def _majority(groups: Sequence[Group]) -> list[float]:
    return [metrics.maj_at_k([_answer(row) for row in group], [row["reward"] for row in group]) for group in groups]


def _answer(row: Mapping[str, Any]) -> str | None:
    """Return what a response votes for: its final answer, which stands after its thoughts."""
    return metrics.final_answer(answer_part(with_thought(row["response"], row.get("thought_opened") or "")))


def check_tasks_are_sound(tasks: Mapping[str, Sequence[Problem]]) -> None:
    """Raise UserError for a task without problems, or with two of one id: responses go by it."""
    for task, problems in tasks.items():
        if not problems:
            raise UserError("the task has no problems", where=f"task {task}", hint="look at its source and filters")
        twice = [name for name, count in Counter(p.id for p in problems).items() if count > 1]
        if twice:
            raise UserError(
                f"{len(twice)} problem ids occur more than once, such as {twice[0]!r}", where=f"task {task}"
            )


def raise_failed(failed: Mapping[str, UserError], total: int) -> None:
    """UserError of the only policy, or WorkFailed that names those of several which could not be evaluated."""
    if not failed:
        return
    if total == 1:
        raise next(iter(failed.values()))
    faults = "\n".join(f"{policy}: {error}" for policy, error in failed.items())
    raise WorkFailed(
        f"{len(failed)} of {total} policies could not be evaluated; the others' scores are written\n{faults}"
    )
