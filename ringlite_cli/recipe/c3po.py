"""The keys of C3PO's loss and batch: each once, with its range, description and the rules between keys. No torch.

The library's `C3POConfig` has the same fields. What an RL stage needs besides (prompts, engine, guard, TRL's fields) is
in rl_settings.py. A new key is added here and where it is used.
"""

from collections.abc import Iterator
from math import ceil
from typing import Any, Literal

from pydantic import model_validator

from ringlite_cli.errors import UserError
from ringlite_cli.recipe.algorithms import AlgorithmName, algorithms, facts
from ringlite_cli.recipe.batch_plan import CPU_ROW_TOKENS, BatchPlan, Scope, resolve_batch
from ringlite_cli.recipe.budget_schedule import BudgetSchedule, Kind
from ringlite_cli.recipe.key_classes import objective, tunable
from ringlite_cli.recipe.mismatch import Mismatch
from ringlite_cli.recipe.old_keys import with_new_names
from ringlite_cli.recipe.rollouts import Overlong, Rollouts
from ringlite_cli.recipe.section import Positive, Section

Cut = Literal["exact", "whole"]
Packing = Literal["auto", "none"]
MOST_RESPONSES = 1_000_000
"""Responses under way at a time; more is a slip of the pen, and would fill the host's memory with prompts."""
PACKING = "auto: samples share rows where that is proven to change nothing; none: they are run apart, which is slower"


