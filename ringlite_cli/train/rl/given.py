"""What an RL run is given, read and checked before anything is written: problems, tokenizer, adapter."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ringlite_cli.errors import UserError
from ringlite_cli.models import register
from ringlite_cli.models.lora_targets import check_lora
from ringlite_cli.presence import is_file
from ringlite_cli.problems import Problem
from ringlite_cli.recipe.rl_settings import RlSettings


def with_unique_ids(problems: Sequence[Problem]) -> Sequence[Problem]:
    """Return the problems. Raises UserError where two have one id."""
    seen: set[str] = set()
    for problem in problems:
        if problem.id in seen:
            raise UserError(f"two problems have the id {problem.id!r}", where="data", hint="curate the data again")
        seen.add(problem.id)
    return problems


def load_tokenizer(policy: Path) -> Any:
    """Load the policy's tokenizer, padded on the left for generation. Raises UserError without a chat template."""
    from transformers import AutoTokenizer

    register()
    if not is_file(Path(policy) / "config.json"):
        raise UserError("no model there (config.json is missing)", where=str(policy))
    tokenizer = AutoTokenizer.from_pretrained(policy, padding_side="left", truncation_side="left")
    if tokenizer.chat_template is None:
        raise UserError(
            "the tokenizer has no chat template, so problems cannot become prompts",
            where=str(policy),
            hint="start from an instruction-tuned model, or run the sft stage first",
        )
    return tokenizer


def check_adapter(policy: Path, settings: RlSettings) -> None:
    """Raise UserError where the recipe's adapter does not fit the policy or its engine."""
    from transformers import AutoConfig

    assert settings.lora is not None
    config = AutoConfig.from_pretrained(policy)
    check_lora(config, settings.lora.model_dump(), uses_vllm=bool(settings.trl.get("use_vllm")))
