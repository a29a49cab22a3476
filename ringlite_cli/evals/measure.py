"""Measuring the SFT checkpoints that `pick` chooses from, and the files of the selection."""

import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ringlite_cli.errors import UserError
from ringlite_cli.evals import metrics
from ringlite_cli.evals.evaluate import DEFAULT_SUFFIX, MakeSampler, Report, check_tasks_are_sound, resume_key, score
from ringlite_cli.evals.forced import ForcedLog, ForcedOf
from ringlite_cli.evals.pick import Band, Candidate, Decision, explain, pick
from ringlite_cli.evals.responses import EntropyOf, Group, ResponseLog, collect, renew_verdicts
from ringlite_cli.problems import Problem, Verify
from ringlite_cli.runs.files import finite, write_json, write_text
from ringlite_cli.samples import BATCH_TOKENS, REFUSALS, OnProgress, Progress, SamplingSettings
from ringlite_cli.shares import in_percent

_TASK = "select"


def select_checkpoint(
    checkpoints: Sequence[Mapping[str, Any]],
    folder: Path,
    problems: Sequence[Problem],
    make_sampler: MakeSampler,
    verify: Verify,
    out_dir: Path,
    *,
    entropy_band: Band,
    rule: str = "band",
    report: Report | None = None,
    **options: Any,
) -> Decision:
    """Measure every checkpoint (`options` go to `measure_candidates`), pick one and write the selection's files."""
    candidates = measure_candidates(
        checkpoints, folder, problems, make_sampler, verify, out_dir, report=report, **options
    )
    decision = pick(candidates, entropy_band, rule)
    strangers = _tokenizers(out_dir, candidates)
    if strangers:
        warnings = [w for w in (decision.warning, strangers) if w]
        decision = replace(decision, warning="; ".join(warnings))
    write_selection(out_dir, candidates, decision)
    return decision


def measure_candidates(
    checkpoints: Sequence[Mapping[str, Any]],
    folder: Path,
    problems: Sequence[Problem],
    make_sampler: MakeSampler,
    verify: Verify,
    out_dir: Path,
    *,
    k: int,
    max_completion_length: int,
    entropy_of: EntropyOf | None = None,
    forced_of: ForcedOf | None = None,
    seed: int = 0,
    prompt_suffix: Mapping[str, str] | None = None,
    batch_tokens: int = BATCH_TOKENS,
    resume: bool = True,
    progress: Callable[[str, Progress], None] | None = None,
    report: Report | None = None,
) -> list[Candidate]:
    """Entropy and scores of each checkpoint from k responses per problem, sampled at temperature 1 without nucleus.

    checkpoints: rows of checkpoints.json (`name`, `path` relative to `folder`, `step`, `epoch`, `tokens_trained`).
    entropy_of: scores responses by a packed forward; None takes the entropy that the sampler saw while drawing.
    forced_of: scores the problems' own traces, for those that have one.
    Writes responses.jsonl, candidates.json and metrics.jsonl as it goes; resumes problem by problem. A checkpoint that
    cannot be loaded or sampled is kept with its `error` and does not lose the others.
    """
    if not checkpoints:
        raise UserError("there is no checkpoint to select from", where="select.candidates")
    if not problems:
        raise UserError("there are no problems to select on", where="select.data", hint="look at the curated set")
    check_tasks_are_sound({_TASK: problems})
    suffix = DEFAULT_SUFFIX if prompt_suffix is None else prompt_suffix
    settings = SamplingSettings(max_completion_length, temperature=1.0, top_p=1.0, seed=seed, batch_tokens=batch_tokens)
    candidates: list[Candidate] = []
    forced = ForcedLog(out_dir, forced_of, problems, suffix)
    with ResponseLog(out_dir, resume=resume) as log:
        for checkpoint in checkpoints:
            candidate = _candidate(checkpoint, folder, out_dir)
            told: OnProgress | None = (lambda p, name=candidate.name: progress(name, p)) if progress else None
            try:
                _respond(log, candidate.name, folder / checkpoint["path"], problems, k, settings, suffix,
                         make_sampler, verify, entropy_of, forced, told)  # fmt: skip
                candidate = _measured(candidate, log.groups(candidate.name, _TASK, problems), seed)
                candidate = forced.add_to(candidate, seed)
            except (UserError, RuntimeError) as error:
                candidate = replace(candidate, error=str(error) or type(error).__name__)
            candidates.append(candidate)
            _write_candidates(out_dir, candidates)
            if report:
                report(describe(candidate))
    return candidates


