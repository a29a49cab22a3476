"""The RL probe of select: a few C3PO steps from every measured checkpoint, and what they gained there."""

import os
import shutil
from pathlib import Path
from typing import Any

from ringlite_cli.errors import Interrupted, UserError
from ringlite_cli.presence import is_there
from ringlite_cli.problems import Problem, Verify
from ringlite_cli.recipe.schema import RlProbe, SelectStage
from ringlite_cli.runs.files import read_json, read_jsonl, write_json, write_text
from ringlite_cli.runs.ranks import world_size
from ringlite_cli.stages.base import Context
from ringlite_cli.stages.parts.samplers import open_samplers


def check_alone(section: SelectStage) -> None:
    """Raise UserError where other ranks would have to train along, which wait for the rl stages."""
    if section.rl_probe and world_size() > 1:
        raise UserError(
            "the probe trains in one process",
            where="rl_probe",
            hint="run `ringlite select RECIPE` without a launcher first, then the rest with it",
        )


def probe_faults(section: SelectStage) -> list[str]:
    """Return what is wrong with the probe's settings, found without a model."""
    return section.rl_probe.settings(section.max_completion_length).faults() if section.rl_probe else []


def run_probes(context: Context, verify: Verify, options: dict[str, Any]) -> dict[str, Any]:
    """Probe every measured candidate of the selection in the stage's folder; write probe.json, probe.svg, table.md.

    options: of `measure_candidates`, as the selection measured. What a probe that was done came to is kept in
    probe/<candidate>/result.json, and its policy is removed; a stopped one goes on from its last checkpoint.
    """
    from ringlite_cli.evals import probe
    from ringlite_cli.evals.measure import table
    from ringlite_cli.evals.pick import Candidate, Decision
    from ringlite_cli.evals.plot import probe_svg

    section: SelectStage = context.section
    wanted, folder, console = section.rl_probe, context.folder, context.console
    assert wanted is not None
    problems, train = context.problems(section.data), context.problems(wanted.data)
    candidates = [Candidate.of_row(row) for row in read_json(folder / "candidates.json")]
    decision = Decision.of_row(read_json(folder / "decision.json"))
    rows = []
    for candidate in (c for c in candidates if c.error is None):
        kept = folder / "probe" / candidate.name / "result.json"
        if not is_there(kept):
            try:
                row = _probe(context, wanted, candidate, problems, train, verify, options)
            except (Interrupted, OSError):
                raise
            except Exception as error:  # loaders, trainers and engines share no base class; the row names what it was
                rows.append(probe.failed_row(candidate, str(error) or type(error).__name__))
                continue
            write_json(kept, row)
            for name in ("policy", "checkpoints"):
                shutil.rmtree(kept.parent / name, ignore_errors=True)
        rows.append(read_json(kept))
        console.say(f"  probe of {candidate.name}: {100 * rows[-1]['gain']:+.1f} points of pass@1")
    summary = probe.summarise(rows, decision, wanted.steps)
    write_json(folder / "probe.json", summary)
    write_text(folder / "probe.svg", probe_svg(summary, decision.entropy_band))
    write_text(folder / "table.md", f"{table(candidates, decision)}\n{probe.as_text(summary)}\n")
    return summary


def _probe(
    context: Context,
    wanted: RlProbe,
    candidate: Any,
    problems: list[Problem],
    train: list[Problem],
    verify: Verify,
    options: dict[str, Any],
) -> dict[str, Any]:
    from ringlite_cli.evals.measure import measure_candidates
    from ringlite_cli.evals.probe import probe_row
    from ringlite_cli.train.rl.loop import Hooks
    from ringlite_cli.train.rl.run import ModelOptions, run_rl

    recipe, name = context.recipe, candidate.name
    home = context.folder / "probe" / name
    with context.console.progress(f"{context.name}: probe of {name}", wanted.steps) as bar:
        result = run_rl(
            Path(os.path.normpath(context.folder / candidate.path)),
            train,
            verify,
            home,
            wanted.settings(options["max_completion_length"]),
            seed=recipe.seed,
            model=ModelOptions(recipe.model.dtype, recipe.model.attn_implementation, recipe.prompt_suffix),
            composition=recipe.rewards,
            hooks=Hooks(lambda row: bar.update(row["step"], wanted.steps, f"reward {row['reward']:.3f}")),
        )
        with open_samplers(recipe.engine, recipe.model.dtype) as make_sampler:
            after = measure_candidates(
                [{"name": name, "path": result.policy.name}],
                result.policy.parent,
                problems,
                make_sampler,
                verify,
                home / "after",
                progress=lambda _, state: bar.update(state.done, state.total, f"after: {state}"),
                **options,
            )[0]
    if after.error is not None:
        raise UserError(after.error, where=str(result.policy))
    return probe_row(
        candidate,
        after,
        (context.folder / "responses.jsonl", home / "after" / "responses.jsonl"),
        {"trained": result.tokens_trained, "generated": result.tokens_generated},
        [row["reward"] for row in read_jsonl(home / "metrics.jsonl")],
        seed=recipe.seed,
    )
