"""What a vLLM engine is started for and with, and whether it may go on with another policy's weights."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ringlite_cli.models.generation import end_tokens, folder_generation
from ringlite_cli.models.headers import read_headers
from ringlite_cli.recipe.engine import Engine

_NAMES = ("_name_or_path", "transformers_version", "dtype", "torch_dtype", "use_cache")
"""Fields of a config that say nothing about the weights' shapes, or nothing that the engine is not told elsewhere."""
_STARTED_WITH = (
    "gpu_memory_utilization",
    "max_num_seqs",
    "tensor_parallel_size",
    "enforce_eager",
    "batch_invariant",
)
"""Keys of the recipe's engine that a running one cannot change."""
_REPACKED = {
    "expert": "a mixture's experts are repacked when they are loaded",
    "kv_lora_rank": "its attention works on matrices that are computed from the weights at the start",
    "quantization_config": "quantized weights are repacked when they are loaded",
}
"""Field of a config, or a part of its name -> why a running engine cannot take other weights of such a model."""


@dataclass(frozen=True)
class EngineKey:
    """A policy and all that its engine is started with.

    shape: the config's fields as JSON. tensors, words: digests of the weights' names and shapes, and of the vocabulary;
    "" where they cannot be known. ends: the end tokens that the folder's settings name. seed: of the draws.
    """

    model_path: str
    shape: str
    tensors: str
    words: str
    ends: tuple[int, ...]
    dtype: str
    max_model_length: int
    seed: int
    engine: Engine

    @staticmethod
    def of(
        model_path: str | Path,
        config: Any,
        tokenizer: Any,
        engine: Engine,
        dtype: str | None,
        max_model_length: int,
        seed: int,
    ) -> "EngineKey":
        """Return the key of a policy. Raises UserError for weights that are cut short or damaged."""
        import torch

        if dtype is None or dtype == "auto":
            dtype = "bfloat16" if torch.cuda.is_available() else "float32"
        fields = {name: value for name, value in config.to_dict().items() if name not in _NAMES}
        headers = read_headers(Path(model_path)) if Path(model_path).is_dir() else {}
        shapes = {name: stored.shape for name, stored in headers.items()}
        return EngineKey(
            str(model_path),
            json.dumps(fields, sort_keys=True, default=str),
            _digest(shapes) if shapes else "",
            _digest([tokenizer.get_vocab(), tokenizer.eos_token_id]),
            tuple(sorted(end_tokens(folder_generation(model_path) or config))),
            dtype,
            max_model_length,
            seed,
            engine,
        )

    @property
    def fixed(self) -> str:
        """Return why an engine started for this serves no other policy; '' where it may."""
        if self.engine.tensor_parallel_size > 1:
            return "its weights lie in several processes (engine.tensor_parallel_size)"
        if not self.tensors:
            return "the policy is no folder of safetensors"
        return next((why for field, why in _REPACKED.items() if field in self.shape), "")

    def difference(self, other: "EngineKey") -> str:
        """Return what an engine started for this has otherwise than the other policy needs it; '' where it fits."""
        pairs = {
            f"fields of the config ({_unequal(self.shape, other.shape)})": (self.shape, other.shape),
            "tensors": (self.tensors, other.tensors),
            "a vocabulary": (self.words, other.words),
            "end tokens": (self.ends, other.ends),
            "a dtype": (self.dtype, other.dtype),
            "a maximum length": (self.max_model_length, other.max_model_length),
            "engine settings": tuple(key.engine.model_dump(include=set(_STARTED_WITH)) for key in (self, other)),
        }
        differ = [name for name, (mine, theirs) in pairs.items() if mine != theirs]
        return f"the next policy has other {', '.join(differ)}" if differ else ""


def _unequal(shape: str, other: str) -> str:
    """The names of the fields in which two configs, as JSON, differ."""
    mine, theirs = json.loads(shape), json.loads(other)
    return ", ".join(sorted(name for name in {**mine, **theirs} if mine.get(name) != theirs.get(name)))


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]
