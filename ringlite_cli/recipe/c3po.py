"""The settings of C3PO training: every key once, with its range, description and the rules between keys. No torch.

`C3POSettings` holds what the loss and the batch need; the library's `C3POConfig` has the same fields. `RlSettings` adds
what an RL stage needs: prompts, engine, guard and TRL's own fields. A new key is added here and where it is used.
"""

from collections.abc import Mapping
from math import ceil
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, field_validator

from ringlite_cli.errors import RecipeErrors, UserError
from ringlite_cli.own_code import OwnCode, is_own
from ringlite_cli.recipe.algorithms import AlgorithmName, algorithms, facts
from ringlite_cli.recipe.batch_plan import CPU_ROW_TOKENS, BatchPlan, Scope, resolve_batch
from ringlite_cli.recipe.budget_schedule import BudgetSchedule, Kind
from ringlite_cli.recipe.guard import Guard
from ringlite_cli.recipe.key_classes import objective, operational, tunable
from ringlite_cli.recipe.section import Condition, Part, Positive, Probability, Section
from ringlite_cli.recipe.tracking import tracker_faults
from ringlite_cli.recipe.trl_fields import check_trl, trl_default

Cut = Literal["exact", "whole"]
SAMPLINGS = ("shuffle", "difficulty")


def _known_sampling(name: str) -> str:
    if name in SAMPLINGS or is_own(name):
        return name
    raise ValueError(f"input should be {' or '.join(map(repr, SAMPLINGS))} or module:object, not {name!r}")


def _own_object(name: str) -> str:
    if is_own(name):
        return name
    raise ValueError(f"{name!r} does not name an object; write module:object, as in mine:draw")


