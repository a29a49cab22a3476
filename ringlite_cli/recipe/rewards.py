"""The section `rewards` of a recipe: how responses are verified."""

from typing import Any, Literal

from pydantic import model_validator

from ringlite_cli import limits
from ringlite_cli.recipe.composition import COMPOSED, Composition
from ringlite_cli.recipe.key_classes import operational, tunable
from ringlite_cli.recipe.section import Positive, Seconds
from ringlite_cli.thoughts import TAGS


class Rewards(Composition):
    """How responses are verified, and in RL how rewards are composed."""

    workers: Positive = operational(limits.WORKERS, description="processes that verify, of each kind")
    math_timeout: Seconds = tunable(limits.MATH_SECONDS, description="seconds of wall time a math check may take")
    code_timeout: Seconds = tunable(limits.CODE_SECONDS, description="CPU seconds that one test of a program may take")
    memory_mb: Positive = tunable(limits.CODE_MB, description="MiB of memory that a program in the sandbox may take")
    science_tolerance: float = tunable(
        limits.SCIENCE_TOLERANCE, ge=0, description="relative error that a numeric science answer may have"
    )
    isolation: Literal["full", "partial", "none"] = operational(
        limits.ISOLATION, description="the least sandbox isolation accepted"
    )
    packages: list[str] = tunable(
        list(limits.PACKAGES),
        description="installed packages that programs in the sandbox may import; these two where they are installed",
    )
    trust_compiled_tests: bool = tunable(
        False, description="run C++ and Java tests of mode unit in eval, though a program can forge their end"
    )
    judge_url: str = operational("", description="OpenAI-compatible address, with /v1, of the verifier `judge`")
    judge_model: str = tunable("", description="the model that judges there")
    judge_timeout: Seconds = tunable(
        limits.JUDGE_SECONDS, description="seconds that a judge or a reward of your own may take"
    )
    judge_requests: Positive = operational(limits.JUDGE_REQUESTS, description="requests that a judge gets at a time")
    judge_retries: int = operational(
        limits.JUDGE_RETRIES, ge=0, description="further requests for a grade where a judge is full, fails or is slow"
    )
    judge_budget: Positive | None = operational(
        None, description="tokens, of prompts and replies, that a stage's judge may take; default: no bound"
    )
    judge_max_cost: float | None = operational(
        None, gt=0, description="money that a stage's judge may take, by the two prices; default: no bound"
    )
    judge_prompt_price: float = operational(0.0, ge=0, description="price of a million tokens that a judge reads")
    judge_reply_price: float = operational(0.0, ge=0, description="price of a million tokens that a judge writes")
    judge_max_failures: float = operational(
        limits.JUDGE_FAILURES, ge=0, le=1, description="share of a judge's last 50 answers that may be no grade"
    )
    reward_model: str = tunable(
        "", description="model of the verifier `reward-model`: a stage of this recipe, a folder or a hub id"
    )
    reward_model_device: Literal["auto", "cpu"] = operational(
        "auto", description="where it scores; auto: on the process's GPU where there is one"
    )
    thought_tags: list[tuple[str, str]] = tunable(
        list(TAGS), description="pairs of tags that open and close a thought; an answer counts after the last one"
    )
    answer_in_thought: bool = tunable(False, description="whether an answer counts that stands only inside a thought")

    @model_validator(mode="after")
    def _can_be_asked(self) -> "Rewards":
        """Refuse weights of a verifier that the recipe does not say where to find."""
        needs = {"judge": "judge_url and judge_model", "reward-model": "reward_model"}
        there = {"judge": bool(self.judge_url and self.judge_model), "reward-model": bool(self.reward_model)}
        for domain, weights in self.weights.items():
            for name in weights:
                if not there.get(name, True):
                    raise ValueError(f"weights.{domain} names {name!r}; give {needs[name]} too, or leave it out")
        return self

    @model_validator(mode="after")
    def _priced(self) -> "Rewards":
        if self.judge_max_cost is not None and not (self.judge_prompt_price or self.judge_reply_price):
            raise ValueError("judge_max_cost needs prices: give judge_prompt_price and judge_reply_price")
        return self

    def objective(self) -> dict[str, Any]:
        """Return the keys that decide what is computed; those that compose nothing decide nothing."""
        keys = super().objective()
        return {name: value for name, value in keys.items() if value or name not in COMPOSED}
