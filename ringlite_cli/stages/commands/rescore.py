"""`ringlite rescore`: the stored responses of a run, verified again by today's verifiers, beside the old verdicts."""

import json
import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ringlite_cli.console import Console, Progress
from ringlite_cli.errors import UserError
from ringlite_cli.json_rows import sound_line, whole_lines
from ringlite_cli.problems import NO_VERDICT, VERDICT_REVISION, Problem, Verdict, Verify, is_right
from ringlite_cli.recipe.own_names import take_up_own_code
from ringlite_cli.recipe.schema import Rewards
from ringlite_cli.runs import rollouts
from ringlite_cli.runs.files import finite, read_json, read_jsonl, write_json, write_jsonl
from ringlite_cli.runs.folder import check_is_folder, lock_run
from ringlite_cli.runs.manifest import Manifest, read_manifest
from ringlite_cli.runs.revisions import rescored_folder, revisions_of
from ringlite_cli.runs.rollouts import rollout_lines
from ringlite_cli.runs.stored_rows import sound_response
from ringlite_cli.samples import REFUSALS
from ringlite_cli.shares import in_percent
from ringlite_cli.stages.base import open_verifiers, with_trained_model
from ringlite_cli.stages.parts.stored_problems import FindProblem, of_evaluation, of_pass_rates, of_set, of_tasks
from ringlite_cli.terminal.run_log import LOG, title_of
from ringlite_cli.terminal.screen import log_to
from ringlite_cli.thoughts import with_thought
from ringlite_cli.whole import whole

StoredRow = dict[str, Any]
_BATCH = 256
FILES = {"eval": "responses.jsonl", "select": "responses.jsonl", "rl": rollouts.FILE, "curate": "asked.jsonl"}
"""The stored responses of each kind of stage that has some."""
NEEDED = {
    "responses.jsonl": ("policy", "task", "id", "response", "verdict", "tokens", "truncated"),
    rollouts.FILE: ("prompt_id", "domain", "response"),
    "asked.jsonl": ("key", "model", "source", "index", "sample", "response"),
}
"""What is read of each of their rows."""


@dataclass(frozen=True)
class Stored:
    """A file of stored responses. find: the problem of a row, None where it is not known any more."""

    name: str
    file: Path
    find: FindProblem
    rewards: Rewards
    partial_scores: bool = False


@dataclass
class Tally:
    """What rescoring a file came to; right is what its verdict says so of."""

    rows: int = 0
    unknown: int = 0
    unsure: int = 0
    refused: int = 0
    moves: Counter[str] = field(default_factory=Counter)

    def line(self) -> str:
        """Return the numbers in words."""
        changes = ", ".join(f"{count:,} {move}" for move, count in sorted(self.moves.items())) or "no reward changed"
        more = f"; {self.unknown:,} of problems that are not there any more, kept as they were" if self.unknown else ""
        more += f"; {self.unsure:,} without a verdict (our error), kept as they were" if self.unsure else ""
        more += f"; {self.refused:,} more were never given, kept as they were" if self.refused else ""
        return f"{self.rows:,} responses: {changes}{more}"


def rescore_run(
    run: Path, console: Console, *, data: Mapping[str, Path] | None = None, workers: int | None = None
) -> None:
    """Verify the stored responses of a run folder, or of a folder of `ringlite eval --model --out`, again.

    data: files of tasks, as `ringlite eval --data` takes them. Raises UserError where there is nothing stored, before
    anything is written.
    """
    check_is_folder(run)
    if (run / "recipe.json").is_file():
        take_up_own_code(read_json(run / "recipe.json"))
    found = list(_stored(run, dict(data or {})))
    if not found:
        raise UserError("no stored responses in it", where=str(run), hint="run a stage that samples first")
    with lock_run(run), log_to(run / LOG, title_of("rescore")):
        for stored in found:
            rewards = stored.rewards if workers is None else stored.rewards.model_copy(update={"workers": workers})
            opened = open_verifiers(rewards, partial_scores=stored.partial_scores)
            with opened as verify, console.progress(f"rescore {stored.name}", 1) as bar:
                tally = Tally()
                rows = _write_rows(stored, rescored_rows(stored, verify, tally, bar))
            console.say(f"{stored.name}: {tally.line()}")
            for line in _write_summary(stored, rows):
                console.say(f"  {line}")
            console.say(f"  written: {rescored_folder(stored.file.parent)}")