Sampling = Annotated[str, AfterValidator(_known_sampling), OwnCode("a prompt source")]
OwnObject = Annotated[str, AfterValidator(_own_object), OwnCode("a function")]
Packing = Literal["auto", "none"]
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
    packing: Packing = objective("auto", description=PACKING)
    budget_schedule: Kind = tunable("constant", description="how the budget moves over the run")
    token_budget_end: Positive | None = tunable(None, description="the largest budget of a linear or adaptive schedule")
    budget_steps: int = tunable(0, ge=0, description="steps over which a linear budget grows")
    budget_dead_band: float = tunable(0.1, ge=0, lt=1, description="relative change that adaptive leaves alone")
    undershoot: Literal["accept", "refill"] = tunable(
        "accept", description="what is done where responses do not fill a budget; refill asks further prompts"
    )
    refill_rounds: Positive = tunable(2, description="further rollouts that a step may take to fill its budget")
    importance_cap: float | None = tunable(
        None, gt=0, description="largest truncated importance correction of the engine's log-probabilities"
    )
    freeze_router: bool = objective(False, description="leave the router's weights as they are")
    drop_uninformative: bool = tunable(False, description="leave groups with equal rewards out of the selection")
    router_balance_coef: float = tunable(0.0, ge=0, description="alpha_balance (Eq. 6)")
    router_z_loss_coef: float = tunable(0.0, ge=0, description="alpha_z (Eq. 6)")

    @property
    def selects(self) -> bool:
        """Whether responses are selected for a token budget; the other algorithms train all of them."""
        return facts(self.algorithm).has_budget

    @property
    def schedule(self) -> BudgetSchedule:
        """How the budget moves. Raises UserError for numbers that cannot work."""
        return BudgetSchedule(
            self.token_budget, self.budget_schedule, self.token_budget_end, self.budget_steps, self.budget_dead_band
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
            max_response_tokens=max_completion_length,
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
        try:
            assert self.schedule
            if num_generations and num_generations > 0 and max_completion_length and max_completion_length > 0:
                self.batch(num_generations, max_completion_length, world_size=world_size)
        except UserError as error:
            found.append(str(error))
        return found


class Lora(Section):
    """An adapter (peft) is trained instead of the weights; the policy is written with it merged."""

    r: Positive = objective(16, description="rank of the adapter's matrices")
    lora_alpha: Positive = objective(32, description="scale of the adapter; its output is multiplied by lora_alpha / r")
    lora_dropout: float = objective(0.0, ge=0, le=0, description="must stay 0: RL trains without dropout")
    target_modules: str | list[str] = objective("all-linear", description="modules that get an adapter")
    target_parameters: list[str] | None = objective(
        None, description="stacked weights of experts that get an adapter, as mlp.experts.down_proj"
    )

    @field_validator("lora_dropout", mode="before")
    @classmethod
    def _no_dropout(cls, value: Any) -> Any:
        if isinstance(value, int | float) and value:
            raise ValueError(
                "RL trains without dropout, which would make the policy differ from the one that drew the responses; "
                "leave the key out"
            )
        return value


class VllmServer(Section):
    """A vLLM server that an RL stage starts and ends (trl.vllm_mode: server), on GPUs beside the trainer's."""

    gpus: list[Annotated[int, Field(ge=0)]] | None = operational(
        None, description="the server's GPUs; default: those after the trainer's"
    )
    tensor_parallel_size: Positive = operational(1, description="GPUs that share one copy of the model")
    data_parallel_size: Positive = operational(
        1, description="copies of the model; above 1 for mixtures of experts only"
    )
    gpu_memory_utilization: Probability = operational(
        0.9, description="share of its GPUs' memory that the server takes"
    )
    enforce_eager: bool = operational(
        False, description="no compiling and no CUDA graphs: a faster start, slower tokens"
    )


class RlSettings(C3POSettings):
    """All settings of an RL run, whatever its policy, problems and seed."""

    sampling: Sampling = objective(
        "shuffle", description="how a step's prompts are drawn: shuffle, difficulty, or module:object, a prompt source"
    )
    rollout_func: OwnObject | None = objective(
        None, description="module:object, a rollout_func of TRL that draws the responses; default: transformers or vllm"
    )
    rest_rollouts: int = tunable(8, ge=0, description="rollouts that a solved prompt rests for (sampling: difficulty)")
    domain_mix: dict[Part, Probability] | None = objective(
        None, description="share of a step's prompts per domain or label"
    )
    where: dict[str, Condition] = objective(
        {}, description="label -> accepted values, or [low, high]: prompts to train on"
    )
    lora: Lora | None = objective(None, description="train an adapter instead of the weights; default: the weights")
    guard: Guard | None = tunable(Guard(), description="signs of collapse that are looked for; null: none")
    sync_tolerance: float = operational(
        0.1, gt=0, description="nats per token that vllm may differ by after a weight sync"
    )
    engine_timeout: float = operational(1800, gt=0, description="seconds that vllm may take for one rollout")
    vllm_server: VllmServer = operational(
        VllmServer(), description="the server of trl.vllm_mode: server without an address"
    )
    trl: dict[str, Any] = objective(
        {}, description="fields of TRL's GRPOConfig; max_steps, the optimizer steps, is needed"
    )

    @property
    def steps(self) -> int:
        """Optimizer steps of the run; 0 where trl.max_steps is missing."""
        return max(0, int(self.trl.get("max_steps") or 0))

    @property
    def num_generations(self) -> int:
        """K: responses per prompt."""
        return int(self.trl_value("num_generations") or 0)

    @property
    def max_completion_length(self) -> int:
        """Tokens that a response may have."""
        return int(self.trl_value("max_completion_length") or 0)

    def trl_value(self, name: str) -> Any:
        """Return a GRPOConfig field, as given or TRL's default."""
        return self.trl[name] if name in self.trl else trl_default("GRPOConfig", name)

    def batch_plan(
        self, *, world_size: int = 1, mean_prompt_tokens: float = 0.0, row_tokens: int | None = None
    ) -> BatchPlan:
        """Resolve the batch of one optimizer step (see C3POSettings.batch)."""
        return self.batch(
            self.num_generations,
            self.max_completion_length,
            world_size=world_size,
            mean_prompt_tokens=mean_prompt_tokens,
            row_tokens=row_tokens,
        )

    def faults(self, *, world_size: int = 1) -> list[str]:
        """Return everything that is wrong with the settings, each as `key: what; what next`.

        `check`, `plan` and the start of the stage ask this. Neither a model nor data is needed.
        """
        checked, wrong = check_trl(self.trl, "GRPOConfig")
        found = [f"trl: {fault}" for fault in wrong]
        sound = self.model_copy(update={"trl": checked})
        return found + sound._faults(world_size)

    def _faults(self, world_size: int) -> list[str]:
        found = tracker_faults(self.trl)
        if self.trl.get("max_steps") is None:
            found.append("trl: max_steps, the number of optimizer steps, is missing")
        elif not self.steps or self.steps % self.updates_per_rollout:
            found.append(
                f"trl.max_steps: {self.trl['max_steps']} steps are not a whole number of rollouts of "
                f"{self.updates_per_rollout} updates; make it a multiple of updates_per_rollout"
            )
        if self.vllm_server != VllmServer() and not starts_server(self.trl):
            found.append(
                "vllm_server: the run starts one with trl.vllm_mode: server and no address of another; set that"
            )
        return found + self.c3po_faults(self.num_generations, self.max_completion_length, world_size=world_size)

    def check(self, *, world_size: int = 1) -> None:
        """Raise RecipeErrors (a UserError) with every fault, if there is any."""
        if found := self.faults(world_size=world_size):
            raise RecipeErrors(found)


def starts_server(trl: Mapping[str, Any]) -> bool:
    """Return whether RL draws through a vLLM server that the run itself has to start: no other's address is given."""
    named = any(trl.get(name) for name in ("vllm_server_base_url", "vllm_server_host"))
    return bool(trl.get("use_vllm")) and trl.get("vllm_mode") == "server" and not named
