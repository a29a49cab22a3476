"""rl: C3PO reinforcement learning from a policy, on one set of problems, rewarded by the verifiers."""

from collections.abc import Sequence
from typing import Any

from ringlite_cli.errors import UserError
from ringlite_cli.problems import Problem
from ringlite_cli.recipe.schema import Recipe, RlStage, VllmServer
from ringlite_cli.recipe.tracking import tracker_faults
from ringlite_cli.stages.base import Context, StageKind, StageResult
from ringlite_cli.stages.calls import call_ranks
from ringlite_cli.stages.parts.tracking import tracked


def run(context: Context) -> StageResult:
    from ringlite_cli.rewards.gym import require_scorers
    from ringlite_cli.train.rl.run import run_rl

    section: RlStage = context.section
    recipe, folder, problems = context.recipe, context.folder, context.problems(context.section.data)
    require_scorers(problems)
    _refuse_shared_process(problems)
    call_ranks(context.run, context.name)
    with context.verifiers() as verify, context.console.progress(context.name, 1) as bar, tracked(context) as trl:
        result = run_rl(
            context.policy(section.policy),
            problems,
            verify,
            folder,
            steps=section.trl["max_steps"],
            trl={name: value for name, value in trl.items() if name != "max_steps"},
            **c3po_arguments(section),
            guard=section.guard,
            vllm_server=section.vllm_server,
            prompt_suffix=recipe.prompt_suffix,
            seed=recipe.seed,
            dtype=recipe.model.dtype,
            attn_implementation=recipe.model.attn_implementation,
            on_step=lambda row: bar.update(row["step"], section.trl["max_steps"], f"reward {row['reward']:.3f}"),
        )
    tokens = {name: getattr(result, f"tokens_{name}") for name in ("trained", "generated", "dropped")}
    return StageResult(
        outputs={"policy": result.policy, "rollouts": folder / "rollouts.jsonl", "metrics": folder / "metrics.jsonl"},
        tokens=tokens,
        metrics={"steps": result.steps},
        summary=f"{result.steps} steps, {tokens['trained']:,} of {tokens['generated']:,} tokens trained",
    )


def _refuse_shared_process(problems: Sequence[Problem]) -> None:
    """Raises UserError where tests would share a process with a program: such tests can be passed unsolved."""
    from ringlite_cli.sandbox.unit_mode import shares_process

    unsound = [problem.id for problem in problems if shares_process(problem.tests)]
    if unsound:
        raise UserError(
            f"{len(unsound)} problems, as {unsound[0]!r}, have C++ or Java tests of mode unit, which can be forged",
            where="data",
            hint="give their tests as cases of mode function or stdin, or leave them out; eval takes them",
        )


def c3po_arguments(section: RlStage) -> dict[str, Any]:
    """The section's own keys, as the trainer takes them."""
    return section.model_dump(exclude={"kind", "policy", "data", "trl", "guard", "vllm_server"})


def faults(recipe: Recipe, name: str) -> list[str]:
    """Batch numbers that cannot work together, found without a model."""
    from ringlite_cli.c3po.memory import CPU_ROW_TOKENS
    from ringlite_cli.c3po.plan import resolve_batch
    from ringlite_cli.c3po.schedule import BudgetSchedule
    from ringlite_cli.train.engine.own_server import is_own

    section = recipe.stages[name]
    assert isinstance(section, RlStage)
    trl = section.trl
    if not trl.get("max_steps", 0) > 0:
        return ["trl: max_steps, the number of optimizer steps, is missing"]
    if found := tracker_faults(trl):
        return found
    if section.vllm_server != VllmServer() and not is_own(trl):
        return ["vllm_server: the run starts one with trl.vllm_mode: server and no address of another; set that"]
    longest = trl.get("max_completion_length", 256)
    try:
        BudgetSchedule(section.token_budget, section.budget_schedule, section.token_budget_end, section.budget_steps)
        resolve_batch(
            section.prompts_per_step,
            trl.get("num_generations", 8),
            max(section.token_budget, section.token_budget_end or 0),
            section.row_tokens or max(CPU_ROW_TOKENS, longest),
            0,
            scope=section.token_budget_scope,
            max_response_tokens=longest,
            selects=section.algorithm == "c3po",
        )
    except UserError as error:
        return [str(error)]
    return []


STAGE = StageKind(
    kind="rl",
    summary="C3PO reinforcement learning",
    section=RlStage,
    artifacts={
        "policy": "the trained policy, HF folder",
        "rollouts": "every rollout with its verdict and the tokens kept",
        "metrics": "a row per optimizer step",
    },
    code=("problems.py", "models", "c3po", "train", "rewards", "sandbox", "stages/kinds/rl.py"),
    uses=("model", "prompt_suffix", "rewards"),
    run=run,
    faults=faults,
)