def _stored(run: Path, data: Mapping[str, Path]) -> Iterator[Stored]:
    if (file := run / "responses.jsonl").is_file():  # of `ringlite eval --model`
        find = of_tasks([sound_response(file, row, NEEDED[file.name]) for row in read_jsonl(file)], data, run)
        yield Stored(run.name, file, find, Rewards())
        return
    for path in sorted(run.glob("*/manifest.json")):
        manifest = read_manifest(path.parent)
        if manifest is None or manifest.kind not in FILES:
            continue
        file = path.parent / FILES[manifest.kind]
        if file.is_file() and file.stat().st_size:
            rewards = with_trained_model(run, Rewards.model_validate(manifest.recipe.get("rewards") or {}))
            partial = bool(manifest.recipe.get("partial_scores"))
            yield Stored(manifest.stage, file, _finder(run, manifest, data), rewards, partial)


def _finder(run: Path, manifest: Manifest, data: Mapping[str, Path]) -> FindProblem:
    makers: Mapping[str, Callable[[], FindProblem]] = {
        "eval": lambda: of_evaluation(run, manifest, data),
        "select": lambda: of_set(run, manifest.recipe["data"], "id"),
        "rl": lambda: of_set(run, manifest.recipe["data"], "prompt_id"),
        "curate": lambda: of_pass_rates(run, manifest),
    }
    return makers[manifest.kind]()


def rescored_rows(stored: Stored, verify: Verify, tally: Tally, bar: Progress) -> Iterator[StoredRow]:
    """Give the rows of a file with today's verdicts, a batch in memory at a time; what changed goes into `tally`.

    Each row keeps its old verdict, reward and revision under `was`. Rows that can't be verified stay as they are.
    """
    size = stored.file.stat().st_size
    for batch, done in _batches(stored.file):
        answered = [row.get("verdict") not in REFUSALS for row in batch]
        problems = [stored.find(row) if came else None for row, came in zip(batch, answered, strict=True)]
        pairs = [(p, _response(row)) for p, row in zip(problems, batch, strict=True) if p is not None]
        verdicts = iter(verify(pairs) if pairs else [])
        for problem, row, came in zip(problems, batch, answered, strict=True):
            verdict = next(verdicts) if problem is not None else None
            tally.rows += came
            tally.refused += not came
            tally.unknown += verdict is None and came
            tally.unsure += verdict is not None and verdict.verdict in NO_VERDICT
            if verdict is None or verdict.verdict in NO_VERDICT:
                yield row
                continue
            if move := _move(row, verdict):
                tally.moves[move] += 1
            yield _changed(row, verdict.verdict, verdict.reward)
        bar.update(done, max(done, size), f"{tally.rows:,} responses")


def _batches(file: Path) -> Iterator[tuple[list[StoredRow], int]]:
    """The rows of a JSONL file in batches, each with the bytes read so far; a torn last line is left out."""
    batch, done = list[StoredRow](), 0
    opened: Any = nullcontext(rollout_lines(file.parent)) if file.name == rollouts.FILE else file.open("rb")
    with opened as lines:
        for number, line in enumerate(whole_lines(lines), 1):
            done += len(line)
            batch.append(sound_response(file, sound_line(file, line, number), NEEDED[file.name]))
            if len(batch) == _BATCH:
                yield batch, done
                batch = []
    if batch:
        yield batch, done


def _response(row: StoredRow) -> str:
    return with_thought(str(row["response"]), row.get("thought_opened") or "")


def _changed(row: StoredRow, verdict: str, reward: float) -> StoredRow:
    was = {name: row.get(name) for name in ("verdict", "reward")} | {"revision": revisions_of([row])[0]}
    return row | {"verdict": verdict, "reward": reward, "revision": VERDICT_REVISION, "was": row.get("was", was)}


def _move(row: StoredRow, after: Verdict) -> str:
    names = {(False, True): "wrong before and right now", (True, False): "right before and wrong now"}
    before = row.get("reward")
    turned = is_right(row.get("verdict") or "", before), is_right(after.verdict, after.reward)
    return names.get(turned, "" if _same(before, after.reward) else "of another reward")


def _same(before: float | None, after: float) -> bool:
    """Return whether two rewards are equal; a rollout's has the precision of float32."""
    return before is not None and math.isclose(before, after, rel_tol=1e-6)


def _write_rows(stored: Stored, rows: Iterator[StoredRow]) -> list[StoredRow]:
    """Write the rescored rows as they come; return of each what the summaries need."""
    kept = []
    with (
        whole(rescored_folder(stored.file.parent) / stored.file.name) as partial,
        partial.open("w", encoding="utf-8") as out,
    ):
        for row in rows:
            out.write(json.dumps(finite(row), ensure_ascii=False) + "\n")
            scored = stored.file.name == "responses.jsonl"  # votes and scores read whole rows
            kept.append(row if scored else {name: row[name] for name in _SUMMED if name in row})
    return kept


_SUMMED = ("domain", "model", "source", "index", "reward", "was", "verdict", "key", "sample", "purpose")


