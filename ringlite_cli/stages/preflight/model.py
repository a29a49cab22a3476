"""The model that a run starts from: its folder, config, weights, tokenizer and chat template."""

import difflib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ringlite_cli.chat.templates import ChatOptions, settle
from ringlite_cli.errors import UserError, first_line
from ringlite_cli.models.loading import check_model_files
from ringlite_cli.recipe.schema import Model
from ringlite_cli.runs.files import read_json
from ringlite_cli.stages.base import Context, Finding


def model_is_sound(context: Context) -> Iterator[Finding]:
    """Check the recipe's model, from which an SFT stage without a policy starts, without loading weights."""
    model = context.recipe.model
    if context.section.policy:
        return
    if model.new:
        yield from _new_model(model)
    elif model.gguf_file or not model.path:
        yield from _gguf(model)
    elif _is_local(model.path):
        yield from _local(context, Path(model.path).expanduser())
    else:
        yield from _on_hub(context)


def _is_local(path: str) -> bool:
    """Whether a path means a folder of this machine, be it there or not; `owner/name` means the hub."""
    return Path(path).expanduser().exists() or path.startswith((".", "/", "~")) or path.count("/") != 1


def _new_model(model: Model) -> Iterator[Finding]:
    from ringlite_cli.models.sizes import network_without_weights

    try:
        network_without_weights(model)
    except Exception as error:  # transformers validates configs with many kinds of exception
        yield Finding("model.new.config", f"transformers refuses this config ({first_line(error)})")


def _gguf(model: Model) -> Iterator[Finding]:
    from ringlite_cli.train.base_model import gguf_folder

    try:
        gguf_folder(model.model_dump())
    except UserError as error:
        yield Finding(error.where, error.what, error.hint)


def _local(context: Context, folder: Path) -> Iterator[Finding]:
    model = context.recipe.model
    if not folder.is_dir():
        yield Finding("model.path", f"no folder {str(folder)!r}", _near(folder))
    elif not (folder / "config.json").is_file():
        yield _without_config(folder)
    else:
        try:
            check_model_files(folder, trust=model.trust_remote_code, allow_pickle=model.allow_pickle)
        except UserError as error:
            yield Finding("model.path", str(error))
        else:
            yield from _tokenizer(context, folder)
    if model.adapter and not (Path(model.adapter).expanduser() / "adapter_config.json").is_file():
        yield Finding("model.adapter", f"no adapter in {model.adapter!r}: adapter_config.json is missing")


def _near(folder: Path) -> str:
    try:
        beside = [path.name for path in folder.parent.iterdir() if path.is_dir()]
    except OSError:
        return f"nor is there a folder {str(folder.parent)!r}"
    near = difflib.get_close_matches(folder.name, beside, 1)
    return f"did you mean {str(folder.parent / near[0])!r}?" if near else "give the folder of a Hugging Face model"


def _without_config(folder: Path) -> Finding:
    adapter = folder / "adapter_config.json"
    if not adapter.is_file():
        return Finding("model.path", f"no model in {folder}: config.json is missing")
    try:
        base = str(read_json(adapter).get("base_model_name_or_path") or "its model")
    except (OSError, ValueError, AttributeError):
        base = "its model"
    hint = f"write `path: {base}` and `adapter: {folder}`; the adapter is merged into the model"
    return Finding("model.path", f"{folder} holds an adapter of {base}, not a model", hint)


def _tokenizer(context: Context, folder: Path | str) -> Iterator[Finding]:
    from transformers import AutoTokenizer

    recipe = context.recipe
    options: dict[str, Any] = {"revision": recipe.model.revision} if recipe.model.revision else {}
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=recipe.model.trust_remote_code, **options)
    except Exception as error:  # tokenizers of all kinds raise exceptions of all kinds
        yield Finding("model.path", f"the tokenizer of {folder} can't be loaded ({first_line(error)})")
        return
    chat = ChatOptions(recipe.chat_template, recipe.chat_template_kwargs, recipe.end_token, recipe.thinking)
    try:
        settle(tokenizer, "model.path", chat)
    except UserError as error:
        yield Finding(error.where, error.what, error.hint)


def _on_hub(context: Context) -> Iterator[Finding]:
    """A hub id whose files are here is checked like a folder; else whether the hub can be asked is all that is."""
    from huggingface_hub import try_to_load_from_cache

    model = context.recipe.model
    assert model.path is not None
    if isinstance(try_to_load_from_cache(model.path, "config.json", revision=model.revision), str):
        yield from _tokenizer(context, model.path)
    elif os.environ.get("HF_HUB_OFFLINE", "").lower() in ("1", "true", "yes", "on"):
        hint = "fetch it first, unset HF_HUB_OFFLINE, or give a local folder"
        yield Finding("model.path", f"no folder {model.path!r}, and no such model in the hub's cache", hint, True)