class C3POSettings(Section):
    """The keys of the loss, of the token budget and of the batch."""

    prompts_per_step: Positive = objective(512, description="L: prompts of one optimizer step (§4.1)")
    token_budget: Positive = tunable(409_600, description="Phi: response tokens that one optimizer step trains (Eq. 2)")
    token_budget_scope: Scope = objective(
        "rank", description="whether token_budget is of each rank, or of all together"
    )
    cut: Cut = tunable(
        "exact", description="exact: the last response is cut at the budget (Figure 3); whole: it is kept (Eq. 3)"
    )
    updates_per_rollout: Positive = objective(
        1, description="disjoint selections, one optimizer step each, per rollout"
    )
    row_tokens: Positive | None = tunable(None, description="length of a packed row; default: what the device holds")
    algorithm: AlgorithmName = objective(
        "c3po",
        description=f"the loss and its divisor: {', '.join(algorithms())}, or module:object; all of these but c3po "
        "train every response",
    )
    packing: Packing = tunable("auto", description=PACKING)
    budget_schedule: Kind = tunable("constant", description="how the budget moves over the run")
    token_budget_end: Positive | None = tunable(None, description="the largest budget of a linear or adaptive schedule")
    budget_steps: int = tunable(0, ge=0, description="steps over which a linear budget grows")
    budget_dead_band: float = tunable(0.1, ge=0, lt=1, description="relative change that adaptive leaves alone")
    undershoot: Literal["accept", "refill"] = tunable(
        "accept", description="what is done where responses do not fill a budget; refill asks further prompts"
    )
    refill_rounds: Positive = tunable(2, description="further rollouts that a step may take to fill its budget")
    mismatch: Mismatch = tunable(
        Mismatch(), description="what is done where engine and trainer find tokens differently likely"
    )
    rollouts: Rollouts = objective(
        Rollouts(), description="when a rollout ends, and what becomes of unfinished responses"
    )
    overlong: Overlong = tunable(Overlong(), description="what is done about responses that are too long")
    freeze_router: bool = objective(False, description="leave the router's weights as they are")
    drop_uninformative: bool = tunable(False, description="leave groups with equal rewards out of the selection")
    router_balance_coef: float = tunable(0.0, ge=0, description="alpha_balance (Eq. 6)")
    router_z_loss_coef: float = tunable(0.0, ge=0, description="alpha_z (Eq. 6)")
    router_bias_rate: float = tunable(
        0.0, ge=0, description="by how much a step moves a router's bias towards an even load; 0: it is held fixed"
    )

    @model_validator(mode="before")
    @classmethod
    def _old_keys(cls, keys: Any) -> Any:
        return with_new_names(keys)

    @property
    def carries(self) -> bool:
        """Return whether unfinished responses are carried into the next step."""
        return self.rollouts.mode == "carry"

    @property
    def pools(self) -> bool:
        """Return whether steps are made of a pool of responses: carried over, or drawn ahead."""
        return self.carries or bool(self.rollouts.ahead)

    @property
    def mismatch_rule(self) -> str:
        """The remedy's name: as given, else IcePop where tokens of older policies are trained, else none."""
        return self.mismatch.rule or ("icepop" if self.pools else "none")

    def in_flight(self, num_generations: int) -> int:
        """Return how many responses are under way at a time where they are carried over."""
        return self.rollouts.in_flight or self.prompts_per_step * num_generations

    def steps_to_end(self, num_generations: int, longest: int, world_size: int = 1) -> int:
        """Return how often a response of `longest` tokens is carried over where a rollout writes what it trains.

        All responses in flight grow alike. Without a budget that is what the groups of a rollout have, whose responses
        are taken as an eighth of the longest.
        """
        tokens = self.token_budget * self.updates_per_rollout * (world_size if self.token_budget_scope == "rank" else 1)
        if not self.selects:
            tokens = max(1, self.prompts_per_step * self.updates_per_rollout * num_generations * longest // 8)
        return max(0, ceil(longest * self.in_flight(num_generations) / tokens) - 1)

    def max_retention(self, num_generations: int, longest: int, world_size: int = 1) -> int:
        """Return how often a group may be carried over."""
        return self.rollouts.max_retention or max(4, self.steps_to_end(num_generations, longest, world_size) + 1)

    @property
    def selects(self) -> bool:
        """Return whether responses are selected for a token budget; the other algorithms train all of them."""
        return facts(self.algorithm).has_budget

    @property
    def schedule(self) -> BudgetSchedule:
        """Return how the budget moves. Raises UserError for numbers that cannot work."""
        return BudgetSchedule(
            self.token_budget, self.budget_schedule, self.token_budget_end, self.budget_steps, self.budget_dead_band
        )

    def responses(self, num_generations: int, world_size: int = 1) -> int:
        """Return the responses that a rank draws at a time."""
        if self.carries:
            return max(1, self.in_flight(num_generations) // world_size)
        return self.prompts_per_step * num_generations * self.updates_per_rollout // world_size

    def in_flight_fault(self, num_generations: int, world_size: int = 1) -> str:
        """Return why so many processes cannot share out the responses in flight; "" where they can."""
        responses, group = self.responses(num_generations, world_size), num_generations
        if responses >= group:
            return ""
        on = f" on each of {world_size} processes" if world_size > 1 else ""
        return (
            f"rollouts.in_flight: {responses} responses{on} are less than a group of {group}, and only whole groups "
            f"train; raise it to {group * world_size} at least"
        )

    def row_length(self, max_completion_length: int, mean_prompt_tokens: float = 0.0) -> int:
        """Return the length of a packed row in tokens, as it is on a CPU where row_tokens is not given."""
        return self.row_tokens or max(CPU_ROW_TOKENS, max_completion_length + ceil(mean_prompt_tokens))

    def batch(
        self,
        num_generations: int,
        max_completion_length: int,
        *,
        world_size: int = 1,
        mean_prompt_tokens: float = 0.0,
        row_tokens: int | None = None,
    ) -> BatchPlan:
        """Resolve the batch of one optimizer step; with a growing budget, of its largest step.

        row_tokens: what the device holds, where `row_length` is not the answer. Raises UserError where the numbers
        cannot work together.
        """
        return resolve_batch(
            prompts_per_step=self.prompts_per_step,
            num_generations=num_generations,
            token_budget=max(self.token_budget, self.token_budget_end or 0),
            row_tokens=row_tokens or self.row_length(max_completion_length, mean_prompt_tokens),
            mean_prompt_tokens=mean_prompt_tokens,
            world_size=world_size,
            scope=self.token_budget_scope,
            updates_per_rollout=self.updates_per_rollout,
            max_completion_length=max_completion_length,
            selects=self.selects,
        )

    def c3po_faults(
        self, num_generations: int | None, max_completion_length: int | None, *, world_size: int = 1
    ) -> list[str]:
        """Return what is wrong between the keys, each as `key: what; what next`; found without a model."""
        found: list[str] = []
        numbers = {"num_generations": num_generations, "max_completion_length": max_completion_length}
        found += [f"{name}: a positive number is needed, not {n}" for name, n in numbers.items() if n is None or n < 1]
        if why := facts(self.algorithm).fault:
            found.append(f"algorithm: {why}")
        if not self.selects and (self.undershoot == "refill" or self.budget_schedule != "constant"):
            keys = ("undershoot", "budget_schedule")
            found.append(
                f"{', '.join(keys)}: {self.algorithm} trains every response and has no budget to fill or to move; "
                "use algorithm: c3po, or leave both out"
            )
        found += self._idle_keys()
        found += self._rollout_faults(num_generations or 0, max_completion_length or 0, world_size)
        try:
            assert self.schedule
            if num_generations and num_generations > 0 and max_completion_length and max_completion_length > 0:
                self.batch(num_generations, max_completion_length, world_size=world_size)
        except UserError as error:
            found.append(str(error))
        return found

    def _idle_keys(self) -> Iterator[str]:
        """Yield the keys that have another value than they have anyway, and that nothing reads."""
        kind = self.budget_schedule
        of_others = {
            "token_budget_end": ("budget_schedule: linear or adaptive; set one", kind != "constant"),
            "budget_steps": ("budget_schedule: linear; set that", kind == "linear"),
            "budget_dead_band": ("budget_schedule: adaptive; set that", kind == "adaptive"),
            "refill_rounds": ("undershoot: refill; set that", self.undershoot == "refill" or self.carries),
        }
        for name, (owner, is_read) in of_others.items():
            if not is_read and getattr(self, name) != type(self).model_fields[name].default:
                yield f"{name}: it is of {owner}, or leave it out"
        if not self.selects and self.cut != "exact":
            yield f"cut: {self.algorithm} trains every response whole; leave it out"

    def _rollout_faults(self, group: int, longest: int, world_size: int) -> list[str]:
        """What is wrong with rollouts, mismatch and overlong, for groups of so many responses of at most `longest`."""
        found = []
        given = [name for name in ("in_flight", "max_retention") if name in self.rollouts.model_fields_set]
        if given and not self.carries:
            found.append(f"rollouts.{given[0]}: it is of rollouts: {{mode: carry}}; set that, or leave it out")
        if self.carries and (fault := self.in_flight_fault(group, world_size)):
            found.append(fault)
        responses = self.responses(group)
        if responses > MOST_RESPONSES:
            key = "rollouts.in_flight" if self.rollouts.in_flight and self.carries else "prompts_per_step"
            what = f"{responses} responses would be under way at a time"
            found.append(f"{key}: {what}; lower it, to {MOST_RESPONSES} of them at most")
        if self.rollouts.ahead and world_size > 1:
            found.append(
                f"rollouts.ahead trains on one process, not on {world_size}; leave it out, or give the trainer one"
            )
        found += self.mismatch.faults(self.mismatch_rule)
        buffer = self.overlong.buffer or 0
        if buffer > longest:
            found.append(f"overlong.buffer: {buffer} tokens are more than max_completion_length, {longest}; lower it")
        return found
