"""rl: C3PO reinforcement learning from a policy, on one set of problems, rewarded by the verifiers."""

from collections.abc import Mapping, Sequence
from typing import Any

from ringlite_cli.errors import UserError
from ringlite_cli.problems import Problem
from ringlite_cli.recipe.schema import Recipe, RlStage
from ringlite_cli.runs.files import read_jsonl
from ringlite_cli.stages.base import Context, StageKind, StageResult
from ringlite_cli.stages.calls import call_ranks
from ringlite_cli.stages.parts.going_on import last_step, marked, marks, rate_note
from ringlite_cli.stages.parts.tracking import tracked
from ringlite_cli.stages.preflight.data import mix_is_in_the_set
from ringlite_cli.stages.preflight.engine import rollouts_can_be_drawn
from ringlite_cli.stages.preflight.room import room_is_enough
from ringlite_cli.stages.preflight.trl_config import rl_config_is_accepted
from ringlite_cli.where import labels_there, matches


def run(context: Context) -> StageResult:
    from ringlite_cli.rewards.gym import require_scorers
    from ringlite_cli.train.rl.run import Hooks, ModelOptions, run_rl

    section: RlStage = context.section
    recipe, folder = context.recipe, context.folder
    problems = chosen(context.problems(section.data), section)
    require_scorers(problems)
    _refuse_shared_process(problems)
    call_ranks(context.run, context.name)
    changed = marks(folder)
    with context.verifiers() as verify, context.console.progress(context.name, 1) as bar, tracked(context) as trl:
        result = run_rl(
            context.policy(section.policy),
            problems,
            verify,
            folder,
            section.model_copy(update={"trl": trl}),
            seed=recipe.seed,
            model=ModelOptions(recipe.model.dtype, recipe.model.attn_implementation, recipe.prompt_suffix),
            hooks=Hooks(
                lambda row: bar.update(row["step"], section.steps, f"reward {row['reward']:.3f}"),
                as_written=lambda row: marked(row, changed),
            ),
        )
    tokens = {name: getattr(result, f"tokens_{name}") for name in ("trained", "generated", "dropped")}
    barren = nothing_learned(read_jsonl(folder / "metrics.jsonl"))
    return StageResult(
        outputs={"policy": result.policy, "rollouts": folder / "rollouts.jsonl", "metrics": folder / "metrics.jsonl"},
        tokens=tokens,
        metrics={"steps": result.steps, "packing": result.packing},
        summary=f"{result.steps} steps, {tokens['trained']:,} of {tokens['generated']:,} tokens trained"
        + (f"; {barren}" if barren else ""),
    )


def nothing_learned(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return why a run's steps could teach nothing, where that holds for all of them; else ""."""
    from ringlite_cli.train.guard.signal import facts_of, in_words

    facts = [found for row in rows if (found := facts_of(row)) is not None]
    return in_words(facts) if rows and len(facts) == len(rows) else ""


def chosen(problems: Sequence[Problem], section: RlStage) -> list[Problem]:
    """The problems that the section's `where` lets through. Raises UserError where there are none."""
    found = [problem for problem in problems if matches(problem, section.where)]
    if not found:
        raise UserError("no problem fits", where="where", hint=labels_there(problems))
    return found


def _refuse_shared_process(problems: Sequence[Problem]) -> None:
    """Raises UserError where tests would share a process with a program: such tests can be passed unsolved."""
    from ringlite_cli.sandbox.unit_mode import shares_process

    unsound = [problem.id for problem in problems if shares_process(problem.tests)]
    if unsound:
        raise UserError(
            f"{len(unsound)} problems, as {unsound[0]!r}, have C++ or Java tests of mode unit, which can be forged",
            where="data",
            hint="give their tests as cases of mode function or stdin, or leave them out; select and eval run them "
            "where rewards.trust_compiled_tests is set, RL never does",
        )


def faults(recipe: Recipe, name: str) -> list[str]:
    """Settings that cannot work together, found without a model."""
    section = recipe.stages[name]
    assert isinstance(section, RlStage)
    return section.faults()


STAGE = StageKind(
    kind="rl",
    summary="C3PO reinforcement learning",
    section=RlStage,
    artifacts={
        "policy": "the trained policy, HF folder",
        "rollouts": "every rollout with its verdict and the tokens kept",
        "metrics": "a row per optimizer step",
    },
    code=("problems.py", "chat", "models", "c3po", "train", "rewards", "sandbox", "stages/kinds/rl.py"),
    uses=("model", "prompt_suffix", "rewards"),
    run=run,
    faults=faults,
    preflight=(
        mix_is_in_the_set,
        rollouts_can_be_drawn,
        rl_config_is_accepted,
        room_is_enough,
    ),
    step_of=lambda folder: last_step(folder / "checkpoints"),
    note_of=rate_note,
)
