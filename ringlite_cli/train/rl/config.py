"""GRPOConfig with C3PO's few keys, and with the TRL defaults that contradict Eq. 2 set right.

The fields here are those of `recipe.c3po.C3POSettings`, written out so that editors and type checkers see them (by
`python -m ringlite_cli.recipe.config_fields`). Ranges, descriptions and rules between keys are the settings'.
"""

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

from trl import GRPOConfig

from ringlite_cli.errors import RecipeErrors
from ringlite_cli.recipe.algorithms import facts
from ringlite_cli.recipe.batch_plan import BatchPlan
from ringlite_cli.recipe.budget_schedule import BudgetSchedule
from ringlite_cli.recipe.c3po import C3POSettings
from ringlite_cli.recipe.mismatch import Mismatch
from ringlite_cli.recipe.rollouts import Overlong, Rollouts, engine_faults
from ringlite_cli.recipe.section import Section
from ringlite_cli.recipe.trl_batching import batching_fault
from ringlite_cli.recipe.trl_rules import fixed_faults
from ringlite_cli.runs.ranks import world_size
from ringlite_cli.train.devices import on_one_gpu

_DEFAULTS = C3POSettings()


@dataclass
class C3POConfig(GRPOConfig):
    """GRPOConfig plus the prompts of a step, the token budget, packing and router coefficients.

    The trainer derives TRL's three batch fields from prompts_per_step, token_budget and row_tokens; where
    `per_device_train_batch_size` and `gradient_accumulation_steps` are both given, they decide the rows of a rank and
    step instead. On a machine without a GPU it trains on the CPU, in float32.

    Raises RecipeErrors (a UserError) with every fault: a value out of its range, keys that cannot work together, a
    budget that responses can never fill, TRL fields that the C3PO loss would ignore.
    """

    if TYPE_CHECKING:  # None in TRL's declaration; refused here
        num_generations: int = 8
        max_completion_length: int = 512

    # begin of C3POSettings' fields (made)
    prompts_per_step: int = 512
    token_budget: int = 409_600
    token_budget_scope: Literal["rank", "global"] = "rank"
    cut: Literal["exact", "whole"] = "exact"
    updates_per_rollout: int = 1
    row_tokens: int | None = None
    algorithm: str = "c3po"
    packing: Literal["auto", "none"] = "auto"
    budget_schedule: Literal["constant", "linear", "adaptive"] = "constant"
    token_budget_end: int | None = None
    budget_steps: int = 0
    budget_dead_band: float = 0.1
    undershoot: Literal["accept", "refill"] = "accept"
    refill_rounds: int = 2
    mismatch: Mismatch = _DEFAULTS.mismatch
    rollouts: Rollouts = _DEFAULTS.rollouts
    overlong: Overlong = _DEFAULTS.overlong
    freeze_router: bool = False
    drop_uninformative: bool = False
    router_balance_coef: float = 0.0
    router_z_loss_coef: float = 0.0
    router_bias_rate: float = 0.0
    # end of C3POSettings' fields

    # TRL's defaults that would change the objective without a word
    use_bias_correction_kl: bool = field(default=False, metadata={"help": "Must stay False: Eq. 2 has the plain k3."})
    vllm_importance_sampling_correction: bool = field(default=False, metadata={"help": "Must stay False."})
    router_aux_loss_coef: float | None = field(default=0.0, metadata={"help": "Must stay 0: see router_balance_coef."})
    disable_dropout: bool = field(default=True, metadata={"help": "Dropout makes the policy differ from itself."})
    # A row of metrics per optimizer step, and no loss hidden because it is NaN
    logging_steps: float = field(default=1, metadata={"help": "Log every X updates steps."})
    logging_nan_inf_filter: bool = field(default=False, metadata={"help": "Filter nan and inf losses for logging."})

    per_device_train_batch_size: int = field(
        default=0, metadata={"help": "Responses of a micro-batch and rank; 0: follows from prompts_per_step."}
    )
    gradient_accumulation_steps: int = field(
        default=0, metadata={"help": "Packed rows of a rank and step; 0: follows from token_budget and row_tokens."}
    )
    steps_per_generation: int = field(
        default=0, metadata={"help": "Rows of a rollout; 0: gradient_accumulation_steps x updates_per_rollout."}
    )

    bf16: bool | None = field(default=None, metadata={"help": "Compute in bfloat16; by default on a GPU only."})

    def __post_init__(self) -> None:
        settings = self.settings
        self.mismatch, self.rollouts, self.overlong = settings.mismatch, settings.rollouts, settings.overlong
        ranks = world_size()
        found = settings.c3po_faults(self.num_generations, self.max_completion_length, world_size=ranks)
        given = bool(self.per_device_train_batch_size), bool(self.gradient_accumulation_steps)
        if any(given) and not all(given):
            found.append("gradient_accumulation_steps: give it together with per_device_train_batch_size, or neither")
        if self.generation_batch_size is not None:
            found.append("generation_batch_size: it follows from prompts_per_step; leave it out")
        if found:
            raise RecipeErrors(found)
        self.rows_are_given = all(given)
        if not self.rows_are_given:  # one row until the trainer knows its prompts: the rollout is as large
            self.per_device_train_batch_size = self.prompts_per_step * self.num_generations // ranks
            self.gradient_accumulation_steps = 1
        if not self.steps_per_generation:
            self.steps_per_generation = self.gradient_accumulation_steps * self.updates_per_rollout
        self._take_algorithm_defaults()
        self._choose_device()
        super().__post_init__()
        on_one_gpu(self)
        self._check_finished()

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as TRL's trackers take them; sections as mappings."""
        found: dict[str, Any] = super().to_dict()
        return {name: value.model_dump() if isinstance(value, Section) else value for name, value in found.items()}

    def _take_algorithm_defaults(self) -> None:
        """Fill TRL fields that are None with what the algorithm wants there, such as epsilon_high."""
        for name, value in facts(self.algorithm).trl_defaults.items():
            if getattr(self, name) is None:
                setattr(self, name, value)

    def _choose_device(self) -> None:
        """Train on the CPU in float32 where there is no accelerator; TRL would ask for bfloat16 on one."""
        import torch

        if not torch.accelerator.is_available():
            self.use_cpu = True
            self.bf16 = bool(self.bf16)  # None is TRL's default, and stands for bfloat16

    def take_rows(self, plan: BatchPlan) -> None:
        """Set the three batch fields that a batch plan gives. The size of a rollout stays as it is."""
        for name, value in plan.trl_fields.items():
            setattr(self, name, value)
        self.rows_are_given = True

    @property
    def settings(self) -> C3POSettings:
        """Return C3PO's own fields. Raises RecipeErrors for values out of their range."""
        return C3POSettings.made(**{name: getattr(self, name) for name in C3POSettings.model_fields})

    @property
    def carries(self) -> bool:
        """Whether unfinished responses are carried into the next step."""
        return self.settings.carries

    @property
    def budget_step(self) -> int:
        """Return the tokens that all ranks train together in one optimizer step."""
        return self.token_budget * (self.world_size if self.token_budget_scope == "rank" else 1)

    @property
    def schedule(self) -> BudgetSchedule:
        """Return how the budget moves. Raises UserError for numbers that cannot work."""
        return self.settings.schedule

    def _check_finished(self) -> None:
        """Raise RecipeErrors for fields that C3PO would not obey, once TRL has filled in its own."""
        found = fixed_faults("GRPOConfig", {name: getattr(self, name) for name in self.__dataclass_fields__})
        found += filter(None, [batching_fault("accelerator_config", self.accelerator_config)])
        found += engine_faults(self.rollouts, vars(self), own_engine=True)  # which the trainer is given, not its config
        if self.steps_per_generation != self.gradient_accumulation_steps * self.updates_per_rollout:
            found.append(
                f"steps_per_generation: {self.steps_per_generation} is not gradient_accumulation_steps x "
                f"updates_per_rollout ({self.gradient_accumulation_steps} x {self.updates_per_rollout}); leave it out"
            )
        responses = self.per_device_train_batch_size * self.gradient_accumulation_steps * self.world_size
        if responses != self.prompts_per_step * self.num_generations:
            found.append(
                f"per_device_train_batch_size: {responses} responses of a step (with gradient_accumulation_steps and "
                f"{self.world_size} ranks) are not prompts_per_step x num_generations ({self.prompts_per_step} x "
                f"{self.num_generations}); leave both batch fields out"
            )
        if found:
            raise RecipeErrors(found)


for _name, _key in C3POSettings.model_fields.items():
    C3POConfig.__dataclass_fields__[_name].metadata = MappingProxyType({"help": _key.description})
