"""GRPOConfig with C3PO's few keys, and with the TRL defaults that contradict Eq. 2 set right."""

from dataclasses import dataclass, field
from typing import Any, Literal

from trl import GRPOConfig

from ringlite_cli.c3po.budget import Cut
from ringlite_cli.c3po.loss import Algorithm
from ringlite_cli.c3po.plan import Scope
from ringlite_cli.c3po.schedule import BudgetSchedule, Kind
from ringlite_cli.errors import UserError

_FIXED: dict[str, tuple[Any, str]] = {
    "loss_type": ("dapo", "name the loss by `algorithm`: c3po, grpo, dapo or dr_grpo"),
    "num_iterations": (1, "use updates_per_rollout for several updates per rollout"),
    "importance_sampling_level": ("token", "Eq. 2 has a ratio per token"),
    "use_bias_correction_kl": (False, "Eq. 2 has the plain k3 estimate"),
    "vllm_importance_sampling_correction": (False, "use importance_cap, which corrects the selected tokens alone"),
    "router_aux_loss_coef": (0.0, "use router_balance_coef and router_z_loss_coef (Eq. 5)"),
    "top_entropy_quantile": (1.0, "every selected token is trained"),
    "use_adaptive_entropy": (False, "the entropy coefficient is constant"),
    "off_policy_mask_threshold": (None, "Eq. 2 masks no sequence"),
    "delta": (None, "Eq. 2 clips on one side of each advantage"),
}
"""TRL fields that C3PO's loss would not obey, with the only value they may have, and why."""