def write_selection(out_dir: Path, candidates: Sequence[Candidate], decision: Decision) -> None:
    """Write candidates.json, metrics.jsonl, table.md, select.svg and, last of all, decision.json."""
    from ringlite_cli.evals.plot import selection_svg

    _write_candidates(out_dir, candidates)
    write_text(out_dir / "table.md", table(candidates, decision))
    write_text(out_dir / "select.svg", selection_svg(candidates, decision))
    write_json(out_dir / "decision.json", decision.row())


def table(candidates: Sequence[Candidate], decision: Decision) -> str:
    """The candidates as a Markdown table, with the reason above and the reading of each below."""
    low, high = decision.entropy_band
    lines = [f"# Picked: {decision.picked}", "", decision.reason, ""]
    if decision.warning:
        lines += [f"**Warning:** {decision.warning}", ""]
    lines += [
        f"Rule `{decision.rule}`, entropy band {low:g}-{high:g} nats per response token; 95 % intervals over problems. "
        "Repeats: word 4-grams that stand in the response already. On traces: teacher-forced entropy.",
        "",
        "| checkpoint | epoch | SFT tokens | entropy | in band | pass@1 | pass@k | tokens | cut "
        "| repeats | on traces |",
        "|---|---:|---:|---:|:-:|---:|---:|---:|---:|---:|---:|",
    ]
    lines += [_table_row(c, decision) for c in candidates]
    return "\n".join([*lines, "", explain(candidates, decision), ""])


def describe(candidate: Candidate) -> str:
    """One line of a candidate."""
    if candidate.error is not None or candidate.entropy is None or candidate.pass_1 is None:
        return f"{candidate.name:<18} could not be measured: {candidate.error}"
    return (
        f"{candidate.name:<18} entropy {candidate.entropy:.3f}  pass@1 {in_percent(candidate.pass_1, 1)} %  "
        f"pass@{candidate.k} {in_percent(candidate.pass_k or 0, 1)} %  {candidate.response_tokens_mean:.0f} tokens"
    )


def _respond(
    log: ResponseLog,
    name: str,
    model: Path,
    problems: Sequence[Problem],
    k: int,
    settings: SamplingSettings,
    suffix: Mapping[str, str],
    make_sampler: MakeSampler,
    verify: Verify,
    entropy_of: EntropyOf | None,
    forced: ForcedLog,
    progress: OnProgress | None,
) -> None:
    key = resume_key(model, settings, suffix, k) | {"entropy": "forward" if entropy_of else "draw"}
    todo = log.open(name, _TASK, problems, k, key)
    renew_verdicts(log, name, {_TASK: problems}, verify)
    if not todo and not forced.lacks(name, model):
        return
    sampler = make_sampler(model, settings)
    try:
        forced.measure(name, model, sampler)
        collect(log, name, {_TASK: todo}, sampler, verify, k={_TASK: k}, suffix=suffix,
                entropy_of=entropy_of, progress=progress)  # fmt: skip
    finally:
        sampler.close()


def _candidate(checkpoint: Mapping[str, Any], folder: Path, out_dir: Path) -> Candidate:
    return Candidate(
        name=checkpoint["name"],
        path=Path(os.path.relpath(folder / checkpoint["path"], out_dir)).as_posix(),
        step=checkpoint.get("step"),
        epoch=checkpoint.get("epoch"),
        sft_tokens=checkpoint.get("tokens_trained"),
    )


