"""Whether the attention that a recipe names can be had: its package, and an architecture that knows it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ringlite_cli.c3po.varlen_kernels import forced
from ringlite_cli.errors import UserError, first_line
from ringlite_cli.models.sizes import config_of
from ringlite_cli.stages.base import Context, Finding


def attention_is_installed(context: Context) -> Iterator[Finding]:
    """Make the architecture, without weights, with the attention that the recipe names; look for a named kernel."""
    try:
        forced()
    except UserError as error:
        yield Finding(error.where, error.what, error.hint, of_machine=True)
    of_trl = context.section.trl.get("model_init_kwargs") or {}
    of_stage = of_trl.get("attn_implementation") if isinstance(of_trl, dict) else None
    name = context.recipe.model.attn_implementation or of_stage
    if not name:
        return
    if context.recipe.model.attn_implementation:
        where = "model.attn_implementation"
    else:
        where = f"stages.{context.name}.trl.model_init_kwargs"
    try:
        config = config_of(context.recipe.model)
    except Exception:
        return  # what is wrong with the model itself is another check's to say
    if config is not None:
        yield from _tried(config, name, where, context.recipe.model)


def _tried(config: Any, name: str, where: str, model: Any) -> Iterator[Finding]:
    import torch
    from transformers import AutoModelForCausalLM

    dtype = torch.bfloat16 if model.dtype == "bfloat16" else torch.float32
    own_code = bool(model.trust_remote_code and Path(model.path or "").is_dir())
    try:
        with torch.device("meta"):
            AutoModelForCausalLM.from_config(config, attn_implementation=name, dtype=dtype, trust_remote_code=own_code)
    except ImportError as error:
        hint = "install it, or leave attn_implementation out"
        yield Finding(where, f"the attention {name!r} is not installed ({first_line(error)})", hint, of_machine=True)
    except Exception as error:  # each architecture refuses what it does not know in its own way
        hint = "sdpa and eager are always there; leave it out for the one that packed rows need"
        yield Finding(where, f"the attention {name!r} cannot be used ({first_line(error)})", hint)
