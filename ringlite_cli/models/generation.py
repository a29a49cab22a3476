"""The generation settings that lie beside a model's weights: mended where they cannot be saved, and kept from training.

Published folders set temperatures, penalties, beams, suppressed or forced tokens. Responses that are drawn with them
come from another distribution than the one that is trained and measured, so only end tokens are taken from there.
"""

import json
import logging
from pathlib import Path
from typing import Any

from ringlite_cli.errors import UserError

log = logging.getLogger(__name__)

FILE = "generation_config.json"


def end_tokens(settings: Any) -> list[int]:
    """Return the end tokens that generation settings name, in their order."""
    named = getattr(settings, "eos_token_id", None)
    if named is None:
        return []
    return [int(token) for token in named] if isinstance(named, list | tuple) else [int(named)]


def only_ends(settings: Any) -> Any:
    """Return generation settings with the special tokens of `settings` and nothing else."""
    from transformers import GenerationConfig

    kept = {name: getattr(settings, name, None) for name in ("bos_token_id", "eos_token_id", "pad_token_id")}
    return GenerationConfig(**{name: value for name, value in kept.items() if value is not None})


def folder_generation(folder: Path | str) -> Any:
    """Return the generation settings of a model folder as far as transformers accepts them, and say what was changed.

    None where the folder has none. Raises UserError for a file that is not JSON.
    """
    file = Path(folder) / FILE
    if not file.is_file():
        return None
    try:
        fields = json.loads(file.read_text(encoding="utf-8"))
        assert isinstance(fields, dict)
    except (OSError, ValueError, AssertionError):
        raise UserError("the generation settings are not JSON", where=str(file), hint="mend or remove it") from None
    return _accepted(fields, str(file))


def mend_generation(network: Any, where: str) -> None:
    """Make the generation settings of a model such that transformers saves them, and say what was changed."""
    if network.generation_config is not None and _fault(network.generation_config):
        network.generation_config = _accepted(network.generation_config.to_dict(), where)


def _accepted(fields: dict[str, Any], where: str) -> Any:
    from transformers import GenerationConfig

    made, fault = _made(fields)
    if not fault:
        return made
    if not fields.get("do_sample"):
        sampled, other = _made(fields | {"do_sample": True})
        if not other:
            log.warning("%s sets how tokens are drawn, but not that they are: do_sample: true is added", where)
            return sampled
    log.warning("%s contradicts itself (%s): only its end tokens are kept", where, fault)
    names = ("bos_token_id", "eos_token_id", "pad_token_id")
    return GenerationConfig(**{name: fields[name] for name in names if fields.get(name) is not None})


def _made(fields: dict[str, Any]) -> tuple[Any, str]:
    """Generation settings of those fields, and what transformers refuses them for ('' if nothing)."""
    from transformers import GenerationConfig
    from transformers.utils import logging as told

    level = told.get_verbosity()
    told.set_verbosity(told.CRITICAL)
    try:
        settings = GenerationConfig.from_dict(dict(fields))
    except Exception as error:  # settings of watermarks, caches and decoders check themselves in ways of their own
        return None, " ".join(str(error).split())[:200] or type(error).__name__
    finally:
        told.set_verbosity(level)
    return settings, _fault(settings)


def _fault(settings: Any) -> str:
    """Return what transformers refuses to save these settings for; '' where it saves them."""
    try:
        settings.validate(strict=True)
    except Exception as error:  # as above
        return " ".join(str(error).split())[:200] or type(error).__name__
    return ""