@dataclass
class C3POConfig(GRPOConfig):
    """GRPOConfig plus the token budget, packing and router coefficients.

    `per_device_train_batch_size`, `gradient_accumulation_steps` (rows of a rank and step) and `steps_per_generation`
    come from `c3po.plan.resolve_batch`. Raises UserError for TRL fields that the C3PO loss would ignore.
    """

    token_budget: int = field(default=0, metadata={"help": "Phi: response tokens an optimizer step trains (Eq. 2)."})
    token_budget_scope: Scope = field(
        default="global",
        metadata={"help": "Whether token_budget is of all ranks together ('global') or of each ('rank')."},
    )
    algorithm: Algorithm = field(
        default="c3po",
        metadata={"help": "'c3po', or 'grpo', 'dapo', 'dr_grpo': every response, and that loss's own divisor."},
    )
    importance_cap: float | None = field(
        default=None, metadata={"help": "Truncated importance correction of the engine's log-probs, at most this."}
    )
    freeze_router: bool = field(default=False, metadata={"help": "Leave the router's weights as they are."})
    budget_schedule: Kind = field(default="constant", metadata={"help": "'constant', 'linear' or 'adaptive'."})
    token_budget_end: int | None = field(default=None, metadata={"help": "The largest budget of the schedule."})
    budget_steps: int = field(default=0, metadata={"help": "Steps over which a linear budget grows."})
    budget_dead_band: float = field(
        default=0.1, metadata={"help": "Relative change below which an adaptive budget stays."}
    )
    undershoot: Literal["accept", "refill"] = field(
        default="accept", metadata={"help": "'refill' asks further prompts where responses do not fill the budget."}
    )
    refill_rounds: int = field(default=2, metadata={"help": "At most so many further rollouts per step."})
    cut: Cut = field(
        default="exact",
        metadata={"help": "'exact' truncates the last response at the budget (Figure 3), 'whole' keeps it (Eq. 3)."},
    )
    drop_uninformative: bool = field(
        default=False, metadata={"help": "Leave groups whose rewards are all equal out of the selection."}
    )
    updates_per_rollout: int = field(
        default=1, metadata={"help": "Optimizer steps per rollout; each trains its own, disjoint selection."}
    )
    router_balance_coef: float = field(default=0.0, metadata={"help": "alpha_balance of Eq. 6."})
    router_z_loss_coef: float = field(default=0.0, metadata={"help": "alpha_z of Eq. 6."})

    # TRL's defaults that would change the objective without a word
    use_bias_correction_kl: bool = field(default=False, metadata={"help": "Must stay False: Eq. 2 has the plain k3."})
    vllm_importance_sampling_correction: bool = field(default=False, metadata={"help": "Must stay False."})
    router_aux_loss_coef: float | None = field(default=0.0, metadata={"help": "Must stay 0: see router_balance_coef."})
    disable_dropout: bool = field(default=True, metadata={"help": "Dropout makes the policy differ from itself."})
    # A row of metrics per optimizer step, and no loss hidden because it is NaN
    logging_steps: float = field(default=1, metadata={"help": "Log every X updates steps."})
    logging_nan_inf_filter: bool = field(default=False, metadata={"help": "Filter nan and inf losses for logging."})

    steps_per_generation: int | None = field(
        default=None, metadata={"help": "Rows of a rollout: gradient_accumulation_steps x updates_per_rollout."}
    )

    def __post_init__(self) -> None:
        self._check_choices()
        if self.steps_per_generation is None and self.generation_batch_size is None:
            self.steps_per_generation = self.gradient_accumulation_steps * self.updates_per_rollout
        super().__post_init__()
        self._check_fixed()

    @property
    def budget_step(self) -> int:
        """Tokens that all ranks train together in one optimizer step."""
        return self.token_budget * (self.world_size if self.token_budget_scope == "rank" else 1)

    @property
    def schedule(self) -> BudgetSchedule:
        """How the budget moves. Raises UserError for numbers that cannot work."""
        return BudgetSchedule(
            self.token_budget, self.budget_schedule, self.token_budget_end, self.budget_steps, self.budget_dead_band
        )

    def _check_choices(self) -> None:
        if self.token_budget <= 0:
            raise UserError(f"must be a positive number, not {self.token_budget}", where="token_budget")
        if self.updates_per_rollout < 1:
            raise UserError(f"must be 1 or more, not {self.updates_per_rollout}", where="updates_per_rollout")
        for name, choices in (("token_budget_scope", ("global", "rank")), ("cut", ("exact", "whole"))):
            if getattr(self, name) not in choices:
                raise UserError(f"{getattr(self, name)!r} is neither {choices[0]!r} nor {choices[1]!r}", where=name)
        if self.algorithm not in ("c3po", "grpo", "dapo", "dr_grpo"):
            raise UserError(f"{self.algorithm!r} is not c3po, grpo, dapo or dr_grpo", where="algorithm")
        if self.algorithm != "c3po" and (self.undershoot == "refill" or self.budget_schedule != "constant"):
            raise UserError(
                f"{self.algorithm} trains every response and has no budget to fill or to move",
                where="undershoot, budget_schedule",
                hint="use algorithm: c3po, or leave both out",
            )
        if self.importance_cap is not None and self.importance_cap <= 0:
            raise UserError(f"must be a positive number, not {self.importance_cap}", where="importance_cap")
        if self.undershoot not in ("accept", "refill"):
            raise UserError(f"{self.undershoot!r} is neither 'accept' nor 'refill'", where="undershoot")
        if self.refill_rounds < 1:
            raise UserError(f"must be 1 or more, not {self.refill_rounds}", where="refill_rounds")
        assert self.schedule.start
        for name in ("router_balance_coef", "router_z_loss_coef"):
            if getattr(self, name) < 0:
                raise UserError(f"must not be negative, not {getattr(self, name)}", where=name)

    def _check_fixed(self) -> None:
        for name, (value, reason) in _FIXED.items():
            if getattr(self, name) != value:
                raise UserError(f"C3PO needs {name}={value!r}, not {getattr(self, name)!r}", where=name, hint=reason)
        if self.steps_per_generation != self.gradient_accumulation_steps * self.updates_per_rollout:
            raise UserError(
                f"{self.steps_per_generation} is not gradient_accumulation_steps x updates_per_rollout "
                f"({self.gradient_accumulation_steps} x {self.updates_per_rollout})",
                where="steps_per_generation",
                hint="leave it out, or take the three batch fields from c3po.plan.resolve_batch",
            )
