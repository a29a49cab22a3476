"""The settings of an RL run: TRL's fields as the recipe gives them, and ringlite's own beside them."""

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

from ringlite_cli.c3po.memory import RowLayout
from ringlite_cli.c3po.plan import BatchPlan
from ringlite_cli.errors import UserError
from ringlite_cli.train.devices import on_one_gpu

_DERIVED = (
    "per_device_train_batch_size",
    "gradient_accumulation_steps",
    "steps_per_generation",
    "generation_batch_size",
    "output_dir",
    "seed",
    "max_steps",
    "num_train_epochs",
)
"""GRPOConfig fields that follow from ringlite's own keys and are refused in `trl`."""


def trl_value(trl: Mapping[str, Any], name: str) -> Any:
    """A GRPOConfig field, as given or TRL's default."""
    from trl import GRPOConfig

    return trl.get(name, GRPOConfig.__dataclass_fields__[name].default)


def rl_config(
    trl: Mapping[str, Any],
    plan: BatchPlan,
    layout: RowLayout,
    *,
    dtype: str,
    attn_implementation: str | None,
    mixture: bool,
    **own: Any,
) -> Any:
    """The trainer's config: TRL's fields as given, ours, and defaults that suit a run that resumes.

    mixture: whether the policy is one of experts.
    """
    import torch

    from ringlite_cli.train.rl.config import C3POConfig

    for name in _DERIVED:
        if name in trl:
            raise UserError(
                "follows from the stage's own keys",
                where=f"trl.{name}",
                hint="leave it out (prompts_per_step, token_budget, row_tokens and steps decide it)",
            )
    # AdamW steps of 3e-6 round away in bfloat16: weights are trained in float32, and computed with under autocast
    model_kwargs = {"dtype": "float32", **(trl.get("model_init_kwargs") or {})}
    if attn_implementation:
        model_kwargs["attn_implementation"] = attn_implementation
    on_cpu = not torch.cuda.is_available()
    defaults: dict[str, Any] = {
        "use_cpu": on_cpu,
        "bf16": dtype == "bfloat16",
        "gradient_checkpointing": layout.gradient_checkpointing,
        "dataloader_pin_memory": not on_cpu,
        "report_to": "none",
        "disable_tqdm": True,
        "save_strategy": "steps",
        "save_steps": 50,
        "save_total_limit": 2,
        "lr_scheduler_type": "constant_with_warmup",
    }
    if own["algorithm"] == "dr_grpo":
        defaults["scale_rewards"] = "none"  # its advantages are not divided by the group's standard deviation
    if not on_cpu and find_spec("liger_kernel"):  # fused norms, rotary embedding and SwiGLU: 1.5 times the speed
        defaults["use_liger_kernel"] = True
        defaults["liger_kernel_config"] = {"cross_entropy": False, "fused_linear_cross_entropy": False}
        if mixture:  # its kernels for experts are tuned anew in every process, for minutes
            defaults["liger_kernel_config"]["swiglu"] = False
    fields = defaults | dict(trl) | plan.trl_fields | own | {"model_init_kwargs": model_kwargs}
    # The data set stands in drawing order, and TRL keeps it
    return on_one_gpu(C3POConfig(**fields, shuffle_dataset=False))


def lora_config(fields: Mapping[str, Any] | None) -> Any:
    if fields is None:
        return None
    from peft import LoraConfig

    try:
        return LoraConfig(**({"task_type": "CAUSAL_LM", "target_modules": "all-linear"} | dict(fields)))
    except (TypeError, ValueError) as error:
        raise UserError(f"peft refuses these settings ({str(error).splitlines()[0]})", where="lora") from None
