"""The settings of the verifiers, and what of them is the judge's."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ringlite_cli import limits
from ringlite_cli.recipe.rewards import Rewards
from ringlite_cli.rewards.judge import JudgeSettings
from ringlite_cli.rewards.judge_account import Limits
from ringlite_cli.sandbox import SandboxSettings
from ringlite_cli.thoughts import TAGS, Tags


@dataclass(frozen=True, slots=True)
class VerifierSettings:
    """How responses are verified.

    workers: processes for code, and as many for math. math_timeout: seconds per comparison. code_timeout: CPU seconds
    per run of a program. memory_mb: of a code run's process; math_memory_mb: of a comparison. isolation: the least
    that the sandbox must reach ("full", "partial", "none"). science_tolerance: relative, for numbers in science.
    judge_url, judge_model: an OpenAI-compatible address (with /v1) and the model there, for the route `judge`; its key
    is read from the environment variable RINGLITE_JUDGE_KEY. judge_timeout: seconds that one request, and a reward of
    the user's own, may take. judge_requests: that it gets at a time; judge_retries: further ones for a grade.
    judge_budget: tokens, judge_max_cost: money by the prices of a million tokens, that it may take. judge_max_failures:
    share of its answers that may be no grade. judge_folder: where its grades are kept. reward_model: folder or hub id
    of a model that classifies sequences, with one label, for the route `reward-model`; reward_model_device: "auto"
    (this process's GPU where there is one) or "cpu".
    packages: installed distributions that programs may import.
    thought_tags: pairs of tags that open and close a thought. answer_in_thought: whether an answer counts that stands
    only inside a thought; instructions, references and the judge look at what stands after thoughts in any case.
    trust_compiled_tests: run C++ and Java tests of mode unit, which share a process with the program.
    partial_scores: reward an answer to a logic game that is right in part with its scorer's number, not with 0.
    """

    workers: int = limits.WORKERS
    math_timeout: float = limits.MATH_SECONDS
    code_timeout: float = limits.CODE_SECONDS
    memory_mb: int = limits.CODE_MB
    math_memory_mb: int = limits.MATH_MB
    isolation: str = limits.ISOLATION
    science_tolerance: float = limits.SCIENCE_TOLERANCE
    judge_url: str = ""
    judge_model: str = ""
    judge_timeout: float = limits.JUDGE_SECONDS
    judge_requests: int = limits.JUDGE_REQUESTS
    judge_retries: int = limits.JUDGE_RETRIES
    judge_budget: int | None = None
    judge_max_cost: float | None = None
    judge_prompt_price: float = 0.0
    judge_reply_price: float = 0.0
    judge_max_failures: float = limits.JUDGE_FAILURES
    judge_folder: Path | None = None
    reward_model: str = ""
    reward_model_device: str = "auto"
    packages: Sequence[str] = limits.PACKAGES
    thought_tags: Tags = TAGS
    answer_in_thought: bool = False
    trust_compiled_tests: bool = False
    partial_scores: bool = False

    def sandbox(self) -> SandboxSettings:
        """The sandbox's part of these settings. Raises UserError for values that cannot be."""
        return SandboxSettings(
            workers=self.workers,
            seconds=self.code_timeout,
            memory_mb=self.memory_mb,
            isolation=self.isolation,
            packages=tuple(self.packages),
        )


def judge_settings(settings: VerifierSettings) -> JudgeSettings:
    """Return what of these settings is the judge's; its key is read from the environment."""
    return JudgeSettings(
        settings.judge_url,
        settings.judge_model,
        settings.judge_timeout,
        settings.judge_requests,
        settings.judge_retries,
        judge_limits(settings),
        settings.judge_folder,
        os.environ.get("RINGLITE_JUDGE_KEY", ""),
        settings.thought_tags,
    )


def judge_limits(settings: VerifierSettings | Rewards) -> Limits:
    """Return what a judge may take by these settings, or by a recipe's."""
    return Limits(
        settings.judge_budget,
        settings.judge_max_cost,
        settings.judge_prompt_price,
        settings.judge_reply_price,
        settings.judge_max_failures,
    )
