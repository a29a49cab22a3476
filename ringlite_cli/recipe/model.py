"""The section `model` of a recipe: which model training starts from."""

from typing import Any, Literal

from pydantic import model_validator

from ringlite_cli.recipe.key_classes import objective, operational, tunable
from ringlite_cli.recipe.section import Section, several

Dtype = Literal["float32", "bfloat16", "auto"]


class NewModel(Section):
    """A model made on the spot from an architecture that transformers ships, with a tokenizer trained on the traces."""

    vocab_size: int = objective(
        512, ge=280, description="upper bound of the tokenizer's size (256 bytes + 24 at least)"
    )
    config: dict[str, Any] = objective(description="fields of the transformers config; model_type is required")

    @model_validator(mode="after")
    def _has_type(self) -> "NewModel":
        if not isinstance(self.config.get("model_type"), str):
            raise ValueError("config needs a model_type (for example ernie4_5_moe)")
        return self


class Model(Section):
    """Where the policy comes from: exactly one of path, package (with gguf_file) or new."""

    path: str | None = objective(None, description="Hugging Face id or local folder")
    revision: str | None = objective(None, description="commit or tag of the model on the hub; default: the newest")
    adapter: str | None = objective(
        None, description="folder of an adapter (peft) that is merged into the model of path"
    )
    package: str | None = objective(None, description="an installed Python package that carries the weights")
    gguf_file: str | None = objective(None, description="the GGUF file in the package or folder")
    new: NewModel | None = objective(None, description="make a model from scratch")
    dtype: Dtype = objective("auto", description="number format that is computed with; auto: that of the weights")
    attn_implementation: str | None = tunable(
        None, description="attention of transformers; default: the one for packed rows on this device"
    )
    trust_remote_code: bool = objective(False, description="run the Python code that is published with the weights")
    allow_pickle: bool = operational(False, description="load weights that are no safetensors; unpickling can run code")

    @model_validator(mode="after")
    def _one_origin(self) -> "Model":
        given = [name for name in ("path", "package", "new") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError("give exactly one of path, package or new" + several(given))
        if self.package and not self.gguf_file:
            raise ValueError("package needs gguf_file, the weights' file name in it")
        if self.adapter and (not self.path or self.gguf_file):
            raise ValueError("adapter needs path, the base model that it was trained on, without gguf_file")
        return self
