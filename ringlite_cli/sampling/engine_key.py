"""What a vLLM engine is started for and with, and whether it may go on with another policy's weights.

What each setting of an engine means for that:
- it has to be the same: number formats (`dtype`, `head_dtype`), eager or with graphs, batch-invariant kernels, GPUs
  that share it, and whatever has no name here. It decides which kernels compute a token.
- as much, or more: the maximum length, the responses under way, the tokens of a step. `engine_limits.py` holds an
  engine to the numbers that a stage asks for, so that it draws what one with just these would.
- the share of the GPU's memory decides how long responses wait, see `_other_share`; sleep mode whether it can be given
  back in updates.
- set anew for each stage: the seed, and which log-probabilities are told (`logprobs_mode`).
- no part of it: the executor (with one GPU all keep the model in this process), and LoRA (a trainer hands over merged
  weights).
"""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ringlite_cli.engine import batched_tokens
from ringlite_cli.models.generation import end_tokens, folder_generation
from ringlite_cli.models.headers import read_headers
from ringlite_cli.recipe.engine import Engine

_NAMES = ("_name_or_path", "transformers_version", "dtype", "torch_dtype", "use_cache")
"""Fields of a config that say nothing about the weights' shapes, or nothing that the engine is not told elsewhere."""
_OWN_FIELDS = (
    *("model", "dtype", "seed", "tensor_parallel_size", "gpu_memory_utilization", "max_model_len", "max_num_seqs"),
    *("max_num_batched_tokens", "enforce_eager", "enable_sleep_mode", "logprobs_mode", "max_cudagraph_capture_size"),
    "distributed_executor_backend",
)
"""Arguments of vLLM's LLM that a key holds in fields of its own, or that are no part of it."""
_USUAL = {"model_impl": ("auto", "vllm"), "quantization": (None,), "trust_remote_code": (False,)}
"""Further arguments that a trainer gives, with the values that are vLLM's own choice, or come to the same."""
_SHARE_LESS, _SHARE_LEAST = 0.9, 0.5
"""Parts of the asked share of memory that an engine has at least to serve a trainer, and to serve a sampler.

RL draws for hours: a cache that is too small costs more than a start. Select and eval draw for minutes, and on half
the cache no more than half as slowly."""
_SHARE_MORE = 0.02
"""Share of a GPU that an engine may have beyond what was asked: less than what a trainer's plan leaves alone."""
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
    "" where they cannot be known. ends: the end tokens that the folder's settings name. seed: of the draws. sleeps,
    logprobs_mode: vLLM's. other: further arguments, as JSON. trains: whether it serves a trainer beside it. graphs:
    responses of a step that need CUDA graphs, 0 for any number. alone: whether nothing else needs the GPU's memory.
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
    sleeps: bool = False
    logprobs_mode: str = "raw_logprobs"
    other: str = "{}"
    trains: bool = False
    graphs: int = 0
    alone: bool = False

    @staticmethod
    def of(
        model_path: str | Path,
        config: Any,
        tokenizer: Any,
        engine: Engine,
        dtype: str | None,
        max_model_length: int,
        seed: int,
        **more: Any,
    ) -> "EngineKey":
        """Return the key of a policy. more: further fields. Raises UserError for weights that are cut short."""
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
            **more,
        )

    @staticmethod
    def of_trainer(policy: str | Path, config: Any, tokenizer: Any, settings: Mapping[str, Any]) -> "EngineKey":
        """Return the key of the engine that a trainer starts with these arguments of vLLM's LLM."""
        given = settings.get("dtype", "auto")
        other = {name: value for name, value in settings.items() if name not in _OWN_FIELDS}
        return EngineKey.of(
            policy,
            config,
            tokenizer,
            Engine(
                name="vllm",
                gpu_memory_utilization=settings["gpu_memory_utilization"],
                max_num_seqs=settings["max_num_seqs"],
                tensor_parallel_size=settings["tensor_parallel_size"],
                enforce_eager=settings.get("enforce_eager", False),
                batch_invariant=os.environ.get("VLLM_BATCH_INVARIANT") == "1",
            ),
            _taken_for_auto(config) if given == "auto" else given,
            settings["max_model_len"] or 0,
            settings["seed"],
            sleeps=settings["enable_sleep_mode"],
            logprobs_mode=settings["logprobs_mode"],
            other=json.dumps({n: v for n, v in other.items() if v not in _USUAL.get(n, ())}, sort_keys=True),
            trains=True,
            graphs=settings.get("max_cudagraph_capture_size", 0),
        )

    @property
    def batched_tokens(self) -> int:
        """Return the tokens that a step takes at most."""
        return batched_tokens(self.engine.max_num_seqs or 0)

    @property
    def _fixed_settings(self) -> str:
        """Return the settings in which engines have to agree, as JSON; on a CPU all are eager."""
        import torch

        settings = self.engine.model_dump(include={"tensor_parallel_size", "enforce_eager", "batch_invariant"})
        settings["enforce_eager"] |= not torch.cuda.is_available()
        return json.dumps(settings | json.loads(self.other), sort_keys=True)

    @property
    def fixed(self) -> str:
        """Return why an engine started for this serves no other policy; '' where it may."""
        if self.engine.tensor_parallel_size > 1:
            return "its weights lie in several processes (engine.tensor_parallel_size)"
        if not self.tensors:
            return "the policy is no folder of safetensors"
        return next((why for field, why in _REPACKED.items() if field in self.shape), "")

    def difference(self, other: "EngineKey") -> str:
        """Return what an engine started for this has otherwise than the other needs it; '' where it fits.

        Whether it is large enough is left to `engine_limits.too_small`, which asks the engine.
        """
        pairs = {
            f"fields of the config ({_unequal(self.shape, other.shape)})": (self.shape, other.shape),
            "tensors": (self.tensors, other.tensors),
            "a vocabulary": (self.words, other.words),
            "end tokens": (self.ends, other.ends),
            "a dtype": (self.dtype, other.dtype),
            f"engine settings ({_unequal(self._fixed_settings, other._fixed_settings)})": (
                self._fixed_settings,
                other._fixed_settings,
            ),
        }
        differ = [name for name, (mine, theirs) in pairs.items() if mine != theirs]
        if differ:
            return f"the next policy has other {', '.join(differ)}"
        if other.trains and self.sleeps != other.sleeps:
            return f"it was started {'with' if self.sleeps else 'without'} sleep mode"
        return self._other_share(other)

    def _other_share(self, asked: "EngineKey") -> str:
        """Return why an engine's share of the GPU's memory does not do; '' where it does, and on a CPU."""
        import torch

        mine, wanted = (key.engine.gpu_memory_utilization for key in (self, asked))
        least = (_SHARE_LESS if asked.trains else _SHARE_LEAST) * wanted
        too_much = mine > wanted + _SHARE_MORE and not asked.alone
        if not torch.cuda.is_available() or (mine >= least - 1e-9 and not too_much):
            return ""
        return f"it has {mine:.0%} of the GPU's memory, and {wanted:.0%} are asked for"


def _unequal(shape: str, other: str) -> str:
    """The names of the fields in which two objects, as JSON, differ."""
    mine, theirs = json.loads(shape), json.loads(other)
    return ", ".join(sorted(name for name in {**mine, **theirs} if mine.get(name) != theirs.get(name)))


def _taken_for_auto(config: Any) -> str:
    """Return the number format that vLLM takes by itself on this GPU: the folder's, in half for float32."""
    import torch

    named = getattr(config, "dtype", None) or getattr(config, "torch_dtype", None) or "float32"
    name = str(named).removeprefix("torch.")
    return ("bfloat16" if torch.cuda.is_bf16_supported() else "float16") if name == "float32" else name


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]
