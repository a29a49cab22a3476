"""select: the SFT checkpoint that RL starts from, chosen by the entropy of its sampled responses (§4.3.2)."""

import os
from functools import partial
from pathlib import Path

from ringlite_cli.recipe.schema import SelectStage
from ringlite_cli.runs.files import read_json
from ringlite_cli.stages.base import Context, StageKind, StageResult
from ringlite_cli.stages.samplers import open_samplers


def run(context: Context) -> StageResult:
    from ringlite_cli.evals.measure import select_checkpoint
    from ringlite_cli.sampling.score import forced_scores, sampled_entropy

    section: SelectStage = context.section
    recipe, console, folder = context.recipe, context.console, context.folder
    listing = context.output(section.candidates, "checkpoints")
    with (
        context.verifiers() as verify,
        open_samplers(recipe.engine, recipe.model.dtype) as make_sampler,
        console.progress(context.name, 1) as bar,
    ):
        decision = select_checkpoint(
            read_json(listing),
            listing.parent,
            context.problems(section.data),
            make_sampler,
            verify,
            folder,
            entropy_band=section.entropy_band,
            rule=section.rule,
            k=section.samples,
            max_new_tokens=section.max_new_tokens,
            entropy_of=partial(sampled_entropy, row_tokens=section.row_tokens),
            forced_of=partial(forced_scores, row_tokens=section.row_tokens),
            seed=recipe.seed,
            prompt_suffix=recipe.prompt_suffix,
            batch_tokens=section.batch_tokens,
            progress=lambda name, state: bar.update(state.done, state.total, f"{name}: {state}"),
            report=lambda line: console.say(f"  {line}"),
        )
    candidates = read_json(folder / "candidates.json")
    files = {"decision": "decision.json", "candidates": "candidates.json", "table": "table.md", "plot": "select.svg"}
    return StageResult(
        outputs={
            "policy": Path(os.path.normpath(folder / decision.path)),
            **{name: folder / file for name, file in files.items()},
        },
        tokens={"generated": sum(candidate["tokens"] for candidate in candidates)},
        metrics=decision.row(),
        summary=decision.reason,
        warning=decision.warning or "",
    )


def explain_text(folder: Path) -> str:
    """In words, candidate by candidate, why a finished selection picked what it picked."""
    from ringlite_cli.evals.pick import Candidate, Decision, explain

    candidates = [Candidate.of_row(row) for row in read_json(folder / "candidates.json")]
    return explain(candidates, Decision.of_row(read_json(folder / "decision.json")))


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
    },
    code=("problems.py", "samples.py", "c3po", "evals", "sampling", "rewards", "sandbox", "stages/select.py"),
    uses=("model", "prompt_suffix", "rewards"),
    run=run,
)
