"""The models that curation asks: their folders, or whether anything answers at their addresses."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from ringlite_cli.errors import UserError, first_line
from ringlite_cli.recipe.schema import CurateStage
from ringlite_cli.stages.base import Context, Finding

_SECONDS = 2.0
"""How long an address may take to answer."""


def asked_models_are_there(context: Context) -> Iterator[Finding]:
    """Check the responders of a curate stage that are local folders, and look whether endpoints answer."""
    section: CurateStage = context.section
    for name, responder in section.asked().items():
        key = f"stages.{context.name}.{name}"
        if responder.endpoint:
            yield from address_answers(f"{key}.endpoint", responder.endpoint)
        elif responder.path:
            yield from folder_is_there(f"{key}.path", str(responder.path))


def folder_is_there(key: str, name: str) -> Iterator[Finding]:
    """Check a model that is drawn from, by its folder's config, weights' headers and tokenizer; or its hub id."""
    folder = Path(name).expanduser()
    if not folder.is_dir():
        yield from not_here(key, name)
        return
    from transformers import AutoTokenizer

    from ringlite_cli.models.loading import check_model_files

    try:
        check_model_files(folder, allow_pickle=True, quick=True)
    except UserError as error:
        yield Finding(key, str(error))
        return
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder)
    except Exception as error:  # tokenizers of all kinds raise exceptions of all kinds
        yield Finding(key, f"the tokenizer of {folder} can't be loaded ({first_line(error)})")
        return
    if not tokenizer.chat_template:
        yield Finding(key, f"the tokenizer of {folder} has no chat template, so that it cannot be asked")


def not_here(key: str, name: str) -> Iterator[Finding]:
    """Tell of a model that is no folder here: a path, or a hub id that cannot be fetched either."""
    if is_local(name):
        yield Finding(key, f"no folder {name!r}")
    elif _is_offline() and not _is_cached(name):
        hint = "fetch it first, unset HF_HUB_OFFLINE, or give a local folder"
        yield Finding(key, f"no folder {name!r}, and no such model in the hub's cache", hint, of_machine=True)


def address_answers(key: str, url: str) -> Iterator[Finding]:
    """Refuse what is no address; warn where nothing listens: a server may still be started before it is needed."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        yield Finding(
            key, f"no request can be sent to {url!r}", "an address begins with http:// or https:// and a host"
        )
        return
    try:
        port = parts.port or (443 if parts.scheme == "https" else 80)
        socket.create_connection((parts.hostname, port), timeout=_SECONDS).close()
    except (OSError, ValueError) as error:
        what = f"nothing answers at {url} ({first_line(error)})"
        yield Finding(key, what, "start the server before this stage needs it", of_machine=True, fatal=False)


def is_local(path: str) -> bool:
    """Return whether a path means a folder of this machine, be it there or not; `owner/name` means the hub."""
    return Path(path).expanduser().exists() or path.startswith((".", "/", "~")) or path.count("/") != 1


def _is_offline() -> bool:
    return os.environ.get("HF_HUB_OFFLINE", "").lower() in ("1", "true", "yes", "on")


def _is_cached(name: str) -> bool:
    from huggingface_hub import try_to_load_from_cache

    return isinstance(try_to_load_from_cache(name, "config.json"), str)
