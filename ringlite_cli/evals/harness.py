"""Tasks of lm-evaluation-harness (extra `harness`), named `lm-eval:TASK`: MMLU-Pro, BBH, DROP, MuSR and the rest.

The harness asks, samples and scores by its own definition of a task (shots, prompt, stop strings, greedy or not), so
that its scores are what others report with it. ringlite gives it the policy with its chat template, keeps every item
and its response, and puts its own intervals on the scores. A stopped task goes on item by item, by the harness's cache.
"""

import hashlib
import json
import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ringlite_cli.errors import UserError, near
from ringlite_cli.evals.evaluate import Report, Scores, describe, raise_failed, score
from ringlite_cli.evals.responses import ResponseLog, ResponseRow, is_same_key, model_key
from ringlite_cli.presence import is_there
from ringlite_cli.problems import Problem
from ringlite_cli.recipe.evaluation import EvalSettings
from ringlite_cli.recipe.graph import HARNESS
from ringlite_cli.recipe.renamed import with_new_names
from ringlite_cli.runs.files import read_json, write_json

MakeLM = Callable[[Path | str], Any]
"""Loads a policy as the harness takes it."""

DOMAIN = "general"
NOTE = "asked and scored by lm-evaluation-harness: its shots, prompts and stop strings, one response an item"


def check_tasks(names: Sequence[str], files: Mapping[str, str | Path] | None = None) -> None:
    """Raise UserError where the harness is missing or does not know a task. files: task -> its YAML, elsewhere."""
    if find_spec("lm_eval") is None:
        raise UserError(
            f"{names[0]!r} needs lm-evaluation-harness, which is not installed",
            where="tasks",
            hint="pip install 'ringlite[harness]'",
        )
    for name, file in (files or {}).items():
        if not Path(file).is_file() or Path(file).suffix not in (".yaml", ".yml"):
            raise UserError("no such YAML file", where=str(file), hint=f"give the file that defines the task {name}")
    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    known = _manager(files).all_tasks
    for name in names:
        bare = name.removeprefix(HARNESS)
        if bare not in known:
            hint = near(bare, known, "`lm-eval ls tasks` lists them", most=3, prefix=HARNESS)
            raise UserError(f"lm-evaluation-harness has no task {bare!r}", where="tasks", hint=hint)


def run_harness(
    policies: Mapping[str, Path | str],
    names: Sequence[str],
    make_lm: MakeLM,
    out_dir: Path,
    settings: EvalSettings,
    *,
    seed: int = 0,
    files: Mapping[str, str | Path] | None = None,
    report: Report | None = None,
    commits: Mapping[str, str | None] | None = None,
) -> Scores:
    """{policy: {task: score}} as `evaluate` gives them, with `metric`, `harness` (all that it measured) and a note.

    Appends the items to out_dir/responses.jsonl. settings.limit: items of each of a task's parts. A task that was
    finished under the same conditions is not run again. Raises UserError for a task whose data cannot be had or that
    has no metric of an item between 0 and 1.
    """
    check_tasks(names, files)
    scores: Scores = {}
    failed: dict[str, UserError] = {}
    with ResponseLog(out_dir) as log:
        for policy, path in policies.items():
            asked = {"max_completion_length": settings.max_completion_length, "limit": settings.limit, "seed": seed}
            key = {"model": model_key(path, (commits or {}).get(policy)), **asked}
            try:
                scores[policy] = _run_policy(log, policy, path, names, make_lm, out_dir, key, files, report)
            except UserError as error:
                failed[policy] = error
    raise_failed(failed, len(policies))
    return scores


def _run_policy(
    log: ResponseLog,
    policy: str,
    path: Path | str,
    names: Sequence[str],
    make_lm: MakeLM,
    out_dir: Path,
    key: Mapping[str, Any],
    files: Mapping[str, str | Path] | None,
    report: Report | None,
) -> dict[str, dict[str, Any]]:
    scores, lm = {}, None
    for name in names:
        kept = out_dir / "harness" / policy / f"{name.removeprefix(HARNESS)}.json"
        same = json.loads(json.dumps({**key, "task": _digest_of(files, name)}))
        if is_there(kept) and is_same_key(with_new_names(read_json(kept)["key"]), same):
            scores[name] = read_json(kept)["score"]
        else:
            lm = lm or make_lm(path)
            found = _simple_evaluate(lm, name, key, kept.parent, files)
            groups = _groups(found, policy, name, lm)
            _log(log, policy, name, groups, same)
            scores[name] = _score(groups, found, name, key["seed"])
            write_json(kept, {"key": same, "score": scores[name]})
        if report:
            report(f"{policy:<12} {name:<12} {describe(scores[name])}")
    return scores


