"""All keys of an RL stage: those of C3PO (c3po.py), and those of prompts, engine, adapter, guard and TRL. No torch."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, field_validator

from ringlite_cli.errors import RecipeErrors
from ringlite_cli.own_code import OwnCode, is_own
from ringlite_cli.recipe.algorithms import facts
from ringlite_cli.recipe.batch_plan import BatchPlan
from ringlite_cli.recipe.c3po import C3POSettings
from ringlite_cli.recipe.guard import Guard
from ringlite_cli.recipe.key_classes import objective, operational, tunable
from ringlite_cli.recipe.rollouts import engine_faults, order_faults
from ringlite_cli.recipe.section import Condition, Positive, Probability, Seconds, Section, Shares
from ringlite_cli.recipe.tracking import tracker_faults
from ringlite_cli.recipe.trl_defaults import usual_value, without_usual
from ringlite_cli.recipe.trl_fields import check_trl

SAMPLINGS = ("shuffle", "difficulty")
_RESTS = 8


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
    rest_rollouts: int = tunable(
        _RESTS,
        ge=0,
        description="draws that a solved prompt rests for: one a rollout, one a refilling (sampling: difficulty)",
    )
    domain_mix: Shares | None = objective(None, description="share of a step's prompts per domain or label")
    where: dict[str, Condition] = objective(
        {}, description="label -> accepted values, or [low, high]: prompts to train on"
    )
    partial_scores: bool = tunable(
        False, description="reward an answer to a logic game that is right in part with its score; default: with 0"
    )
    max_left_out: float = operational(
        0.1, ge=0, lt=1, description="share of the prompts that may be left out, as too long for the model"
    )
    lora: Lora | None = objective(None, description="train an adapter instead of the weights; default: the weights")
    guard: Guard | None = tunable(Guard(), description="signs of collapse that are looked for; null: none")
    sync_tolerance: float = operational(
        0.1, gt=0, description="nats per token that vllm may differ by after a weight sync"
    )
    engine_timeout: Seconds = operational(1800, description="seconds that vllm may take for one rollout")
    vllm_dtype: Literal["auto", "bfloat16", "float16", "float32"] = objective(
        "auto",
        description="number format that a vllm of the run computes in; auto: the policy's, on a CPU the trainer's",
    )
    vllm_head_dtype: Literal["auto", "float32"] = objective(
        "auto", description="number format of its language-model head; auto: vllm_dtype's"
    )
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
        """Return a GRPOConfig field, as given, or as it is where it is not given."""
        return self.trl[name] if name in self.trl else usual_value("GRPOConfig", name)

    def unusual_trl(self) -> dict[str, Any]:
        """Return what stands under `trl`, but for fields that are given the value which they have anyway."""
        return without_usual("GRPOConfig", self.trl, facts(self.algorithm).trl_defaults)

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

    def faults(self, *, world_size: int = 1, own_engine: bool = False) -> list[str]:
        """Return everything that is wrong with the settings, each as `key: what; what next`.

        `check`, `plan` and the start of the stage ask this. Neither a model nor data is needed. own_engine: whether
        responses are drawn by code of the user's own that no key names.
        """
        checked, wrong = check_trl(self.trl, "GRPOConfig")
        found = [f"trl: {fault}" for fault in wrong]
        if self.trl.get("max_steps") is None:
            found.append("trl: max_steps, the number of optimizer steps, is missing")
        sound = self.model_copy(update={"trl": checked})
        return found + sound._faults(world_size, own_engine or self.rollout_func is not None)

    def _faults(self, world_size: int, own_engine: bool) -> list[str]:
        found = tracker_faults(self.trl)
        if self.steps % self.updates_per_rollout:
            found.append(
                f"trl.max_steps: {self.trl['max_steps']} steps are not a whole number of rollouts of "
                f"{self.updates_per_rollout} updates; make it a multiple of updates_per_rollout"
            )
        if self.vllm_server != VllmServer() and not starts_server(self.trl):
            found.append(
                "vllm_server: the run starts one with trl.vllm_mode: server and no address of another; set that"
            )
        if self.router_bias_rate and (self.lora or self.freeze_router):
            other = "lora: an adapter's checkpoints do not hold the bias" if self.lora else "freeze_router: it is kept"
            found.append(f"router_bias_rate: it moves the router's bias, which does not go with {other}; set it to 0")
        for name in ("vllm_dtype", "vllm_head_dtype"):
            if getattr(self, name) != "auto" and not starts_engine(self.trl):
                found.append(
                    f"{name}: the run starts no vllm of its own (trl.use_vllm, no server's address); leave it out"
                )
        refills = self.sampling == "shuffle" and self.undershoot == "refill" and not self.pools
        if self.sampling != "difficulty" and not refills and self.rest_rollouts != _RESTS:
            found.append("rest_rollouts: it is of sampling: difficulty; set that, or leave it out")
        found += engine_faults(self.rollouts, self.trl, own_engine=own_engine, world_size=world_size)
        found += order_faults(self.rollouts, self.trl, own_engine=own_engine)
        return found + self.c3po_faults(self.num_generations, self.max_completion_length, world_size=world_size)

    def check(self, *, world_size: int = 1, own_engine: bool = False) -> None:
        """Raise RecipeErrors (a UserError) with every fault, if there is any."""
        if found := self.faults(world_size=world_size, own_engine=own_engine):
            raise RecipeErrors(found)


def starts_engine(trl: Mapping[str, Any]) -> bool:
    """Return whether RL draws through a vLLM that the run itself starts, beside the trainer or as a server."""
    return bool(trl.get("use_vllm")) and (trl.get("vllm_mode", "colocate") == "colocate" or starts_server(trl))


def starts_server(trl: Mapping[str, Any]) -> bool:
    """Return whether RL draws through a vLLM server that the run itself has to start: no other's address is given."""
    named = any(trl.get(name) for name in ("vllm_server_base_url", "vllm_server_host"))
    return bool(trl.get("use_vllm")) and trl.get("vllm_mode") == "server" and not named
