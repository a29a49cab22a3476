"""What a recipe may say: one pydantic section per part, unknown keys refused everywhere.

Sections check themselves; what needs two sections at once (references, cycles, sets that no stage produces) is
checked in `graph.py`, and TRL's own fields in `trl_fields.py`.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Discriminator, PrivateAttr, Tag, model_validator

from ringlite_cli.own_code import OwnCode
from ringlite_cli.problems import DEFAULT_SUFFIX
from ringlite_cli.recipe.c3po import PACKING, Packing
from ringlite_cli.recipe.curation import (
    AdapterName,
    CodeTests,
    CurateStage,
    Decontamination,
    Difficulty,
    Distill,
    Duplicates,
    Labels,
    Language,
    ProblemSet,
    Responder,
    SetName,
    Source,
    Split,
    Verifier,
)
from ringlite_cli.recipe.engine import Engine
from ringlite_cli.recipe.evaluation import EvalSettings
from ringlite_cli.recipe.key_classes import objective, operational, tunable
from ringlite_cli.recipe.model import Dtype, Model, NewModel
from ringlite_cli.recipe.reward_model import MadePairs, PairSource, RewardModelStage
from ringlite_cli.recipe.rewards import Rewards
from ringlite_cli.recipe.rl_settings import OwnObject, RlSettings
from ringlite_cli.recipe.row_files import RowFiles
from ringlite_cli.recipe.section import Domain, Positive, Section
from ringlite_cli.recipe.trl_defaults import usual_value, without_usual
from ringlite_cli.samples import BATCH_TOKENS, SEED

__all__ = [
    "RECIPE_NAME",
    "STAGE_SECTIONS",
    "AdapterName",
    "CodeTests",
    "CurateStage",
    "Decontamination",
    "Difficulty",
    "Distill",
    "Dtype",
    "Duplicates",
    "EvalStage",
    "Labels",
    "Language",
    "MadePairs",
    "Model",
    "NewModel",
    "PairSource",
    "ProblemSet",
    "Recipe",
    "RecipeHead",
    "Responder",
    "RewardModelStage",
    "Rewards",
    "RlProbe",
    "RlStage",
    "SelectStage",
    "SetName",
    "SetOrTraces",
    "SftStage",
    "Source",
    "Split",
    "Stage",
    "TaskName",
    "TraceSource",
    "Verifier",
]

RECIPE_NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"
TaskName = Annotated[str, OwnCode("a Task")]


class TraceSource(RowFiles):
    """Worked traces that SFT reads without a curate stage: exactly one of path or hub. No verifier confirms them."""

    adapter: str | None = objective(
        None, description="a known schema; default: conversations, or prompts and responses"
    )
    columns: dict[str, str] = objective(
        {}, description="our field -> column, path or joined text, for any other schema"
    )
    turns: Literal["last", "all"] = objective("last", description="answers of a conversation that are trained")
    domain: Domain | None = objective(None, description="domain of every row; default: as the rows say, or general")


SetOrTraces = Annotated[
    Annotated[str, Tag("(set)")] | Annotated[TraceSource, Tag("(source)")],
    Discriminator(lambda value: "(source)" if isinstance(value, Mapping | TraceSource) else "(set)"),
]


class SftStage(Section):
    kind: Literal["sft"] = objective(description="sft")
    data: SetOrTraces = objective(description="set of worked traces, as curate.traces; or {path} or {hub} of one")
    policy: str | None = objective(
        None, description="the stage whose policy is trained on; default: the recipe's model"
    )
    checkpoints_per_epoch: Positive = tunable(1, description="checkpoints of an epoch that select may pick from")
    packing: Packing = tunable("auto", description=PACKING)
    truncate: bool = objective(False, description="cut samples that do not fit; default: they are left out and counted")
    max_left_out: float = operational(0.1, ge=0, lt=1, description="share of the samples that may be left out")
    trl: dict[str, Any] = objective({}, description="fields of TRL's SFTConfig")

    def trl_value(self, name: str) -> Any:
        """Return an SFTConfig field, as given, or as it is where it is not given."""
        return self.trl[name] if name in self.trl else usual_value("SFTConfig", name)

    def unusual_trl(self) -> dict[str, Any]:
        """Return what stands under `trl`, but for fields that are given the value which they have anyway."""
        return without_usual("SFTConfig", self.trl)


class RlProbe(Section):
    """A short C3PO run from each candidate of a selection, to see how much it gains there."""

    data: str = objective(description="set of problems that the probe trains on, as curate.math")
    steps: Positive = objective(8, description="optimizer steps from each candidate")
    prompts_per_step: Positive = objective(32, description="L: prompts of one optimizer step")
    token_budget: Positive = objective(
        32_768, description="Phi: response tokens that one optimizer step trains (Eq. 2)"
    )
    row_tokens: Positive | None = objective(None, description="length of a packed row; default: what the device holds")
    trl: dict[str, Any] = objective({}, description="fields of TRL's GRPOConfig")

    def unusual_trl(self) -> dict[str, Any]:
        """Return what stands under `trl`, but for fields that are given the value which they have anyway."""
        own = {name: value for name, value in self.trl.items() if name in ("max_completion_length", "max_steps")}
        return own | without_usual("GRPOConfig", self.trl)

    def settings(self, max_completion_length: int) -> RlSettings:
        """Return the settings of the short run; responses are as long as the selection's where `trl` does not say."""
        return RlSettings(
            prompts_per_step=self.prompts_per_step,
            token_budget=self.token_budget,
            token_budget_scope="global",
            row_tokens=self.row_tokens,
            guard=None,
            trl={"max_completion_length": max_completion_length, **self.trl, "max_steps": self.steps},
        )


