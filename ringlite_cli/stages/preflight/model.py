"""The model that a run starts from: its folder, config, weights, tokenizer and chat template."""

import os
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ringlite_cli.chat.templates import ChatOptions, settle
from ringlite_cli.errors import UserError, first_line, near, one_line
from ringlite_cli.models.embedding import check_tokens
from ringlite_cli.models.loading import check_model_files
from ringlite_cli.models.sizes import config_of
from ringlite_cli.recipe.schema import Model
from ringlite_cli.stages.base import Context, Finding
from ringlite_cli.stages.preflight.adapter import adapter_fits
from ringlite_cli.stages.preflight.asked_models import is_local


def model_is_sound(context: Context) -> Iterator[Finding]:
    """Check the recipe's model, from which an SFT stage without a policy starts, without loading weights."""
    model = context.recipe.model
    if context.section.policy:
        return
    if model.new:
        yield from _new_model(model)
    elif model.gguf_file or not model.path:
        yield from _gguf(model)
    elif is_local(model.path):
        yield from _local(context, Path(model.path).expanduser())
    else:
        yield from _on_hub(context)


def _new_model(model: Model) -> Iterator[Finding]:
    from ringlite_cli.models.new_model import new_config
    from ringlite_cli.models.passes import shape_fault
    from ringlite_cli.models.sizes import network_without_weights

    assert model.new is not None
    try:
        new_config(model.new.config)
        if fault := shape_fault(network_without_weights(model)):
            yield Finding("model.new.config", f"a network of these sizes can't compute ({fault})")
    except UserError as error:
        yield Finding(error.where, error.what, error.hint)
    except Exception as error:  # transformers validates configs with many kinds of exception
        yield Finding("model.new.config", f"transformers refuses this config ({one_line(error)})")


def _gguf(model: Model) -> Iterator[Finding]:
    from ringlite_cli.models.gguf_header import check_gguf
    from ringlite_cli.train.base_model import gguf_folder

    if find_spec("gguf") is None:
        what = "the package gguf, which reads the model, is not installed"
        yield Finding("model.gguf_file", what, "pip install 'ringlite[gguf]'", of_machine=True)
        return
    try:
        check_gguf(gguf_folder(model.model_dump()) / str(model.gguf_file))
    except UserError as error:
        yield Finding(error.where, error.what, error.hint)


def _local(context: Context, folder: Path) -> Iterator[Finding]:
    model = context.recipe.model
    if not folder.is_dir():
        yield Finding("model.path", f"no folder {str(folder)!r}", near_folder(folder))
    elif not (folder / "config.json").is_file():
        yield Finding("model.path", f"no model in {folder}: config.json is missing")
    else:
        try:
            check_model_files(folder, trust=model.trust_remote_code, allow_pickle=model.allow_pickle, quick=True)
        except UserError as error:
            yield Finding("model.path", str(error))
        else:
            yield from _tokenizer(context, folder)
    if model.adapter:
        yield from adapter_fits(model)


def near_folder(folder: Path) -> str:
    """Return which folder may be meant by one that is not there."""
    try:
        beside = [path.name for path in folder.parent.iterdir() if path.is_dir()]
    except OSError:
        return f"nor is there a folder {str(folder.parent)!r}"
    return near(folder.name, beside, "give the folder of a Hugging Face model", prefix=f"{folder.parent}/")


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
        if (rows := _embedding_rows(recipe.model)) is not None:
            check_tokens(rows, tokenizer, "model.path")
    except UserError as error:
        yield Finding(error.where, error.what, error.hint)


def _embedding_rows(model: Model) -> int | None:
    try:
        return int(config_of(model).get_text_config().vocab_size)
    except Exception:  # what is wrong with the config is said above
        return None


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