def _write_summary(stored: Stored, rows: Sequence[StoredRow]) -> list[str]:
    """Write what follows from the rescored rows; return lines that say how scores moved."""
    folder = rescored_folder(stored.file.parent)
    if stored.file.name == "responses.jsonl":
        return _write_scores(stored, folder, rows)
    if stored.file.name == "asked.jsonl":
        return _write_pass_rates(folder, rows)
    rewards = _by(rows, lambda row: str(row["domain"]))
    lines = [f"{domain}: mean reward {_shift(_means(group))}" for domain, group in sorted(rewards.items())]
    write_json(folder / "rewards.json", {domain: _means(group) for domain, group in sorted(rewards.items())})
    return lines


def _write_scores(stored: Stored, folder: Path, rows: Sequence[StoredRow]) -> list[str]:
    """scores.json as the evaluation wrote it, of the new verdicts; `data` and harness scores are taken over."""
    from ringlite_cli.evals.evaluate import score
    from ringlite_cli.evals.responses import GOLDS

    path = stored.file.parent / "scores.json"
    old, keys = (read_json(file) if file.is_file() else {} for file in (path, path.parent / "resume.json"))
    flat = bool(old) and "avg@k" in next(iter(old.values()))  # `ringlite eval --model` has one policy, unnamed
    scores: dict[str, dict[str, Any]] = {}
    lines = []
    for (policy, task), group in _by(rows, lambda row: (row["policy"], row["task"])).items():
        before = (old if flat else old.get(policy, {})).get(task, {})
        if not any("was" in row for row in group):
            scores.setdefault(policy, {})[task] = before
            continue
        seed = keys.get(f"{policy}/{task}", {}).get("seed", 0)
        made = score(list(_by(group, lambda row: str(row["id"])).values()), seed=seed)
        golds = keys.get(GOLDS, {}).get(f"{policy}/{task}", {})
        if changed := len({row["id"] for row in group if _has_other_gold(stored.find(row), golds)}):
            said = f"{changed:,} problems have another gold answer or other tests than `data` tells of"
            made["notes"] = [*made.get("notes", []), said]
        scores.setdefault(policy, {})[task] = made | ({"data": before["data"]} if "data" in before else {})
        lines.append(f"{policy} on {task}: {_shift(_means(group))}")
    write_json(folder / "scores.json", next(iter(scores.values())) if flat else scores)
    return lines


def _has_other_gold(problem: Problem | None, golds: Mapping[str, str]) -> bool:
    from ringlite_cli.evals.responses import gold_digest

    return problem is not None and problem.id in golds and golds[problem.id] != gold_digest(problem)


def _write_pass_rates(folder: Path, rows: Sequence[StoredRow]) -> list[str]:
    """pass_rates.jsonl: a row per problem and model, with its rate before and now, as `difficulty` counts it."""
    asked = {(row["key"], row["sample"]): row for row in rows}  # one that was asked for twice counts once
    rated = [row for row in asked.values() if row.get("purpose", "difficulty") == "difficulty"]
    groups = _by(rated, lambda row: (row["model"], row["source"], row["index"]))
    made = [
        {"model": model, "source": source, "index": index, **_rates(group)}
        for (model, source, index), group in groups.items()
    ]
    write_jsonl(folder / "pass_rates.jsonl", made)
    return [f"{model}: {_shift(_rates(group))}" for model, group in _by(rated, lambda row: str(row["model"])).items()]


def _rates(rows: Sequence[StoredRow]) -> dict[str, Any]:
    """The share of right responses before and now, of those that have a verdict."""
    told: dict[str, Any] = {}
    for name, verdicts in (("before", [row.get("was", row) for row in rows]), ("now", rows)):
        judged = [each for each in verdicts if each.get("verdict") not in (*REFUSALS, *NO_VERDICT)]
        right = sum(is_right(each.get("verdict") or "", each.get("reward")) for each in judged)
        told[name] = right / len(judged) if judged else None
    return told | {"responses": len(rows)}


def _by(rows: Sequence[StoredRow], key: Callable[[StoredRow], Any]) -> dict[Any, list[StoredRow]]:
    groups: dict[Any, list[StoredRow]] = {}
    for row in rows:
        groups.setdefault(key(row), []).append(row)
    return groups


def _means(rows: Sequence[StoredRow]) -> dict[str, Any]:
    """The mean reward before and now, over the responses that had one."""
    old = [row.get("was", row)["reward"] for row in rows]
    before = [reward for reward in old if reward is not None]
    now = [row["reward"] for row in rows if row["reward"] is not None]
    return {
        "before": sum(before) / len(before) if before else None,
        "now": sum(now) / len(now) if now else None,
        "responses": len(rows),
    }


def _shift(means: Mapping[str, Any]) -> str:
    before, now = (f"{in_percent(x, 1)} %" if x is not None else "none" for x in (means["before"], means["now"]))
    return f"{before} -> {now}"
