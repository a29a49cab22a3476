"""vLLM engines in this process: started for a policy, lent again to the next of the same shape, ended for good."""

import gc
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ringlite_cli.engine import check_vllm, graph_settings, prepare_environment, reload_on_cpu
from ringlite_cli.errors import UserError
from ringlite_cli.freeing import import_apart
from ringlite_cli.models.extra_layers import engine_folder
from ringlite_cli.recipe.engine import Engine

_NAMES = ("_name_or_path", "transformers_version", "architectures", "dtype", "torch_dtype", "use_cache")
"""Fields of a config that say nothing about the weights' shapes."""


@dataclass(frozen=True)
class EngineKey:
    """A policy and all that its engine is started with; engines of equal `shape` may take each other's weights."""

    model_path: str
    shape: str
    dtype: str
    max_model_length: int
    seed: int
    engine: Engine

    @staticmethod
    def of(
        model_path: str | Path, config: Any, engine: Engine, dtype: str | None, max_model_length: int, seed: int
    ) -> "EngineKey":
        import torch

        if dtype is None or dtype == "auto":
            dtype = "bfloat16" if torch.cuda.is_available() else "float32"
        fields = {name: value for name, value in config.to_dict().items() if name not in _NAMES}
        shape = json.dumps(fields, sort_keys=True, default=str)
        return EngineKey(str(model_path), shape, dtype, max_model_length, seed, engine)

    def takes(self, other: "EngineKey") -> bool:
        """Return whether an engine started for this may go on with the other's weights.

        Not a mixture's: its experts are repacked when they are loaded, and on a CPU a second load corrupts them without
        a word.
        """
        same = (self.shape, self.max_model_length, self.seed, self.engine, self.dtype) == (
            other.shape,
            other.max_model_length,
            other.seed,
            other.engine,
            other.dtype,
        )
        return (
            same
            and "expert" not in self.shape
            and self.engine.tensor_parallel_size == 1
            and any(Path(other.model_path).glob("*.safetensors"))
        )


class Engines:
    """At most one engine at a time. It stays for the next policy until `end`, or until the block ends."""

    def __init__(self) -> None:
        self.started = 0
        self._llm: Any = None
        self._key: EngineKey | None = None

    def __enter__(self) -> "Engines":
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def borrow(self, key: EngineKey) -> Any:
        """A vLLM `LLM` with the weights of key.model_path. Raises UserError where it cannot start."""
        if self._llm is not None and self._key is not None and self._key.takes(key):
            load_weights(self._llm, key.model_path)
        else:
            self.end()
            self._llm = start(key)
            self.started += 1
        self._key = key
        return self._llm

    def end(self) -> None:
        """End the engine and free its memory."""
        if self._llm is None:
            return
        from vllm.distributed.parallel_state import cleanup_dist_env_and_memory

        core = self._llm.llm_engine.engine_core
        self._llm = self._key = None
        core.shutdown()
        del core
        gc.collect()
        cleanup_dist_env_and_memory()


def start(key: EngineKey) -> Any:
    """A new engine."""
    import torch

    cuda = torch.cuda.is_available()
    check_vllm("engine.name", instead="set engine.name: transformers")
    _check_memory(key)
    prepare_environment(cuda=cuda, batch_invariant=key.engine.batch_invariant)
    LLM = import_apart("vllm.entrypoints.llm").LLM
    optional: dict[str, Any] = {}
    if key.engine.max_num_seqs:
        optional = {"max_num_seqs": key.engine.max_num_seqs}
        if cuda and not key.engine.enforce_eager:
            optional |= graph_settings(key.engine.max_num_seqs)
    try:
        with engine_folder(key.model_path) as folder:
            return LLM(
                model=folder,
                dtype=key.dtype,
                seed=key.seed,
                max_model_len=key.max_model_length,
                gpu_memory_utilization=key.engine.gpu_memory_utilization,
                tensor_parallel_size=key.engine.tensor_parallel_size,
                enforce_eager=key.engine.enforce_eager or not cuda,
                **optional,
            )
    except (ValueError, NotImplementedError) as error:  # pydantic's too: vLLM checks its settings with it
        raise UserError(
            f"vLLM does not start ({_first_lines(error)})",
            where=key.model_path,
            hint="change the recipe's engine section, or set engine.name: transformers",
        ) from None


def load_weights(llm: Any, folder: str | Path) -> None:
    """Put a folder's weights into a running engine, and forget the prompts that it remembered.

    On CUDA tensors go in one by one, as in TRL's weight sync.
    """
    import torch

    def load(worker: Any) -> None:
        for named in folder_weights(folder):
            worker.get_model().load_weights([named])

    if torch.cuda.is_available():
        llm.llm_engine.collective_rpc(load)
    else:
        reload_on_cpu(llm, folder)
    llm.reset_prefix_cache()


def folder_weights(folder: str | Path) -> Iterator[tuple[str, Any]]:
    """Name and tensor of everything in a model folder's safetensors files, one at a time."""
    from safetensors import safe_open

    files = sorted(Path(folder).glob("*.safetensors"))
    if not files:
        raise UserError("the model folder holds no safetensors", where=str(folder), hint="save it again")
    for file in files:
        with safe_open(file, "pt") as tensors:
            for name in tensors.keys():  # noqa: SIM118  (a safe_open has keys and is no mapping)
                yield name, tensors.get_tensor(name)


def _check_memory(key: EngineKey) -> None:
    """Raise UserError where the share of the GPU that vLLM would take is not free."""
    import torch

    if not torch.cuda.is_available():
        return
    free, total = torch.cuda.mem_get_info()
    missing = key.engine.gpu_memory_utilization * total - free
    if missing > 0:
        raise UserError(
            f"vLLM would take {key.engine.gpu_memory_utilization:.0%} of {total / 2**30:.0f} GiB, and "
            f"{missing / 2**30:.1f} GiB of that are in use",
            where="engine.gpu_memory_utilization",
            hint="lower it, or engine.max_model_length with it",
        )


def _first_lines(error: Exception) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__