def _simple_evaluate(
    lm: Any, name: str, key: Mapping[str, Any], folder: Path, files: Mapping[str, str | Path] | None
) -> dict[str, Any]:
    import lm_eval

    folder.mkdir(parents=True, exist_ok=True)
    most = min(key["max_completion_length"], max(1, lm.max_length // 2))
    cache = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:16]
    try:
        found = lm_eval.simple_evaluate(
            model=lm,
            tasks=[name.removeprefix(HARNESS)],
            limit=key["limit"],
            use_cache=str(folder / f"cache-{cache}"),
            bootstrap_iters=0,
            log_samples=True,
            apply_chat_template=True,
            gen_kwargs={"max_gen_toks": most},
            task_manager=_manager(files),
            random_seed=key["seed"],
            numpy_random_seed=key["seed"],
            torch_random_seed=key["seed"],
            fewshot_random_seed=key["seed"],
        )
    except (OSError, ValueError, KeyError, ImportError, RuntimeError) as error:
        if "unsafe" in str(error):
            hint = "it would run programs outside ringlite's sandbox; ringlite has humaneval, mbpp and other code tasks"
        elif "out of memory" in str(error):
            raise
        else:
            hint = "without the hub, give the YAML of a task with local data_files: --data TASK=FILE.yaml"
        first = (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
        raise UserError(f"lm-evaluation-harness could not run it ({first})", where=name, hint=hint) from None
    return dict(found)


def _manager(files: Mapping[str, str | Path] | None) -> Any:
    """The harness's index of tasks, with the folders of given files; made once, for it takes seconds."""
    from lm_eval.tasks import TaskManager

    folders = tuple(sorted({os.path.abspath(Path(file).parent) for file in (files or {}).values()}))
    if folders not in _MANAGERS:
        _MANAGERS[folders] = TaskManager(include_path=list(folders) or None)
    return _MANAGERS[folders]


_MANAGERS: dict[tuple[str, ...], Any] = {}


def _digest_of(files: Mapping[str, str | Path] | None, name: str) -> str:
    """The version of the harness, and what a task's own file holds."""
    from importlib.metadata import version

    own = Path(files[name]).read_bytes() if files and name in files else b""
    return f"lm_eval {version('lm_eval')} {hashlib.sha256(own).hexdigest()[:12] if own else ''}".strip()


def _groups(found: Mapping[str, Any], policy: str, name: str, lm: Any) -> list[list[ResponseRow]]:
    """One row per item, over all parts of the task; the first filter and the first metric of each part count."""
    groups = []
    for part, samples in sorted(found["samples"].items()):
        seen: set[int] = set()
        for sample in samples:
            if sample["doc_id"] in seen:
                continue  # the same item through another filter
            seen.add(sample["doc_id"])
            metric = _metric(sample)
            if metric is None:
                raise UserError(
                    f"{part} has no metric of an item between 0 and 1 (it has {', '.join(sample['metrics'])})",
                    where=name,
                    hint="only tasks that are scored item by item can be averaged and compared",
                )
            value = float(sample[metric])
            response, tokens = _response(sample, lm)
            groups.append(
                [
                    {
                        "policy": policy,
                        "task": name,
                        "id": f"{part}/{sample['doc_id']}",
                        "domain": DOMAIN,
                        "sample": 0,
                        "prompt": str(sample["arguments"][0][0]),
                        "response": response,
                        "verdict": "correct" if value == 1 else "wrong" if value == 0 else "partial",
                        "reward": value,
                        "tokens": tokens,
                        "truncated": False,
                        "entropy": None,
                    }
                ]
            )
    if not groups:
        raise UserError("the task has no items", where=name)
    return groups


def _metric(sample: Mapping[str, Any]) -> str | None:
    for metric in sample["metrics"]:
        value: Any = sample.get(metric)
        if hasattr(value, "item"):
            value = value.item()
        if isinstance(value, bool | int | float) and 0 <= value <= 1:
            return str(metric)
    return None


def _response(sample: Mapping[str, Any], lm: Any) -> tuple[str, int]:
    """What the policy wrote, and its tokens; of a choice by log-likelihood the option it holds likeliest, and 0."""
    first = sample["resps"][0][0]
    if isinstance(first, str):
        return first, len(lm.tok_encode(first, add_special_tokens=False))
    options = [(resps[0][0], arguments) for resps, arguments in zip(sample["resps"], sample["arguments"], strict=True)]
    _, arguments = max(options, key=lambda option: option[0])
    return str(arguments[1] if len(arguments) > 1 else ""), 0


def _log(log: ResponseLog, policy: str, name: str, groups: Sequence[list[ResponseRow]], key: Mapping[str, Any]) -> None:
    problems = [Problem(group[0]["id"], DOMAIN, group[0]["prompt"], None) for group in groups]
    todo = {p.id for p in log.open(policy, name, problems, 1, key)}
    log.append([group for group in groups if group[0]["id"] in todo])


def _score(groups: Sequence[list[ResponseRow]], found: Mapping[str, Any], name: str, seed: int) -> dict[str, Any]:
    result = score(groups, seed=seed)
    for field in ("maj@k", "maj@k_ci95"):
        result.pop(field, None)
    samples = next(iter(found["samples"].values()))
    shown = [part for part in (name.removeprefix(HARNESS), *found["samples"]) if part in found["results"]]
    return result | {
        "metric": f"{_metric(samples[0])},{samples[0]['filter']}",
        "shots": _one_of(found.get("n-shot", {})),
        "harness": {part: dict(_numbers(found["results"][part])) for part in dict.fromkeys(shown)},
        "notes": [NOTE],
    }


def _one_of(values: Mapping[str, Any]) -> Any:
    """The value where all parts share one."""
    found = {json.dumps(value) for value in values.values()}
    return json.loads(found.pop()) if len(found) == 1 else None


def _numbers(results: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    for key, value in results.items():
        if isinstance(value, int | float) and not isinstance(value, bool) and "stderr" not in key:
            yield key, float(value)
