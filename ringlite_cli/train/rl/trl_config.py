"""The settings of an RL run: TRL's fields as the recipe gives them, and ringlite's own beside them."""

from importlib.util import find_spec
from typing import Any

from ringlite_cli.memory.layout import RowLayout
from ringlite_cli.recipe.algorithms import facts
from ringlite_cli.recipe.batch_plan import BatchPlan
from ringlite_cli.recipe.c3po import C3POSettings
from ringlite_cli.recipe.rl_settings import RlSettings
from ringlite_cli.recipe.trl_defaults import OURS
from ringlite_cli.runs.ranks import world_size


def rl_config(
    settings: RlSettings,
    plan: BatchPlan,
    layout: RowLayout,
    *,
    dtype: str,
    attn_implementation: str | None,
    mixture: bool,
    output_dir: str,
    seed: int,
    frozen: str = "float32",
) -> Any:
    """Return the trainer's config: TRL's fields as given, ours, and defaults that suit a run that resumes.

    dtype: the number format of the passes, "bfloat16" or "float32". mixture: whether the policy is one of experts.
    frozen: the number format that weights beside an adapter are held in; weights that are trained, an adapter's too,
    are float32.
    """
    import torch

    from ringlite_cli.train.rl.config import C3POConfig

    trl = settings.trl
    # AdamW steps of 3e-6 round away in bfloat16: weights are trained in float32, and computed with under autocast
    placed = {"device_map": None} if world_size() > 1 else {}  # else a rank spreads it
    held = "float32" if settings.lora is None else frozen
    model_kwargs = {"dtype": held, **placed, **(trl.get("model_init_kwargs") or {})}
    if attn_implementation:
        model_kwargs["attn_implementation"] = attn_implementation
    on_cpu = not torch.cuda.is_available()
    defaults: dict[str, Any] = {
        "use_cpu": on_cpu,
        "bf16": dtype == "bfloat16",
        "gradient_checkpointing": layout.gradient_checkpointing,
        "dataloader_pin_memory": not on_cpu,
        **OURS["GRPOConfig"],
    }
    defaults |= facts(settings.algorithm).trl_defaults
    if not on_cpu and find_spec("liger_kernel"):  # fused norms, rotary embedding and SwiGLU: 1.5 times the speed
        defaults["use_liger_kernel"] = True
        defaults["liger_kernel_config"] = {"cross_entropy": False, "fused_linear_cross_entropy": False}
        if mixture:  # its kernels for experts are tuned anew in every process, for minutes
            defaults["liger_kernel_config"]["swiglu"] = False
    drawing = {}
    if trl.get("use_vllm"):  # what a server would take from the folder's generation_config.json, and TRL does not send
        plain = {"presence_penalty": 0.0, "frequency_penalty": 0.0}
        drawing = {"generation_kwargs": plain | (trl.get("generation_kwargs") or {})}
    ours = {name: getattr(settings, name) for name in C3POSettings.model_fields}
    run = {"output_dir": output_dir, "seed": seed, "model_init_kwargs": model_kwargs}
    # The data set stands in drawing order, and TRL keeps it
    return C3POConfig(**(defaults | dict(trl) | drawing | plan.trl_fields | ours | run | {"shuffle_dataset": False}))
