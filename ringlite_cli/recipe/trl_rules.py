"""TRL's fields that ringlite decides: the one table of what may not stand under `trl:`, and why.

A derived field is refused in a recipe, because another key or the run itself decides it. A fixed field may be given,
but with one value only: with any other, the training would fail or the loss would not obey it. `check`, `plan`, the
start of a stage and `C3POConfig` all read this table.
"""

from dataclasses import dataclass
from typing import Any

ANY = object()
"""Stands for no particular value."""


@dataclass(frozen=True, slots=True)
class TrlRule:
    """Why a field is not the user's to choose.

    value: the only value that the field may have; ANY where the run decides it. refused: whether a recipe may not even
    name the field.
    """

    reason: str
    value: Any = ANY
    refused: bool = False


def _derived(reason: str, value: Any = ANY) -> TrlRule:
    return TrlRule(reason, value, refused=True)


_LAUNCH = "the launcher's configuration decides it (`ringlite launcher` lists those that come with ringlite)"
_COMMON = {
    "output_dir": _derived("it is the run folder"),
    "seed": _derived("it is the recipe's seed"),
    "data_seed": _derived("it is the recipe's seed"),
    "resume_from_checkpoint": _derived("rerunning the same command resumes"),
    "fsdp": _derived(_LAUNCH),
    "fsdp_config": _derived(_LAUNCH),
    "deepspeed": _derived(_LAUNCH),
    "parallelism_config": _derived(_LAUNCH),
    "ignore_data_skip": TrlRule("a training that resumes reads the rows that come next", False),
    "load_best_model_at_end": TrlRule("no policy is scored while it is trained", False),
}
_LOADING = "`model` at the recipe's head says how weights are loaded"
_BATCH = "it follows from prompts_per_step, token_budget and row_tokens (`ringlite plan` shows it)"

TRL_RULES: dict[str, dict[str, TrlRule]] = {
    "SFTConfig": _COMMON
    | {
        "save_strategy": _derived("checkpoints_per_epoch decides it"),
        "eval_strategy": _derived("the select stage evaluates checkpoints"),
        "chat_template_path": _derived("give `chat_template` at the recipe's head, for all stages"),
        "eos_token": _derived("give `end_token` at the recipe's head, for all stages"),
        "model_init_kwargs": _derived(_LOADING),
        "trust_remote_code": _derived("give `model.trust_remote_code` at the recipe's head"),
        "assistant_only_loss": TrlRule("the tokens of responses carry loss, by their place", False),
        "truncation_mode": TrlRule("with `truncate: true` the end is cut", "keep_start"),
    },
    "RewardConfig": _COMMON
    | {
        "save_strategy": _derived("a checkpoint is saved every save_steps steps"),
        "eval_strategy": _derived("held-out pairs are scored when training is over"),
        "chat_template_path": _derived("give `chat_template` at the recipe's head, for all stages"),
        "eos_token": _derived("give `end_token` at the recipe's head, for all stages"),
        "model_init_kwargs": _derived(_LOADING),
        "trust_remote_code": _derived("give `model.trust_remote_code` at the recipe's head"),
        "pad_token": _derived("the tokenizer's own is taken, or its end token"),
    },
    "GRPOConfig": _COMMON
    | {
        "per_device_train_batch_size": _derived(_BATCH),
        "gradient_accumulation_steps": _derived(_BATCH),
        "steps_per_generation": _derived(_BATCH),
        "generation_batch_size": _derived(_BATCH),
        "num_train_epochs": _derived("max_steps decides how long an RL stage trains"),
        "shuffle_dataset": _derived("sampling decides the order of prompts"),
        "chat_template_kwargs": _derived("give `chat_template_kwargs` at the recipe's head, for all stages"),
        "num_iterations": _derived("C3PO takes one pass over its selection; use updates_per_rollout", 1),
        "loss_type": _derived("the loss is C3PO's (Eq. 2), or that of `algorithm`", "dapo"),
        "router_aux_loss_coef": _derived("router_balance_coef and router_z_loss_coef decide it (Eq. 5)", 0.0),
        "importance_sampling_level": TrlRule(
            "Eq. 2 has a ratio per token; algorithm: gspo has one per response", "token"
        ),
        "use_bias_correction_kl": TrlRule("Eq. 2 has the plain k3 estimate", False),
        "vllm_importance_sampling_correction": TrlRule("use mismatch, which corrects the selected tokens alone", False),
        "top_entropy_quantile": TrlRule("every selected token is trained", 1.0),
        "use_adaptive_entropy": TrlRule("the entropy coefficient is constant", False),
        "off_policy_mask_threshold": TrlRule("Eq. 2 masks no sequence", None),
        "delta": TrlRule("Eq. 2 clips on one side of each advantage", None),
        "auto_find_batch_size": TrlRule("a smaller batch would take groups apart", False),
        "eval_strategy": TrlRule("the eval stage scores policies", "no"),
    },
}
"""TRL config class -> field -> its rule."""


def rule_fault(config: str, field: str, value: Any) -> str:
    """Return why a recipe may not set this field to this value, or ''. value: as its field's type has it."""
    rule = TRL_RULES[config].get(field)
    if rule is None:
        return ""
    if rule.refused:
        return f"{field!r} is ringlite's to set: {rule.reason}; remove it"
    return _fixed_fault(field, value, rule)


def fixed_faults(config: str, values: dict[str, Any]) -> list[str]:
    """Return a message for each field of a finished config whose rule names another value."""
    rules = TRL_RULES[config].items()
    found = [_fixed_fault(name, values[name], rule) for name, rule in rules if name in values]
    return [fault for fault in found if fault]


def _fixed_fault(field: str, value: Any, rule: TrlRule) -> str:
    if rule.value is ANY or value == rule.value:
        return ""
    return f"{field!r} must be {rule.value!r}, not {value!r}: {rule.reason}"
