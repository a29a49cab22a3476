"""vLLM engines in this process: started for a policy, lent again to the next of the same shape, ended for good."""

import gc
import random
import time
from pathlib import Path
from typing import Any

from ringlite_cli.engine import (
    check_vllm,
    compiled_once,
    forget_graphs,
    graph_settings,
    prepare_environment,
    reload_on_cpu,
)
from ringlite_cli.errors import UserError, first_line
from ringlite_cli.freeing import import_apart
from ringlite_cli.models.extra_layers import engine_folder
from ringlite_cli.models.headers import open_tensors, read_headers
from ringlite_cli.sampling.engine_key import EngineKey
from ringlite_cli.sampling.held_weights import fault
from ringlite_cli.terminal.screen import screen

_STEPS = 3
"""Steps without requests after which an engine has handed on all it had begun, and cleared its batch."""


class Engines:
    """At most one engine at a time. It stays for the next policy until `end`, or until the block ends.

    started, kept: how often an engine was started, and how often it took another policy's weights instead. ends: the
    end tokens that the model's generation settings name, the same for all policies that one engine serves.
    """

    def __init__(self) -> None:
        self.started = self.kept = 0
        self.ends: list[int] = []
        self._llm: Any = None
        self._key: EngineKey | None = None
        self._refused: set[str] = set()

    def __enter__(self) -> "Engines":
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def borrow(self, key: EngineKey) -> Any:
        """Return a vLLM `LLM` that holds key.model_path's weights, and draws as one that was just started.

        An engine that fits takes the weights; they are compared with the folder's before anything is drawn. Any other
        ends first, so there are never two. Raises UserError where none can start.
        """
        try:
            keeps = self._llm is not None and self._takes(key)
        except BaseException:  # it may hold some of the weights
            self.end()
            raise
        if not keeps:
            self.end()
            began = time.monotonic()
            self._llm = start(key)
            self.started, self.ends = self.started + 1, _named_ends(self._llm)
            _say(f"engine started for {key.model_path} in {time.monotonic() - began:.1f} s")
        self._key = key
        seed_draws(key.seed)
        return self._llm

    def end(self) -> None:
        """End the engine and free its memory."""
        if self._llm is None:
            return
        from vllm.distributed.parallel_state import cleanup_dist_env_and_memory

        core = self._llm.llm_engine.engine_core
        self._llm = self._key = None
        core.shutdown()
        forget_graphs()
        del core
        gc.collect()
        cleanup_dist_env_and_memory()

    def _takes(self, key: EngineKey) -> bool:
        """Whether the engine goes on with a policy, whose weights it then holds; says so, and why where it does not."""
        assert self._key is not None
        why = self._key.difference(key) or self._key.fixed or _why_apart(self._llm)
        if not why and self._key.shape in self._refused:
            why = "it did not hold the weights that it was given before"
        began = time.monotonic()
        if not why and (why := _take(self._llm, key)):
            self._refused.add(key.shape)
        if why:
            _say(f"engine not kept: {why}; another is started for {key.model_path}")
            return False
        self.kept += 1
        _say(f"engine kept: it holds {key.model_path} after {time.monotonic() - began:.1f} s")
        return True


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
        with engine_folder(key.model_path) as folder, compiled_once():
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


def seed_draws(seed: int) -> None:
    """Have this process draw as an engine that has just been started with this seed.

    A start draws random numbers too, and so does every response without a seed of its own: a policy's responses would
    else depend on what was drawn before it.
    """
    import numpy
    import torch

    random.seed(seed)
    numpy.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def load_weights(llm: Any, folder: str | Path) -> None:
    """Put a folder's weights into a running engine. On CUDA tensors go in one by one, as in TRL's weight sync."""
    import torch

    def load(worker: Any) -> None:
        for named in open_tensors(read_headers(Path(folder))):
            worker.get_model().load_weights([named])

    if torch.cuda.is_available():
        llm.llm_engine.collective_rpc(load)
        torch.cuda.synchronize()
    else:
        reload_on_cpu(llm, folder)


def _take(llm: Any, key: EngineKey) -> str:
    """Have a running engine take a policy's weights. Return why it may not be used with them; '' where it may."""
    try:
        _forget(llm)
        with engine_folder(key.model_path) as folder:
            load_weights(llm, folder)
            why = fault(llm, folder, key.dtype)
        _forget(llm)
    except UserError:
        raise
    except Exception as error:  # engines' errors share no base class; a new engine says what is wrong, if anything is
        return f"it does not take the weights ({first_line(error)})"
    return f"it does not hold the folder's weights ({why})" if why else ""


def _forget(llm: Any) -> None:
    """Have an engine forget the requests before: its batch's rows that have ended, and the prompts that it cached.

    Raises RuntimeError where it can't.
    """
    if llm.llm_engine.has_unfinished_requests():
        raise RuntimeError("responses are still under way")
    for _ in range(_STEPS):
        llm.llm_engine.step()
    if not llm.reset_prefix_cache():
        raise RuntimeError("cached prompts are not forgotten")


def _why_apart(llm: Any) -> str:
    """Return why an engine's weights cannot be reached from here; '' where they can."""
    here = hasattr(llm.llm_engine, "model_executor")
    return "" if here else "it runs in a process of its own (VLLM_ENABLE_V1_MULTIPROCESSING)"


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


def _named_ends(llm: Any) -> list[int]:
    named = llm.llm_engine.model_config.try_get_generation_config().get("eos_token_id")
    return named if isinstance(named, list) else [] if named is None else [named]


def _say(text: str) -> None:
    screen().aside(text, "dim")


def _first_lines(error: Exception) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__
