"""select: the SFT checkpoint that RL starts from, chosen by the entropy of its sampled responses (§4.3.2)."""

import os
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from ringlite_cli.recipe.schema import Recipe, SelectStage
from ringlite_cli.runs.files import read_json
from ringlite_cli.stages.base import Check, Context, StageKind, StageResult
from ringlite_cli.stages.parts.judging import with_judge
from ringlite_cli.stages.parts.progress import show_part
from ringlite_cli.stages.parts.rl_probe import check_alone, probe_faults, run_probes
from ringlite_cli.stages.parts.samplers import stage_samplers


def run(context: Context) -> StageResult:
    from ringlite_cli.evals.measure import select_checkpoint
    from ringlite_cli.sampling.score import forced_scores, sampled_entropy

    section: SelectStage = context.section
    recipe, console, folder = context.recipe, context.console, context.folder
    listing = context.output(section.candidates, "checkpoints")
    rows = read_json(listing)
    check_alone(section)
    options = {
        "k": section.num_generations,
        "max_completion_length": section.max_completion_length,
        "entropy_of": partial(sampled_entropy, row_tokens=section.row_tokens),
        "seed": recipe.seed,
        "prompt_suffix": recipe.prompt_suffix,
        "batch_tokens": section.batch_tokens,
    }
    drawn = (context.run, context.name, recipe.engine, recipe.model.dtype, section.row_tokens)
    with context.verifiers() as verify:
        with (
            stage_samplers(*drawn, keep=section.rl_probe is None) as make_sampler,
            console.progress(context.name, 1) as bar,
        ):
            decision = select_checkpoint(
                rows,
                listing.parent,
                context.problems(section.data),
                make_sampler,
                verify,
                folder,
                entropy_band=section.entropy_band,
                rule=section.rule,
                forced_of=partial(forced_scores, row_tokens=section.row_tokens, thinking=recipe.thinking),
                progress=partial(show_part, bar, [] if section.rl_probe else [entry["name"] for entry in rows]),
                report=lambda line: console.say(f"  {line}"),
                **options,
            )
        probed = run_probes(context, verify, options) if section.rl_probe else None
    candidates = read_json(folder / "candidates.json")
    files = {"decision": "decision.json", "candidates": "candidates.json", "table": "table.md", "plot": "select.svg"}
    tokens = {"generated": sum(candidate["tokens"] for candidate in candidates)}
    if probed:
        files |= {"probe": "probe.json", "probe_plot": "probe.svg"}
        for kind in ("trained", "generated"):
            tokens[f"probe_{kind}"] = sum(row.get(f"tokens_{kind}") or 0 for row in probed["candidates"])
    return with_judge(
        context,
        StageResult(
            outputs={
                "policy": Path(os.path.normpath(folder / decision.path)),
                **{name: folder / file for name, file in files.items()},
            },
            tokens=tokens,
            metrics=decision.row(),
            summary=decision.reason,
            warning="; ".join(filter(None, (decision.warning, _failed_probes(probed)))),
        ),
    )


def _failed_probes(summary: Mapping[str, Any] | None) -> str:
    failed = [row["name"] for row in (summary or {"candidates": []})["candidates"] if row["error"]]
    return f"the probe of {', '.join(failed)} failed: see probe.json" if failed else ""


def explain_text(folder: Path) -> str:
    """In words, candidate by candidate, why a finished selection picked what it picked."""
    from ringlite_cli.evals.pick import Candidate, Decision, explain
    from ringlite_cli.evals.probe import load_summary, words

    candidates = [Candidate.of_row(row) for row in read_json(folder / "candidates.json")]
    text = explain(candidates, Decision.of_row(read_json(folder / "decision.json")))
    summary = load_summary(folder)
    return f"{text}\n\nRL probe: {words(summary)}" if summary else text


def faults(recipe: Recipe, name: str) -> list[str]:
    """Settings of the probe that cannot work together."""
    section = recipe.stages[name]
    assert isinstance(section, SelectStage)
    return [f"rl_probe.{fault}" for fault in probe_faults(section)]


_PROBE_PARTS = ("stages/parts/rl_probe.py", "stages/parts/samplers.py")


def _preflight() -> tuple[Check, ...]:
    from ringlite_cli.stages.preflight.engine import engine_is_there
    from ringlite_cli.stages.preflight.verifying import set_can_be_verified

    return (engine_is_there, set_can_be_verified)


STAGE = StageKind(
    kind="select",
    summary="pick the SFT checkpoint to start RL from by its entropy",
    section=SelectStage,
    artifacts={
        "policy": "the picked checkpoint, HF folder",
        "decision": "the pick and the reason",
        "candidates": "what was measured of each checkpoint",
        "table": "the same as a table",
        "plot": "entropy and scores over checkpoints, with the band",
        "probe": "with rl_probe: what a short RL gained from each",
        "probe_plot": "with rl_probe: gain over entropy",
    },
    code=(
        "problems.py",
        "samples.py",
        "chat",
        "c3po",
        "evals",
        "sampling",
        "rewards",
        "sandbox",
        "stages/kinds/select.py",
    ),
    uses=("model", "prompt_suffix", "rewards", "thinking"),
    run=run,
    faults=faults,
    more_code=lambda section: (
        ("train", "stages/parts/rl_probe.py", "stages/parts/samplers.py") if section.rl_probe else ()
    ),
    preflight=_preflight,
    draws=lambda section: True,
)
