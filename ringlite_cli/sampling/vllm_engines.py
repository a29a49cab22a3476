"""vLLM engines in this process: started for a policy, lent again to the next of the same shape, ended for good."""

import gc
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ringlite_cli.engine import (
    check_vllm,
    compiled_once,
    forget_graphs,
    graph_settings,
    prepare_environment,
    reload_on_cpu,
    seed_draws,
)
from ringlite_cli.errors import UserError, first_line
from ringlite_cli.freeing import give_back, import_apart
from ringlite_cli.models.extra_layers import engine_folder
from ringlite_cli.models.headers import open_tensors, read_headers
from ringlite_cli.sampling.engine_key import EngineKey
from ringlite_cli.sampling.engine_limits import asked_for, hold_to, put_to_sleep, started_with, too_small, wake
from ringlite_cli.sampling.held_weights import fault
from ringlite_cli.sampling.load import load_config, load_tokenizer
from ringlite_cli.terminal.screen import screen

_STEPS = 3
"""Steps without requests after which an engine has handed on all it had begun, and cleared its batch."""


class Engines:
    """At most one engine at a time. It stays for the next policy until `end`, or until the block ends.

    started, kept: how often an engine was started, and how often it took another policy's weights instead. ends: the
    end tokens that the model's generation settings name, the same for all policies that one engine serves. gpu_bytes:
    what the engine takes of the GPU's memory (asleep, where it sleeps), 0 without an engine or a GPU.
    """

    def __init__(self) -> None:
        self.started = self.kept = self.gpu_bytes = 0
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
        return self._lend(key, lambda: start(key))

    def take(self, policy: Path, start_one: Callable[[], Any], settings: Mapping[str, Any]) -> Any:
        """Return a vLLM `LLM` for a trainer beside it that starts from a policy's folder; see `borrow`.

        start_one: starts one with `settings`, arguments of LLM. With sleep mode it sleeps, and has no weights: those of
        the trainer are the first that it gets.
        """
        key = EngineKey.of_trainer(policy, load_config(policy), load_tokenizer(policy), settings)
        return self._lend(key, start_one)

    def make_room(self, policy: Path, settings: Mapping[str, Any]) -> None:
        """End an engine that a trainer of a policy's folder could not `take` with these settings."""
        if self._llm is None:
            return
        key = EngineKey.of_trainer(policy, load_config(policy), load_tokenizer(policy), settings)
        if why := self._misfit(key):
            self.end()
            _say(f"engine not kept: {why}; another is started for {policy}")

    def rest(self) -> None:
        """Have an engine with sleep mode give its memory back until the next policy."""
        if self._llm is not None and self._key is not None and self._key.sleeps:
            put_to_sleep(self._llm)

    def end(self) -> None:
        """End the engine and free its memory."""
        if self._llm is None:
            return
        from vllm.distributed.parallel_state import cleanup_dist_env_and_memory

        core = self._llm.llm_engine.engine_core
        self._llm = self._key = None
        self.gpu_bytes = 0
        core.shutdown()
        forget_graphs()
        del core
        gc.collect()
        cleanup_dist_env_and_memory()

    def _lend(self, key: EngineKey, start_one: Callable[[], Any]) -> Any:
        try:
            keeps = self._llm is not None and self._takes(key)
        except BaseException:  # it may hold some of the weights
            self.end()
            raise
        if not keeps:
            self.end()
            self._start(key, start_one)
        seed_draws(key.seed)
        return self._llm

    def _start(self, key: EngineKey, start_one: Callable[[], Any]) -> None:
        began, free = time.monotonic(), _free_bytes()
        self._llm, self._key = start_one(), key
        self.started, self.ends = self.started + 1, _named_ends(self._llm)
        self.rest()
        self.gpu_bytes = max(0, free - _free_bytes())
        _say(f"engine started for {key.model_path} in {time.monotonic() - began:.1f} s")

    def _takes(self, key: EngineKey) -> bool:
        """Whether the engine goes on with a policy, whose weights it then holds; says so, and why where it does not."""
        held, llm = self._key, self._llm
        assert held is not None
        began = time.monotonic()
        why = self._misfit(key) or _held_to(llm, held, key)
        if not why and (why := _take(llm, key)):
            self._refused.add(key.shape)
        if why:
            _say(f"engine not kept: {why}; another is started for {key.model_path}")
            return False
        self.kept += 1
        share = held.engine.gpu_memory_utilization
        less = f", with {share:.0%} of the GPU" if self.gpu_bytes and share != key.engine.gpu_memory_utilization else ""
        does = "waits for the trainer's weights" if key.sleeps else f"holds {key.model_path}"
        _say(f"engine kept: it {does} after {time.monotonic() - began:.1f} s{less}")
        return True

    def _misfit(self, key: EngineKey) -> str:
        """Return why the engine cannot go on with a policy, by what it was started with; '' where it may."""
        held, llm = self._key, self._llm
        assert held is not None
        why = held.difference(key) or ("" if key.sleeps else held.fixed) or _why_apart(llm)
        if not why and key.shape in self._refused:
            why = "it did not hold the weights that it was given before"
        return why or too_small(held, key, started_with(llm))


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
                max_num_batched_tokens=key.batched_tokens,
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
    """Have a running engine take a policy's weights. Return why it may not be used with them; '' where it may.

    One that sleeps beside a trainer gives up those it has: it gets the trainer's when it is woken.
    """
    try:
        _forget(llm)
        if key.sleeps:
            put_to_sleep(llm)
            return ""
        wake(llm)
        with engine_folder(key.model_path) as folder:
            load_weights(llm, folder)
            why = fault(llm, folder, key.dtype)
        _forget(llm)
    except UserError:
        raise
    except Exception as error:  # engines' errors share no base class; a new engine says what is wrong, if anything is
        return f"it does not take the weights ({first_line(error)})"
    return f"it does not hold the folder's weights ({why})" if why else ""


def _held_to(llm: Any, held: EngineKey, key: EngineKey) -> str:
    """Hold an engine that was started for `held` to what a policy's stage asks for. Return why it cannot be, or ''."""
    try:
        hold_to(llm, asked_for(held, key, started_with(llm)), key.logprobs_mode)
    except (AttributeError, TypeError) as error:
        return f"this version of vLLM cannot be told other limits ({first_line(error)})"
    return ""


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


def _free_bytes() -> int:
    """Return the GPU's free memory, 0 without a GPU."""
    import torch

    if not torch.cuda.is_available():
        return 0
    give_back()
    return int(torch.cuda.mem_get_info()[0])


def _named_ends(llm: Any) -> list[int]:
    named = llm.llm_engine.model_config.try_get_generation_config().get("eos_token_id")
    return named if isinstance(named, list) else [] if named is None else [named]


def _say(text: str) -> None:
    screen().aside(text, "dim")


def _first_lines(error: Exception) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__
