"""What a training stage takes of each GPU's memory, foreseen from the recipe alone."""

from dataclasses import dataclass, replace
from math import ceil
from pathlib import Path

from ringlite_cli.errors import UserError
from ringlite_cli.memory.asked import beside_of, has_fused_kernels, optimizer_name, scores_kept
from ringlite_cli.memory.drawing import Drawn, drawn_of
from ringlite_cli.memory.fit import Beside, Fit
from ringlite_cli.memory.held import Shape, Training, update_parts
from ringlite_cli.memory.layout import RowLayout, choose_layout
from ringlite_cli.memory.rows import scoring_bytes
from ringlite_cli.memory.shapes import shape_of
from ringlite_cli.recipe.batch_plan import MEAN_PROMPT_TOKENS
from ringlite_cli.recipe.graph import parents
from ringlite_cli.recipe.rollouts import piece_of
from ringlite_cli.recipe.schema import Model, Recipe, RewardModelStage, RlStage, SftStage
from ringlite_cli.recipe.scoring import asks_reward_model, trained_scorer


@dataclass(frozen=True, slots=True)
class Machine:
    """GPUs of `memory` bytes each.

    sharded: they share weights, gradients and optimizer (FSDP2). offload: these lie in the host's memory. reshard:
    weights are given up behind each layer's pass. free: bytes of a GPU that nothing else has taken; None is all.
    scorer: those that a reward model takes of each.
    """

    gpus: int
    memory: int
    sharded: bool = True
    offload: bool = False
    reshard: bool = True
    free: int | None = None
    scorer: int = 0

    def shares(self, section: SftStage | RewardModelStage | RlStage) -> bool:
        """Return whether the GPUs share what a stage holds: a reward model is trained whole on each."""
        return self.sharded and not isinstance(section, RewardModelStage)


def shape_for(model: Model, section: SftStage | RewardModelStage | RlStage) -> Shape | None:
    """Return the shape of a stage's model, with its adapter; None where no config is at hand or peft refuses it."""
    from ringlite_cli.models.lora_targets import lora_config, with_adapter
    from ringlite_cli.models.sizes import network_without_weights

    lora = section.lora if isinstance(section, RlStage) else None
    try:
        network = network_without_weights(model)
        if lora and network:
            network = with_adapter(network, lora_config(lora.model_dump()))
    except Exception:  # transformers and peft refuse with many kinds; other checks say why
        return None
    return shape_of(network) if network is not None else None


def training_of(
    model: Model, section: SftStage | RewardModelStage | RlStage, shape: Shape, machine: Machine
) -> Training:
    """Return how a stage trains on a machine; the length of its rows is yet to be chosen."""
    rl, shares = isinstance(section, RlStage), machine.shares(section)
    return Training(
        bf16=model.dtype == "bfloat16",
        reference=rl and bool(section.trl.get("beta")),
        optimizer=optimizer_name(section.trl),
        checkpointing=bool(section.trl.get("gradient_checkpointing", not rl)),
        shards=machine.gpus if shares else 1,
        offload=machine.offload and shares and machine.gpus > 1,
        reshard=machine.reshard,
        fused=rl and section.trl.get("use_liger_kernel") is not False and has_fused_kernels(shape.config),
        scorer=machine.scorer,
        scores=scores_kept(shape.config, model.attn_implementation, longest_sample(section)),
    )


def foreseen(
    model: Model, section: SftStage | RewardModelStage | RlStage, shape: Shape, machine: Machine
) -> tuple[RowLayout, Fit]:
    """Return the rows of a stage, and what each GPU of a machine takes for it.

    A step of few tokens has shorter rows than a GPU holds.
    """
    how, longest = training_of(model, section, shape, machine), longest_sample(section)
    beside: Beside | None = None
    drawn: Drawn | None = None
    row_tokens: int | None = longest
    checkpointing: bool | None = how.checkpointing
    if isinstance(section, RlStage):
        responses = max(1, section.responses(section.num_generations, machine.gpus))
        beside = beside_of(section.trl, shape, responses=responses, length=longest, bf16=how.bf16)
        if section.rollout_func is None:
            piece = piece_of(section.max_completion_length) if section.rollouts.mode == "carry" else 0
            drawn = drawn_of(section.trl, shape, how, responses=responses, length=longest, piece=piece)
        row_tokens, checkpointing = section.row_tokens, section.trl.get("gradient_checkpointing")
    layout, fit = choose_layout(
        shape,
        how,
        longest,
        machine.free or machine.memory,
        beside,
        total=machine.memory,
        row_tokens=row_tokens,
        checkpointing=checkpointing,
    )
    if isinstance(section, RlStage):
        layout = replace(layout, row_tokens=_filled(section, layout.row_tokens, machine.gpus))
    how = replace(how, row_tokens=layout.row_tokens, checkpointing=layout.gradient_checkpointing)
    return layout, replace(fit, update=update_parts(shape, how), drawn=drawn)


def scorer_bytes(recipe: Recipe, name: str) -> int:
    """Return what a reward model takes of a GPU beside an RL stage, by the recipe; 0 for none, or one not known yet.

    It is held whole on the GPU of each rank, with a batch of one response of full length at the least.
    """
    from ringlite_cli.models.reward_model import reward_model_size
    from ringlite_cli.models.sizes import network_without_weights

    section, rewards = recipe.stages[name], recipe.rewards
    if not isinstance(section, RlStage) or not rewards.reward_model or rewards.reward_model_device == "cpu":
        return 0
    trained = trained_scorer(recipe)
    if not (trained in parents(recipe, name) if trained else asks_reward_model(recipe, name)):
        return 0
    try:
        if trained is None:
            size, config, width = reward_model_size(str(Path(rewards.reward_model).expanduser()))
        else:
            network = network_without_weights(recipe.model)
            width = 2 if recipe.model.dtype == "bfloat16" else 4
            size, config = (width * int(network.num_parameters()), network.config) if network is not None else (0, None)
    except Exception:  # transformers refuses with many kinds; other checks say why
        return 0
    return size + scoring_bytes(config.get_text_config(), width) * longest_sample(section) if config is not None else 0


def _filled(section: RlStage, row_tokens: int, gpus: int) -> int:
    """The mean length of rows that are aimed at `row_tokens`, as the tokens of a step fill them."""
    try:
        return section.batch_plan(
            world_size=gpus, mean_prompt_tokens=MEAN_PROMPT_TOKENS, row_tokens=row_tokens
        ).row_tokens_mean
    except UserError:
        return row_tokens


def longest_sample(section: SftStage | RewardModelStage | RlStage) -> int:
    """Return the tokens of the longest sample that is trained, of a batch of packed rows in SFT."""
    if isinstance(section, RlStage):
        return section.max_completion_length + MEAN_PROMPT_TOKENS
    rows = section.trl_value("per_device_train_batch_size") * (2 if isinstance(section, RewardModelStage) else 1)
    return ceil(rows * (section.trl.get("max_length") or section.trl_value("max_length") or 0))
