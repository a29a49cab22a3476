"""rl: C3PO reinforcement learning from a policy, on one set of problems, rewarded by the verifiers."""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

from ringlite_cli.console import Progress
from ringlite_cli.errors import UserError
from ringlite_cli.problems import Problem, Verify
from ringlite_cli.recipe.rl_settings import starts_engine, starts_server
from ringlite_cli.recipe.schema import Recipe, RlStage
from ringlite_cli.runs.files import read_jsonl
from ringlite_cli.runs.ranks import world_size
from ringlite_cli.sampling.keeping import lend_engine
from ringlite_cli.stages.base import Check, Context, StageKind, StageResult
from ringlite_cli.stages.calls import call_ranks
from ringlite_cli.stages.parts.games import require_games
from ringlite_cli.stages.parts.going_on import Marking, last_ranks, last_step, marks, rate_note
from ringlite_cli.stages.parts.judging import with_judge
from ringlite_cli.stages.parts.tracking import tracked
from ringlite_cli.where import labels_there, matches


def run(context: Context) -> StageResult:
    from ringlite_cli.train.rl.loop import Hooks
    from ringlite_cli.train.rl.run import ModelOptions, run_rl

    section: RlStage = context.section
    recipe, folder = context.recipe, context.folder
    problems = chosen(context.problems(section.data), section)
    require_games(problems)
    _refuse_shared_process(problems)
    call_ranks(context.run, context.name)
    with (
        context.verifiers(partial_scores=section.partial_scores) as verify,
        context.console.progress(context.name, 1) as bar,
        tracked(context) as trl,
        lend_engine(keep=True) if _draws_here(section) else nullcontext() as engine,
    ):
        result = run_rl(
            context.policy(section.policy),
            problems,
            verify,
            folder,
            section.model_copy(update={"trl": trl}),
            seed=recipe.seed,
            model=ModelOptions(recipe.model.dtype, recipe.model.attn_implementation, recipe.prompt_suffix),
            hooks=Hooks(
                partial(_tell, bar, section.steps, verify),
                as_written=Marking(marks(folder)),
            ),
            composition=recipe.rewards,
            held_out=_held_out(context),
            engine=engine,
        )
    tokens = {name: getattr(result, f"tokens_{name}") for name in ("trained", "generated", "dropped")}
    barren = nothing_learned(read_jsonl(folder / "metrics.jsonl"))
    lost = rolled_back(folder)
    return with_judge(
        context,
        StageResult(
            outputs={
                "policy": result.policy,
                "rollouts": folder / "rollouts.jsonl",
                "metrics": folder / "metrics.jsonl",
            },
            tokens=tokens,
            metrics={"steps": result.steps, "packing": result.packing, "prompts_left_out": result.prompts_left_out}
            | lost,
            summary=f"{result.steps} steps, {tokens['trained']:,} of {tokens['generated']:,} tokens trained"
            + (f"; {lost['steps_rolled_back']} more steps were rolled back" if lost else "")
            + (f"; {barren}" if barren else ""),
        ),
    )


def _draws_here(section: RlStage) -> bool:
    """Return whether a stage draws through vLLM in this process alone, and may go on with the run's engine."""
    return starts_engine(section.trl) and not starts_server(section.trl) and world_size() == 1


def _held_out(context: Context) -> Any:
    """Return the problems that the guard measures by, and how their measurements are compared; None without any."""
    from ringlite_cli.evals.metrics import paired_difference
    from ringlite_cli.train.rl.held_out import HeldOutSet

    guard = context.section.guard
    if guard is None or guard.held_out is None:
        return None
    problems = context.problems(guard.held_out.data)
    require_games(problems)
    return HeldOutSet(problems, lambda before, after, level: paired_difference(before, after, level=level))


def _tell(bar: Progress, steps: int, verify: Verify, row: Mapping[str, Any]) -> None:
    spent = getattr(verify, "judge_words", "")
    said = f"reward {row['reward']:.3f}" + (f", {spent}" if spent else "")
    bar.update(row["step"], steps, said, share=row["step"] / steps)


def nothing_learned(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return why a run's steps could teach nothing, where that holds for all of them; else ""."""
    from ringlite_cli.runs.signal import facts_of, in_words

    facts = [found for row in rows if (found := facts_of(row)) is not None]
    return in_words(facts) if rows and len(facts) == len(rows) else ""


def rolled_back(folder: Path) -> dict[str, int]:
    """Return what the guard took back: steps, and the tokens that they trained; nothing where it took back none."""
    rows = read_jsonl(folder / "rolled_back.jsonl")
    trained = sum(int(row.get("tokens_trained") or 0) for row in rows)
    return {"steps_rolled_back": len(rows), "tokens_rolled_back": trained} if rows else {}


def chosen(problems: Sequence[Problem], section: RlStage) -> list[Problem]:
    """The problems that the section's `where` lets through. Raises UserError where there are none."""
    found = [problem for problem in problems if matches(problem, section.where)]
    if not found:
        raise UserError("no problem fits", where="where", hint=labels_there(problems))
    return found


def _refuse_shared_process(problems: Sequence[Problem]) -> None:
    """Raise UserError where tests would share a process with a program: such tests can be passed unsolved."""
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


def _preflight() -> tuple[Check, ...]:
    from ringlite_cli.stages.preflight.attention import attention_is_installed
    from ringlite_cli.stages.preflight.composing import weights_meet_the_rows
    from ringlite_cli.stages.preflight.data import mix_is_in_the_set
    from ringlite_cli.stages.preflight.engine import rollouts_can_be_drawn
    from ringlite_cli.stages.preflight.lora import lora_fits
    from ringlite_cli.stages.preflight.room import gpus_are_alike, room_is_enough
    from ringlite_cli.stages.preflight.sampling import responses_have_room
    from ringlite_cli.stages.preflight.trl_config import rl_config_is_accepted
    from ringlite_cli.stages.preflight.verifying import held_out_can_be_scored, set_can_be_verified

    return (
        mix_is_in_the_set,
        rollouts_can_be_drawn,
        rl_config_is_accepted,
        attention_is_installed,
        responses_have_room,
        lora_fits,
        set_can_be_verified,
        weights_meet_the_rows,
        held_out_can_be_scored,
        gpus_are_alike,
        room_is_enough,
    )


STAGE = StageKind(
    kind="rl",
    summary="C3PO reinforcement learning",
    section=RlStage,
    artifacts={
        "policy": "the trained policy, HF folder",
        "rollouts": "every rollout with its verdict and the tokens kept",
        "metrics": "a row per optimizer step",
    },
    code=(
        *("problems.py", "repetition.py", "config_numbers.py", "chat", "models"),
        *("c3po", "memory", "train", "rewards", "sandbox"),
        "stages/kinds/rl.py",
    ),
    uses=("model", "prompt_suffix", "rewards"),
    run=run,
    faults=faults,
    preflight=_preflight,
    step_of=lambda folder: last_step(folder / "checkpoints"),
    steps_of=lambda section, folder: section.steps,
    ranks_of=lambda folder: last_ranks(folder / "checkpoints"),
    note_of=rate_note,
    goes_on_with_engine=_draws_here,
)