def _measured(candidate: Candidate, groups: Sequence[Group], seed: int) -> Candidate:
    result = score(groups, seed=seed)
    came = [[row for row in group if row["verdict"] not in REFUSALS] for group in groups]
    answered = [group for group in came if group]
    entropies = [sum(row["entropy"] * row["tokens"] for row in group) for group in answered]
    tokens = [sum(row["tokens"] for row in group) for group in answered]
    if not sum(tokens):
        raise UserError("no problem has a response whose tokens are known", where="select", hint="see responses.jsonl")
    repeated = [float(np.mean([metrics.repetition(row["response"]) for row in group])) for group in answered]
    solved = result["pass@k_ci95"]
    return replace(
        candidate,
        entropy=sum(entropies) / sum(tokens),
        entropy_ci95=metrics.bootstrap(entropies, tokens, seed=seed),
        pass_1=result["avg@k"],
        pass_1_ci95=(result["ci95"][0], result["ci95"][1]),
        pass_k=result["pass@k"],
        k=result["k"],
        n=result["n"],
        response_tokens_mean=result["response_tokens_mean"],
        truncated_fraction=result["truncated_fraction"],
        tokens=result["tokens"],
        pass_k_ci95=(solved[0], solved[1]),
        response_tokens_ci95=metrics.bootstrap([t / len(g) for t, g in zip(tokens, answered, strict=True)], seed=seed),
        repetition=float(np.mean(repeated)),
        repetition_ci95=metrics.bootstrap(repeated, seed=seed),
    )


def _write_candidates(out_dir: Path, candidates: Sequence[Candidate]) -> None:
    rows = [candidate.row() for candidate in candidates]
    write_json(out_dir / "candidates.json", rows)
    write_text(out_dir / "metrics.jsonl", "".join(json.dumps(finite(row), ensure_ascii=False) + "\n" for row in rows))


def _tokenizers(out_dir: Path, candidates: Sequence[Candidate]) -> str | None:
    """A warning where the candidates do not share one tokenizer: entropy per token is then not comparable."""
    kinds: dict[str, list[str]] = {}
    for candidate in candidates:
        file = out_dir / candidate.path / "tokenizer.json"
        if candidate.error is None and file.is_file():
            kinds.setdefault(hashlib.sha256(file.read_bytes()).hexdigest(), []).append(candidate.name)
    if len(kinds) < 2:
        return None
    groups = " / ".join(", ".join(names) for names in kinds.values())
    return f"the candidates' tokenizers differ ({groups}), so their entropies per token cannot be compared"


def _table_row(c: Candidate, decision: Decision) -> str:
    name = f"**{c.name}**" if c.name == decision.picked else c.name
    epoch = "" if c.epoch is None else f"{c.epoch:.2f}"
    tokens = "" if c.sft_tokens is None else f"{c.sft_tokens:,}"
    if c.error is not None or c.entropy is None:
        return f"| {name} | {epoch} | {tokens} | not measured: {str(c.error).splitlines()[0]} | | | | | | | |"
    inside = "yes" if c.name in decision.inside_band else "no"
    forced = "" if c.forced_entropy is None else f"{c.forced_entropy:.3f}"
    cells = [
        *(name, epoch, tokens),
        f"{c.entropy:.3f} {_span(c.entropy_ci95, 1, '.3f')}",
        inside,
        f"{in_percent(c.pass_1 or 0, 1)} {_span(c.pass_1_ci95, 100, '.1f')}",
        f"{in_percent(c.pass_k or 0, 1)} {_span(c.pass_k_ci95, 100, '.1f')} (k={c.k})",
        f"{c.response_tokens_mean:.0f} {_span(c.response_tokens_ci95, 1, '.0f')}",
        f"{in_percent(c.truncated_fraction or 0)}%",
        f"{c.repetition or 0:.1%}",
        forced,
    ]
    return f"| {' | '.join(cells)} |"


def _span(interval: tuple[float, float] | None, scale: float, form: str) -> str:
    return "" if interval is None else f"[{scale * interval[0]:{form}}, {scale * interval[1]:{form}}]"