class SelectStage(Section):
    kind: Literal["select"] = objective(description="select")
    candidates: str = objective(description="the sft stage whose checkpoints are measured")
    data: str = objective(description="set of problems that they respond to, as curate.select")
    entropy_band: tuple[float, float] = objective(
        (0.3, 0.5), description="wanted entropy, lowest and highest, nats per response token (§4.3.2)"
    )
    rule: Literal["band", "band-then-coverage", "score"] = objective("band", description="how the pick is made")
    num_generations: Positive = objective(16, description="responses per problem and checkpoint")
    max_completion_length: Positive = objective(1024, description="tokens that a response may have")
    row_tokens: Positive = operational(8192, description="length of a packed row when entropy is measured")
    batch_tokens: Positive = operational(BATCH_TOKENS, description="tokens of a batch when responses are drawn")
    rl_probe: RlProbe | None = objective(None, description="measure what a short RL gains from each candidate")

    @model_validator(mode="after")
    def _ordered(self) -> "SelectStage":
        low, high = self.entropy_band
        if not 0 <= low < high:
            raise ValueError(f"entropy_band must be [low, high] with 0 <= low < high, not [{low}, {high}]")
        return self


class RlStage(RlSettings):
    kind: Literal["rl"] = objective(description="rl")
    policy: str = objective(description="the stage whose policy is trained on: sft, select or rl")
    data: str = objective(description="set of problems, as curate.math")


class EvalStage(EvalSettings):
    kind: Literal["eval"] = objective(description="eval")
    policies: list[str] = objective(min_length=1, description="stages whose policies are scored; base: before SFT")
    tasks: list[TaskName] = objective(
        min_length=1,
        description="benchmarks, sets such as curate.eval, module:object, or lm-eval:<task> of lm-evaluation-harness",
    )
    num_generations: Positive = objective(4, description="k of avg@k")


Stage = CurateStage | SftStage | SelectStage | RewardModelStage | RlStage | EvalStage
STAGE_SECTIONS: dict[str, type[Stage]] = {
    "curate": CurateStage,
    "sft": SftStage,
    "select": SelectStage,
    "reward-model": RewardModelStage,
    "rl": RlStage,
    "eval": EvalStage,
}


class RecipeHead(Section):
    """All of a recipe but its stages."""

    name: str = operational(pattern=RECIPE_NAME, description="the run's folder below runs/")
    seed: int = objective(SEED, ge=0, lt=2**31, description="of everything that is drawn at random")
    note: str = operational("", description="shown on top of the report")
    model: Model = objective(description="the model that training starts from")
    prompt_suffix: dict[Domain, str] = objective(DEFAULT_SUFFIX, description="domain -> text after its prompts (§3.3)")
    domains: dict[str, OwnObject] = objective({}, description="further reward domains: name -> module:object, a Domain")
    rewards: Rewards = objective(Rewards(), description="how responses are verified")
    engine: Engine = objective(Engine(), description="what draws responses for select, eval and curation")
    chat_template: str = objective("", description="chat template of all stages, text or a file; default: the model's")
    chat_template_kwargs: dict[str, Any] = objective(
        {}, description="arguments of the chat template in all stages, such as {enable_thinking: false}"
    )
    end_token: str = objective("", description="token that ends a response; default: the one that the template writes")
    thinking: Literal["auto", "wrap", "as-is"] = objective(
        "auto",
        description="plain traces: put between the model's thinking tags (general ones behind an empty thought) where "
        "its template knows them, or not",
    )


class Recipe(RecipeHead):
    """A whole recipe. `stages` keeps the order of the file."""

    stages: dict[str, Stage] = objective(min_length=1, description="name -> stage, in the order of the run")
    _folder: Path | None = PrivateAttr(None)

    @property
    def folder(self) -> Path | None:
        """Where the recipe's file lies, and modules of the user's own beside it; None for one that was no file."""
        return self._folder

    def of_folder(self, folder: Path) -> "Recipe":
        """Return the recipe, as read from a file in this folder."""
        self._folder = folder.resolve()
        return self
