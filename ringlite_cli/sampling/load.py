"""A policy and its tokenizer from a plain Hugging Face folder, ready to generate."""

import json
from pathlib import Path
from typing import Any

from ringlite_cli.chat.responses import prompt_end, response_texts
from ringlite_cli.config_numbers import context_length
from ringlite_cli.errors import UserError, first_line
from ringlite_cli.models import register
from ringlite_cli.models.generation import folder_generation, only_ends
from ringlite_cli.models.refused import ADAPTER, MERGED, adapter_fault
from ringlite_cli.overlooked import Overlooked
from ringlite_cli.runs.manifest import read_manifest

__all__ = [
    "check_if_local",
    "check_model_folder",
    "load_config",
    "load_model",
    "load_tokenizer",
    "positions_of",
    "prompt_end",
    "response_texts",
]

_WEIGHTS = ("*.safetensors", "pytorch_model*.bin")


def check_model_folder(path: Path) -> None:
    """Raise UserError for a folder that is no model or is half written."""
    if path.is_file():
        raise UserError("that is a file, and a model is a folder", where=str(path), hint=f"give {path.parent}")
    if not path.is_dir():
        raise UserError("no such model folder", where=str(path), hint="give a folder that save_pretrained wrote")
    try:
        json.loads((path / "config.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        if (path / ADAPTER).is_file():
            raise UserError(adapter_fault(path), where=str(path), hint=MERGED) from None
        raise UserError(
            "not a model folder: config.json is missing", where=str(path), hint=_policy_of_stage(path)
        ) from None
    except ValueError:
        raise UserError("config.json is not JSON", where=str(path), hint="the folder may be half written") from None
    if not any(any(path.glob(pattern)) for pattern in _WEIGHTS):
        raise UserError(
            "the model folder holds no weights", where=str(path), hint="it may be half written; save it again"
        )


def _policy_of_stage(path: Path) -> str:
    """Where the policy lies of a stage whose folder was taken for a model's; "" for any other folder."""
    manifest = read_manifest(path)
    if manifest is None or "policy" not in manifest.outputs:
        return ""
    return f"it is a stage of a run, whose policy is {path.parent / manifest.outputs['policy']['path']}"


def load_tokenizer(model_path: str | Path) -> Any:
    """The tokenizer of a model folder or hub id, with a chat template and a pad token; pads on the left."""
    from transformers import AutoTokenizer

    register()
    check_if_local(model_path)
    try:
        with Overlooked(model_path):
            tokenizer = AutoTokenizer.from_pretrained(str(model_path))
    except (OSError, ValueError, KeyError, TypeError) as error:
        hint = "" if Path(model_path).is_dir() else f"there is no folder {str(model_path)!r} here, so a hub id is meant"
        raise UserError(f"cannot load the tokenizer ({first_line(error)})", where=str(model_path), hint=hint) from None
    if not getattr(tokenizer, "chat_template", None):
        raise UserError(
            "the tokenizer has no chat template",
            where=str(model_path),
            hint="set tokenizer.chat_template and save it into the model's folder, use the instruct version, or give a "
            "recipe's `chat_template`",
        )
    if tokenizer.eos_token_id is None:
        raise UserError("the tokenizer has no end token (eos_token)", where=str(model_path), hint="set it and save")
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    tokenizer.padding_side = "left"
    return tokenizer


def hub_commit(model: str | Path) -> str | None:
    """Return the commit of a hub id whose files a load takes: the newest, or the cached one where the hub is not asked.

    None for a folder, and where it can't be told.
    """
    if Path(model).is_dir():
        return None
    from huggingface_hub import hf_hub_download

    try:
        file = Path(hf_hub_download(str(model), "config.json"))
    except Exception:  # of many kinds; the load that follows says what is wrong
        return None
    return file.parent.name if file.parent.parent.name == "snapshots" else None


def load_config(model_path: str | Path) -> Any:
    """The configuration of a model folder or hub id. Raises UserError where it cannot be read."""
    from transformers import AutoConfig

    register()
    try:
        return AutoConfig.from_pretrained(str(model_path))
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"cannot load the model's config ({first_line(error)})", where=str(model_path)) from None


def positions_of(config: Any) -> int:
    """Return the tokens of prompt and response that a model takes, by its config; a very large number for no limit."""
    return context_length(config) or 1 << 30


def load_model(model_path: str | Path, *, dtype: str | None = None, device: str | None = None) -> Any:
    """A causal LM in eval mode: float32 on a CPU and bfloat16 on CUDA, unless told otherwise."""
    import torch
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging

    register()
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    if dtype is None or dtype == "auto":
        dtype = "bfloat16" if device.startswith("cuda") else "float32"
    check_if_local(model_path)
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        with Overlooked(model_path):
            settings = folder_generation(model_path)
            given = {} if settings is None else {"generation_config": only_ends(settings)}
            model = AutoModelForCausalLM.from_pretrained(str(model_path), dtype=getattr(torch, dtype), **given)
    except UserError:
        raise
    except Exception as error:  # safetensors, hub and config faults share no base class
        if isinstance(error, MemoryError | torch.OutOfMemoryError):
            raise
        raise UserError(f"cannot load the model ({first_line(error)})", where=str(model_path)) from None
    finally:
        if shown:
            logging.enable_progress_bar()
    if hasattr(model.config, "output_router_logits"):
        model.config.output_router_logits = False  # a padded generate of a MoE crashes with it, and TRL leaves it on
    return model.to(device).eval()


def check_if_local(model_path: str | Path) -> None:
    """Raise UserError for what is no model's folder; `name` and `owner/name`, where there is none, may be hub ids."""
    name = str(model_path)
    if isinstance(model_path, Path) or Path(name).is_dir() or name.startswith((".", "/", "~")) or name.count("/") > 1:
        check_model_folder(Path(model_path).expanduser())
