"""Whether a model folder is of an architecture that writes text from left to right, told from its config alone."""

import json
from pathlib import Path
from typing import Any

from ringlite_cli.errors import UserError, one_line
from ringlite_cli.models.kinds import DECODERS, OTHER_HEADS


def read_config(folder: Path, *, trust: bool = False) -> Any:
    """Return the folder's config. Raises UserError for none, for an adapter's folder, and for another kind of model."""
    from transformers import AutoConfig

    from ringlite_cli.models import register

    register()
    if not (folder / "config.json").is_file():
        raise _no_config(folder)
    try:
        config = AutoConfig.from_pretrained(str(folder), trust_remote_code=trust)
    except UserError:
        raise
    except Exception as error:  # transformers validates configs with many kinds of exception
        raise UserError(f"config.json cannot be read ({one_line(error)})", where=str(folder)) from None
    check_architecture(config, str(folder))
    return config


def check_architecture(config: Any, where: str) -> None:
    """Raise UserError for an encoder, a classifier, or a config that names two architectures."""
    from transformers.models.auto.modeling_auto import (
        MODEL_FOR_CAUSAL_LM_MAPPING,
        MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
        MODEL_FOR_MASKED_LM_MAPPING_NAMES,
    )

    named = (getattr(config, "architectures", None) or [""])[0]
    encoder = config.model_type in MODEL_FOR_MASKED_LM_MAPPING_NAMES and getattr(config, "is_decoder", None) is False
    if encoder or named.endswith(OTHER_HEADS) or getattr(config, "is_encoder_decoder", False):
        raise UserError(
            f"{named or config.model_type} is not a causal language model, which writes text from left to right",
            where=where,
            hint=DECODERS,
        )
    own_code = "AutoModelForCausalLM" in (getattr(config, "auto_map", None) or {})
    known = MODEL_FOR_CAUSAL_LM_MAPPING.get(type(config), None)
    if known is None and not own_code:
        raise UserError(
            f"transformers has no causal language model of the kind {config.model_type}", where=where, hint=DECODERS
        )
    of_others = set(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.values()) - {getattr(known, "__name__", named)}
    if not own_code and named.endswith("ForCausalLM") and named in of_others:
        raise UserError(
            f"config.json names two architectures: model_type {config.model_type} and {named}",
            where=where,
            hint="set model_type to that of the weights",
        )


def _no_config(folder: Path) -> UserError:
    adapter = folder / "adapter_config.json"
    if adapter.is_file():
        try:
            base = json.loads(adapter.read_text(encoding="utf-8")).get("base_model_name_or_path") or "BASE"
        except (OSError, ValueError, AttributeError):
            base = "BASE"
        return UserError(
            "this is the folder of an adapter, not of a model",
            where=str(folder),
            hint=f"write model: {{path: {base}, adapter: {folder}}}, and it is merged into the base",
        )
    return UserError("no model there (config.json is missing)", where=str(folder))
