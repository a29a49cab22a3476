"""A stage that trains a reward model: the pairs it learns from, and which stages its scores reward."""

from typing import Any, Literal

from pydantic import model_validator

from ringlite_cli.recipe.key_classes import objective, operational
from ringlite_cli.recipe.row_files import RowFiles
from ringlite_cli.recipe.section import Positive, Section, several
from ringlite_cli.recipe.trl_defaults import usual_value, without_usual
from ringlite_cli.samples import BATCH_TOKENS

CONFIG = "RewardConfig"
"""TRL's config class whose fields stand under the stage's `trl:`."""
PairRule = Literal["verifier", "first", "longer", "shorter"]


class PairSource(RowFiles):
    """Pairs that lie there: rows {prompt, chosen, rejected}, each text or a chat. Exactly one of path or hub."""

    columns: dict[Literal["prompt", "chosen", "rejected"], str] = objective(
        {}, description="our field -> column; default: columns of the same names"
    )


class MadePairs(Section):
    """Pairs that are made: two policies respond to each prompt, and a rule says which response is the better."""

    policies: list[str] = objective(
        min_length=2, max_length=2, description="the two stages whose policies respond; base: before SFT"
    )
    data: str = objective(description="set of problems that they respond to, as curate.general")
    rule: PairRule = objective(
        "verifier",
        description="what is chosen: the response that the row's verifier scores higher, that of the first policy, or "
        "the longer or shorter one; ties are dropped and counted",
    )
    num_generations: Positive = objective(1, description="responses of each policy to a prompt, and pairs of it")
    max_completion_length: Positive = objective(1024, description="tokens that a response may have")
    temperature: float = objective(1.0, ge=0, description="temperature of drawing; 0 takes the likeliest token")
    top_p: float = objective(1.0, gt=0, le=1, description="nucleus of drawing")
    batch_tokens: Positive = operational(BATCH_TOKENS, description="tokens of a batch when responses are drawn")

    @model_validator(mode="after")
    def _two(self) -> "MadePairs":
        if len(set(self.policies)) == 1 and self.rule == "first":
            raise ValueError("rule: first needs two policies that differ")
        return self


class RewardModelStage(Section):
    kind: Literal["reward-model"] = objective(description="reward-model")
    data: PairSource | None = objective(None, description="pairs that lie there: {path} or {hub}")
    pairs: MadePairs | None = objective(None, description="pairs made of two policies' responses, in place of `data`")
    policy: str | None = objective(
        None, description="the stage whose policy it starts from; default: the recipe's model"
    )
    held_out: float = objective(
        0.1, gt=0, lt=1, description="share of the prompts whose pairs are held out, for accuracy and calibration"
    )
    truncate: bool = objective(False, description="cut texts that do not fit; default: their pairs are left out")
    max_left_out: float = operational(0.1, ge=0, lt=1, description="share of the pairs that may be too long")
    trl: dict[str, Any] = objective({}, description="fields of TRL's RewardConfig")

    @model_validator(mode="after")
    def _one_source(self) -> "RewardModelStage":
        given = [name for name in ("data", "pairs") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"give exactly one of data or pairs{several(given)}")
        return self

    def trl_value(self, name: str) -> Any:
        """Return a RewardConfig field, as given, or as it is where it is not given."""
        return self.trl[name] if name in self.trl else usual_value(CONFIG, name)

    def unusual_trl(self) -> dict[str, Any]:
        """Return what stands under `trl`, but for fields that are given the value which they have anyway."""
        return without_usual(CONFIG, self.trl)
