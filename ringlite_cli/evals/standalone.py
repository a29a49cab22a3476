"""`ringlite eval --model PATH --tasks T[,T]`: scores of one model on tasks of the table, without a recipe."""

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ringlite_cli.errors import UserError
from ringlite_cli.evals.evaluate import MakeSampler, Report, evaluate
from ringlite_cli.evals.harness import MakeLM, check_tasks, run_harness
from ringlite_cli.evals.own_files import remember
from ringlite_cli.evals.responses import is_same_model, model_key
from ringlite_cli.evals.tasks import TASKS, is_file_alone, load_task, tasks_of
from ringlite_cli.presence import is_there
from ringlite_cli.problems import DEFAULT_SUFFIX, Problem, Verify
from ringlite_cli.recipe.evaluation import EvalSettings
from ringlite_cli.recipe.graph import HARNESS
from ringlite_cli.runs.files import read_json, write_json
from ringlite_cli.samples import Progress
from ringlite_cli.terminal.run_log import LOG, title_of
from ringlite_cli.terminal.screen import log_to


def evaluate_model(
    model: Path | str,
    tasks: Sequence[str],
    make_sampler: MakeSampler,
    verify: Verify,
    out: Path,
    settings: EvalSettings,
    *,
    data: Mapping[str, str] | None = None,
    columns: str = "",
    domain: str | None = None,
    make_lm: MakeLM | None = None,
    seed: int = 0,
    commit: str | None = None,
    progress: Callable[[str, Progress], None] | None = None,
    report: Report | None = None,
) -> dict[str, dict[str, Any]]:
    """Write out/scores.json = {task: score} and out/responses.jsonl; return the scores.

    A folder belongs to one model: scores of its earlier tasks stay, and another model is refused.

    data: task -> file. columns, domain: how files are read that are tasks by themselves; "" and None: guessed.
    make_lm: loads the model for tasks `lm-eval:...`, which take one response an item. commit: of a hub id, whose other
    commits are other models.
    Raises UserError for an unknown task (with near names), a missing file, or no model folder.
    """
    _check_names(tasks, data or {}, settings)
    theirs = [task for task in tasks if task.startswith(HARNESS)]
    files = {task: path for task, path in (data or {}).items() if task in theirs}
    if theirs:
        check_tasks(theirs, files)
    ours = [task for task in tasks if task not in theirs]
    alone = _files_alone(ours, data or {}, columns, domain)
    problems = {
        task: load_task(task, data, settings.limit, settings.revisions.get(task), columns=columns, domain=domain)
        for task in ours
    }
    earlier = _earlier(model, out, commit)
    both: dict[str, Any] = {"seed": seed, "report": report, "commits": {"model": commit}}
    with log_to(out / LOG, title_of(f"eval of {model}")):
        remember(out, alone, columns, domain)
        scores = evaluate(
            {"model": model},
            problems,
            make_sampler,
            verify,
            out,
            settings,
            k={name: task.k for name, task in tasks_of(problems).items()},
            prompt_suffix=_suffixes(problems),
            progress=progress,
            scores_file=None,
            **both,
        )["model"]
        if theirs and make_lm is not None:
            scores |= run_harness({"model": model}, theirs, make_lm, out, settings, files=files, **both)["model"]
    write_json(out / "scores.json", earlier | scores)
    return scores


def _check_names(tasks: Sequence[str], data: Mapping[str, str], settings: EvalSettings) -> None:
    """Raise UserError where no task is named, or a flag names one that is not among them."""
    if not tasks:
        raise UserError("name at least one task", where="--tasks", hint=f"the tasks are {', '.join(TASKS)}")
    for flag, given in (("--data", data), ("--revision", settings.revisions)):
        if unused := sorted(set(given) - set(tasks)):
            raise UserError(
                f"{unused[0]!r} is not among --tasks", where=flag, hint=f"the tasks given are {', '.join(tasks)}"
            )


def _files_alone(tasks: Sequence[str], data: Mapping[str, str], columns: str, domain: str | None) -> dict[str, str]:
    """The tasks that are files alone. Raises UserError where none is, and yet it is said how one is read."""
    alone = {task: path for task, path in data.items() if task in tasks and is_file_alone(task)}
    if (columns or domain) and not alone:
        raise UserError(
            "they say how a file of your own is read, and no task is one",
            where="--columns" if columns else "--domain",
            hint="give it, as in --tasks mine --data mine=FILE",
        )
    return alone


def _earlier(model: Path | str, out: Path, commit: str | None) -> dict[str, dict[str, Any]]:
    """The scores in a folder that were measured on this same model; raises UserError for a folder of another one."""
    owner, name = out / "model.json", os.path.realpath(model) if Path(model).is_dir() else str(model)
    if is_there(owner) and read_json(owner)["model"] != name:
        raise UserError(
            f"the folder holds the scores of another model, {read_json(owner)['model']}",
            where=str(out),
            hint="give another --out",
        )
    write_json(owner, {"model": name})
    scores, keys = (read_json(out / file) if is_there(out / file) else {} for file in ("scores.json", "resume.json"))
    same = model_key(model, commit)
    return {t: score for t, score in scores.items() if is_same_model(keys.get(f"model/{t}", {}).get("model"), same)}


def _suffixes(problems: Mapping[str, Sequence[Problem]]) -> dict[str, str]:
    """The suffix of each domain: of the tasks that are asked for, elsewhere the paper's."""
    suffixes = dict(DEFAULT_SUFFIX)
    for task in tasks_of(problems).values():
        suffixes[task.domain] = task.suffix
    return suffixes
