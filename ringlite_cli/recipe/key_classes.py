"""What a key of a recipe decides: the result (objective), or only how the work is done (operational).

A result is known by its objective keys, its data and its seed. Changing an operational key reruns nothing. Each key's
class stands in its entry of the schema: `objective(...)`, `tunable(...)` or `operational(...)`, in place of pydantic's
`Field(...)`. That of TRL's fields stands in the tables below. What can change weights, samples or verdicts is
objective.
"""

from typing import Any, Literal

from pydantic import Field
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

KeyClass = Literal["objective", "operational"]
_CLASS, _TUNABLE, _WAS = "key_class", "tunable", "was"


def objective(default: Any = PydanticUndefined, *, was: tuple[int, Any] | None = None, **more: Any) -> Any:
    """Return a pydantic field of a key that changes what is computed.

    was: (revision, value), an earlier default: results up to this revision of their stage had it. They are kept where
    the recipe does not set the key, although it now means another value.
    """
    extra: dict[str, Any] = {_CLASS: "objective"} | ({_WAS: list(was)} if was else {})
    return Field(default, json_schema_extra=extra, **more)


def tunable(default: Any = PydanticUndefined, **more: Any) -> Any:
    """Return the field of an objective key with which an interrupted training stage can go on from its checkpoint."""
    return Field(default, json_schema_extra={_CLASS: "objective", _TUNABLE: True}, **more)


def operational(default: Any = PydanticUndefined, **more: Any) -> Any:
    """Return a pydantic field of a key that changes how the work is done, and nothing that comes of it."""
    return Field(default, json_schema_extra={_CLASS: "operational"}, **more)


def key_class(key: FieldInfo) -> KeyClass | None:
    """Return the class of a key; None where its entry in the schema does not say."""
    extra = key.json_schema_extra
    found = extra.get(_CLASS) if isinstance(extra, dict) else None
    return "operational" if found == "operational" else "objective" if found == "objective" else None


def is_tunable(key: FieldInfo) -> bool:
    """Return whether an interrupted training stage can go on with another value of this key."""
    extra = key.json_schema_extra
    return isinstance(extra, dict) and bool(extra.get(_TUNABLE))


def earlier_default(key: FieldInfo) -> tuple[int, Any] | None:
    """Return (revision, value) of a key whose default a release changed; None for any other."""
    extra = key.json_schema_extra
    found: Any = extra.get(_WAS) if isinstance(extra, dict) else None
    return (found[0], found[1]) if found else None


TRL_OPERATIONAL = frozenset(
    {
        *("save_steps", "save_total_limit", "save_strategy", "save_on_each_node", "save_only_model"),
        *("enable_jit_checkpoint", "restore_callback_states_from_checkpoint"),
        *("logging_steps", "logging_first_step", "logging_strategy", "logging_nan_inf_filter"),
        *("log_level", "log_level_replica", "log_on_each_node", "log_completions", "num_completions_to_print"),
        *("log_unique_prompts", "log_multimodal", "log_completions_hub_repo", "include_num_input_tokens_seen"),
        *("report_to", "run_name", "project", "trackio_space_id", "trackio_bucket_id", "trackio_static_space_id"),
        *("disable_tqdm", "skip_memory_metrics", "debug"),
        *("push_to_hub", "hub_model_id", "hub_strategy", "hub_token", "hub_private_repo", "hub_always_push"),
        *("hub_revision",),
        *("dataloader_num_workers", "dataloader_pin_memory", "dataloader_persistent_workers"),
        *("dataloader_prefetch_factor", "dataset_num_proc", "ddp_timeout", "ddp_backend", "ddp_bucket_cap_mb"),
        *("ddp_find_unused_parameters", "ddp_broadcast_buffers", "ddp_static_graph"),
        *("gradient_checkpointing", "gradient_checkpointing_kwargs", "activation_offloading", "use_cache"),
        *("torch_empty_cache_steps", "eval_on_start", "eval_steps", "eval_delay", "eval_packing"),
        *("per_device_eval_batch_size", "prediction_loss_only", "do_train", "do_eval", "do_predict"),
        *("eval_do_concat_batches", "eval_use_gather_object", "eval_accumulation_steps", "num_generations_eval"),
        *("include_for_metrics", "batch_eval_metrics", "metric_for_best_model", "greater_is_better"),
        *("bf16_full_eval", "fp16_full_eval", "dataloader_multiprocessing_context"),
        *("vllm_gpu_memory_utilization", "vllm_server_timeout", "vllm_server_host", "vllm_server_port"),
        *("vllm_server_base_url", "vllm_group_port", "vllm_enable_sleep_mode", "vllm_tensor_parallel_size"),
        *("ds3_gather_for_generation",),
    }
)
"""Fields of TRL's configs that are operational. All others are objective."""

TRL_TUNABLE = frozenset(
    {
        *("learning_rate", "lr_scheduler_type", "lr_scheduler_kwargs", "warmup_steps"),
        *("weight_decay", "max_grad_norm", "adam_beta1", "adam_beta2", "adam_epsilon"),
        *("beta", "epsilon", "epsilon_high", "entropy_coef", "scale_rewards", "mask_truncated_completions"),
        *("label_smoothing_factor", "neftune_noise_alpha", "disable_dropout", "reward_weights"),
        *("use_vllm", "vllm_mode", "vllm_model_impl", "vllm_max_model_length", "cache_implementation"),
        *("use_liger_kernel", "liger_kernel_config", "tf32", "use_cpu", "full_determinism"),
        *("torch_compile", "torch_compile_backend", "torch_compile_mode", "generation_kwargs"),
        *("temperature", "top_p", "top_k", "min_p", "repetition_penalty", "max_completion_length"),
        *("max_steps", "num_train_epochs"),
    }
)
"""Objective fields of TRL's configs with which an interrupted training stage can go on from its checkpoint."""

TRL_LENGTH = frozenset({"max_steps", "num_train_epochs"})
"""Fields that say how long a stage trains: an interrupted one goes on with another value unasked."""


def trl_class(field: str) -> KeyClass:
    """Return the class of a field of TRL's configs."""
    return "operational" if field in TRL_OPERATIONAL else "objective"
