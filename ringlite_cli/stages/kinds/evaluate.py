"""eval: every policy on held-out problems, avg@k with 95 % intervals, all responses kept."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from ringlite_cli.console import Console
from ringlite_cli.errors import near
from ringlite_cli.own_code import declare, is_own
from ringlite_cli.problems import Problem
from ringlite_cli.recipe.engine import Engine
from ringlite_cli.recipe.evaluation import EvalSettings
from ringlite_cli.recipe.graph import HARNESS, is_set
from ringlite_cli.recipe.schema import EvalStage, Recipe, Rewards
from ringlite_cli.runs.files import write_json
from ringlite_cli.samples import SEED, Progress
from ringlite_cli.sampling.keeping import engine_of_run
from ringlite_cli.stages.base import Check, Context, StageKind, StageResult, open_verifiers
from ringlite_cli.stages.parts.contamination import find_contaminated, training_sets, write_flags
from ringlite_cli.stages.parts.judging import with_judge
from ringlite_cli.stages.parts.progress import show_part
from ringlite_cli.stages.parts.samplers import lms, open_samplers, stage_samplers

FILES = {"scores": "scores.json", "responses": "responses.jsonl", "contamination": "contamination.json"}


def run(context: Context) -> StageResult:
    from ringlite_cli.evals import account
    from ringlite_cli.evals.evaluate import evaluate
    from ringlite_cli.evals.harness import check_tasks, run_harness

    section: EvalStage = context.section
    recipe, console = context.recipe, context.console
    with (
        context.verifiers() as verify,
        stage_samplers(
            context.run, context.name, recipe.engine, recipe.model.dtype, keep=True, alone=True
        ) as make_sampler,
        console.progress(context.name, 1) as bar,
    ):
        theirs = [task for task in section.tasks if task.startswith(HARNESS)]
        if theirs:
            check_tasks(theirs)
        tasks = load_tasks(context, section)
        policies = {name: context.policy(name) for name in section.policies}
        scores = evaluate(
            policies,
            tasks,
            make_sampler,
            verify,
            context.folder,
            section,
            seed=recipe.seed,
            prompt_suffix=recipe.prompt_suffix,
            progress=partial(show_part, bar, [] if theirs else list(policies)),
            report=lambda line: console.say(f"  {line}"),
        )
    if theirs:
        of_harness = run_harness(
            policies, theirs, lms(recipe.engine, recipe.model.dtype, recipe.seed), context.folder,
            section, seed=recipe.seed,
            report=lambda line: console.say(f"  {line}"),
        )  # fmt: skip
        scores = {policy: scores[policy] | of_harness[policy] for policy in policies}
    flags = find_contaminated(tasks, training_sets(context))
    warning = write_flags(context.folder, flags, scores)
    write_json(context.run.parent / account.FILE, account.token_efficiency(context.run.parent))
    generated = sum(score["tokens"] for tasks in scores.values() for score in tasks.values())
    return with_judge(
        context,
        StageResult(
            outputs={name: context.folder / file for name, file in FILES.items()},
            tokens={"generated": generated},
            metrics=scores,
            summary=f"{len(scores)} policies scored on {len(next(iter(scores.values())))} tasks",
            warning=warning,
        ),
    )


def load_tasks(context: Context, section: EvalStage) -> dict[str, list[Problem]]:
    """Task name -> problems: a benchmark of the table, or a curated set, which is scored by domain."""
    from ringlite_cli.evals.evaluate import by_domain
    from ringlite_cli.evals.tasks import load_task

    tasks: dict[str, list[Problem]] = {}
    for task in section.tasks:
        if task.startswith(HARNESS):
            continue
        if is_set(task):
            tasks |= by_domain(context.problems(task))
        else:
            tasks[task] = load_task(task, revision=section.revisions.get(task))
    return {name: problems[: section.limit] for name, problems in tasks.items()}


def evaluate_model(
    model: str,
    tasks: Sequence[str],
    data: dict[str, Path],
    out: Path,
    console: Console,
    settings: EvalSettings,
    *,
    engine: Engine = Engine(),  # noqa: B008 (frozen)
    seed: int = SEED,
    all_ranks: bool = False,
    columns: str = "",
    domain: str | None = None,
) -> None:
    """`ringlite eval --model`: scores of one model on tasks of the table, without a recipe.

    all_ranks: the other ranks of the launch help to draw responses.
    """
    from ringlite_cli.evals import standalone
    from ringlite_cli.sampling.load import check_if_local, hub_commit

    if not engine.url:  # a server knows its models by names
        check_if_local(model)
    commit = None if engine.url else hub_commit(model)
    if own := [task for task in tasks if is_own(task)]:
        declare(own, Path.cwd())

    with (
        engine_of_run(),
        open_verifiers(Rewards()) as verify,
        stage_samplers(out, ".", engine, "auto") if all_ranks else open_samplers(engine, "auto") as make_sampler,
        console.progress("eval", 1) as bar,
    ):
        standalone.evaluate_model(
            model,
            tasks,
            make_sampler,
            verify,
            out,
            settings,
            data={name: str(path) for name, path in data.items()},
            columns=columns,
            domain=domain,
            make_lm=lms(engine, "auto", seed),
            seed=seed,
            commit=commit,
            progress=lambda _, state: _show(bar.update, state),
            report=console.say,
        )
    console.say(f"scores: {out / 'scores.json'}")


def _show(update: Callable[..., None], state: Progress) -> None:
    update(state.done, state.total, str(state))


def faults(recipe: Recipe, name: str) -> list[str]:
    """Tasks that are neither a curated set nor in the table."""
    from ringlite_cli.evals.tasks import TASKS

    section = recipe.stages[name]
    assert isinstance(section, EvalStage)
    found = []
    for task in section.tasks:
        if not is_set(task) and task not in TASKS and not task.startswith(HARNESS) and not is_own(task):
            hint = near(task, TASKS, f"tasks are {', '.join(TASKS)}, or a set such as curate.eval")
            found.append(f"tasks: no task {task!r}; {hint}")
    for task in section.revisions:
        if (task not in TASKS and not is_own(task)) or task not in section.tasks:
            found.append(f"revisions: {task!r} is no benchmark among this stage's tasks")
    return found


def _preflight() -> tuple[Check, ...]:
    from ringlite_cli.stages.preflight.data import tasks_have_data
    from ringlite_cli.stages.preflight.engine import engine_is_there

    return (engine_is_there, tasks_have_data)


STAGE = StageKind(
    kind="eval",
    summary="score the policies on held-out problems",
    section=EvalStage,
    artifacts={
        "scores": "avg@k and intervals by policy and task",
        "responses": "every response with its verdict",
        "contamination": "problems that stand in the run's training sets",
    },
    code=(
        "problems.py",
        "prompt_code.py",
        "chat",
        "samples.py",
        "evals",
        "sampling",
        "rewards",
        "sandbox",
        "stages/kinds/evaluate.py",
    ),
    uses=("model", "prompt_suffix", "rewards"),
    run=run,
    faults=faults,
    preflight=_preflight,
    draws=lambda section: True,
)
