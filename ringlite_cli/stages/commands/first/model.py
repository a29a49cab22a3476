"""What a model is, from its config, its tokenizer and the headers of its weights: nothing is loaded or trained."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ringlite_cli.config_numbers import context_length
from ringlite_cli.errors import UserError, first_line
from ringlite_cli.models.refused import adapter_base, model_faults
from ringlite_cli.stages.preflight.asked_models import is_local
from ringlite_cli.stages.preflight.model import near_folder

PLAIN_TEMPLATE = (
    "{% for message in messages %}{{ '<|' + message['role'] + '|>\\n' + message['content'] }}"
    "{% if message['role'] == 'assistant' %}{{ eos_token }}{% endif %}{{ '\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\\n' }}{% endif %}"
)
"""A chat template for models that have none: the role on a line of its own, the model's end token after a response."""


@dataclass
class Looked:
    """What was found out about a model.

    section: the recipe's section `model`. template: the chat template that the recipe has to bring; "" where the model
    has its own. positions: its context, None where it has no bound or is not known. parameters: 0 where not known.
    notes: what the user should know. unknown: what could not be found out, and why.
    """

    name: str
    section: dict[str, Any]
    kind: str = ""
    positions: int | None = None
    parameters: int = 0
    tokenizer: Any = None
    template: str = ""
    notes: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)

    @property
    def in_words(self) -> str:
        size = f"{_count(self.parameters)} parameters" if self.parameters else ""
        context = f"context {self.positions:,} tokens" if self.positions else ""
        end = f"a response ends with {self.tokenizer.eos_token}" if self.tokenizer is not None else ""
        return ", ".join(filter(None, [self.kind, size, context, end])) or "not looked at"


def look_at_model(name: str) -> Looked:
    """Look at a folder, a GGUF file, an adapter's folder, or a hub id.

    Raises UserError for a folder that holds no model which ringlite can train.
    """
    path = Path(name).expanduser()
    if path.suffix == ".gguf" and path.is_file():
        return _looked_at(Looked(name, {"path": str(path.parent), "gguf_file": path.name}))
    if path.is_dir() and (base := adapter_base(path)):
        return _adapter(name, path, base)
    if is_local(name) and not path.is_dir():
        raise UserError(f"no folder {name!r}", where="--model", hint=near_folder(path))
    looked = Looked(name, {"path": name})
    if path.is_dir():
        _check_folder(path)
    return _looked_at(looked)


def look_at_section(section: dict[str, Any]) -> Looked:
    """Look at the model that a recipe names already."""
    name = str(section.get("path") or section.get("package") or "a new model")
    if section.get("new"):
        positions = section["new"]["config"].get("max_position_embeddings")
        unknown = ["its tokenizer is trained on the traces, so lengths in tokens are guessed"]
        return Looked(name, section, "made new", positions, unknown=unknown)
    return _looked_at(Looked(name, section))


def _looked_at(looked: Looked) -> Looked:
    _look_at_config(looked)
    return _with_tokenizer(looked)


def _check_folder(folder: Path) -> None:
    from ringlite_cli.models.loading import check_model_files

    if not (folder / "config.json").is_file():
        there = ", ".join(sorted(path.name for path in folder.iterdir())[:5]) or "nothing"
        raise UserError("no model there: config.json is missing", where=str(folder), hint=f"it holds {there}")
    if faults := model_faults(str(folder), trust_remote_code=False):
        raise UserError(faults[0], where="--model")
    check_model_files(folder, quick=True)


def _adapter(name: str, folder: Path, base: str) -> Looked:
    """An adapter is merged into the model that it was trained on."""
    if base == "its model":
        raise UserError("an adapter that does not name its model", where=name, hint="give the model's own folder or id")
    if is_local(base) and not Path(base).expanduser().is_dir():
        raise UserError(
            f"this is an adapter of {base!r}, which is not there",
            where=name,
            hint="give the model's own folder, and write `adapter:` beside its path into the recipe",
        )
    looked = look_at_model(base)
    looked.section = {**looked.section, "adapter": name}
    looked.notes.insert(0, f"{name} is an adapter, not a model: it is merged into {base} before training")
    return looked


def _look_at_config(looked: Looked) -> None:
    """Read kind, context and size off the config: a folder's, a hub id's, or that of a GGUF file's head."""
    from transformers import AutoConfig
    from transformers.utils import logging

    from ringlite_cli.models import register

    register()
    level = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        config = AutoConfig.from_pretrained(_place(looked.section), **_file(looked.section))
    except UserError:
        raise
    except Exception as error:  # hub and config faults share no base class
        looked.unknown.append(f"its config ({first_line(error)}): context and size are not known")
        return
    finally:
        logging.set_verbosity(level)
    looked.kind = str(config.model_type)
    looked.positions = context_length(config)
    looked.parameters = _size(config)


def _size(config: Any) -> int:
    """The parameters of a network with this config, made without memory; 0 where transformers refuses it."""
    import torch
    from transformers import AutoModelForCausalLM

    try:
        with torch.device("meta"):
            return int(AutoModelForCausalLM.from_config(config).num_parameters())
    except Exception:  # a size is a courtesy; what is wrong with the config is said where it is used
        return 0


def _place(section: dict[str, Any]) -> str:
    """The folder or id that transformers reads a config from."""
    from ringlite_cli.train.base_model import gguf_folder

    if section.get("gguf_file"):
        return str(gguf_folder(section))
    path = str(section["path"])
    return str(Path(path).expanduser()) if is_local(path) else path


def _file(section: dict[str, Any]) -> dict[str, str]:
    return {"gguf_file": section["gguf_file"]} if section.get("gguf_file") else {}


def _with_tokenizer(looked: Looked) -> Looked:
    """Load the tokenizer; where it has no chat template, with a plain one that the recipe then brings."""
    from ringlite_cli.chat.templates import ChatOptions, default_template
    from ringlite_cli.train.base_model import make_tokenizer

    try:
        looked.tokenizer, positions = make_tokenizer(looked.section, [])
    except UserError as error:
        if "no chat template" not in error.what:
            if looked.section.get("gguf_file") or is_local(str(looked.section["path"])):
                raise
            looked.unknown.append(f"its tokenizer ({error.what}): lengths in tokens are guessed")
            return looked
        looked.tokenizer, positions = make_tokenizer(looked.section, [], chat=ChatOptions(PLAIN_TEMPLATE))
        looked.template = PLAIN_TEMPLATE
        looked.notes.append(
            "the tokenizer has no chat template, as of a base model: the recipe brings a plain one, which SFT has to "
            "teach; an instruct version of the model, if there is one, needs less of it"
        )
    looked.positions = looked.positions or positions
    if not looked.template and not default_template(looked.tokenizer):
        looked.unknown.append("its chat template")
    return looked


def _count(number: int) -> str:
    for size, letter in ((10**9, "B"), (10**6, "M"), (10**3, "k")):
        if number >= size:
            return f"{number / size:.3g}{letter}"
    return str(number)
