"""TRL's vLLM generation, watched.

VLLMGeneration, except:
1. a colocated engine is set up for this device (a CPU: eager, in the trainer's dtype) and for the run's seed, and a
   fault is told in words;
2. a server that the recipe gives no address of is the run's own: started on other GPUs, and ended with the training;
3. weights go over under their published names; on a CPU as a folder, for its repacked tensors cannot be written one by
   one;
4. after every sync log-probabilities of a few fixed prompts are compared with the trainer's: stale or corrupted
   weights stop the run instead of spoiling it;
5. an engine that fails or hangs is started again, once in a run: one in this process where it is the only rank, the
   run's own server on any number of ranks;
6. a response of an engine in this process is handed on as soon as it has ended (`on_response`), to be verified while
   others are still written, and its log-probabilities are read from flat lists (log_probs.py);
7. the seconds of generation and sync, the bytes of a sync, and the drift that was seen, are counted
   (`take_stats`);
8. weights that FSDP2 shares out are gathered block by block, in the number format that they are computed with;
9. a lone rank goes on with the run's engine where there is one and it fits, and leaves it to the next stage; either way
   it draws as one that was just started.
"""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from accelerate.utils import gather_object
from trl.generation import vllm_generation
from trl.trainer import grpo_trainer

from ringlite_cli.engine import batched_tokens, compiled_once, engine_seed, graph_settings, seed_draws
from ringlite_cli.errors import RingliteError, UserError, WorkFailed
from ringlite_cli.freeing import give_back
from ringlite_cli.models.extra_layers import engine_folder
from ringlite_cli.train.engine.checked_engine import CheckedEngine
from ringlite_cli.train.engine.ending import forget_groups, shut_down
from ringlite_cli.train.engine.held import RunEngine, asked_settings
from ringlite_cli.train.engine.log_probs import read_flat
from ringlite_cli.train.engine.order import longest_first
from ringlite_cli.train.engine.own_server import ServerProcess, free_port
from ringlite_cli.train.engine.publishing import PublishingGeneration
from ringlite_cli.train.engine.server_restart import ServerRestart
from ringlite_cli.train.engine.server_stream import ServerStream
from ringlite_cli.train.engine.start import Watch
from ringlite_cli.train.engine.stream import Stream
from ringlite_cli.train.engine.time_limit import EngineHung
from ringlite_cli.train.engine.vllm_stream import VllmStream
from ringlite_cli.train.engine.weight_check import WeightCheck

_RENDEZVOUS = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


@contextmanager
def watched_generation(watch: Watch, args: Any) -> Iterator[None]:
    """Make a GRPOTrainer in this block, with the config `args`: it generates through WatchedGeneration."""
    if watch.engine is not None and watch.policy is not None and args.vllm_mode == "colocate" and args.world_size == 1:
        watch.engine.make_room(watch.policy, asked_settings(args, watch.number_formats()))
    module: Any = grpo_trainer
    plain = module.VLLMGeneration
    module.VLLMGeneration = partial(WatchedGeneration, watch, args)
    try:
        yield
    finally:
        module.VLLMGeneration = plain


class WatchedGeneration(ServerRestart, WeightCheck, PublishingGeneration):
    """See the top of this file."""

    max_num_seqs: int

    def __init__(self, watch: Watch, config: Any, *args: Any, **kwargs: Any) -> None:
        self.watch, self.config = watch, config
        self.llm: Any = None
        self.server: ServerProcess | None = None
        self.on_response: Callable[[int, list[int]], None] | None = None
        """Gets the place of a response among the rollout's, and its tokens, in this thread."""
        self.expected: list[float] | None = None
        """Lengths that this rank's responses are likely to have: the longest are begun first."""
        self.restarts = 0
        self._stats = _no_stats()
        if "max_num_seqs" in kwargs and getattr(config, "carries", False):
            kwargs["max_num_seqs"] = config.settings.responses(config.num_generations, config.world_size)
        super().__init__(*args, **kwargs)

    def take_stats(self) -> dict[str, float]:
        """Return what was counted since the last call."""
        stats, self._stats = self._stats, _no_stats()
        return stats

    def sync_weights(self) -> None:
        """Sync as TRL does; start the run's own server again if it is gone. Raises WorkFailed as generate does."""
        started = time.perf_counter()
        if self.mode != "server" and self._on_cpu:
            self._reload()
        else:
            try:
                super().sync_weights()
            except EngineHung as error:  # while weights were gathered: this rank can't join the others any more
                raise WorkFailed(f"weights were not gathered in {self.watch.timeout:g} s") from error
        self._free_blocks()
        self._check_due = True
        self._stats["sync_seconds"] += time.perf_counter() - started
        if self.mode == "server":
            self._started_again()

    def _free_blocks(self) -> None:
        """Give the memory that torch holds without use to the engine that wakes, or to the update that begins."""
        if self.mode == "colocate" and self.enable_sleep_mode:
            torch.cuda.empty_cache()

    def generate(self, prompts: list[list[int]], *args: Any, **kwargs: Any) -> tuple:
        """Generate as TRL does; start a failed engine again. Raises WorkFailed if it fails again or has drifted."""
        if self._check_prompts is None:
            self._check_prompts = self._choose_check_prompts(prompts)
        started, synced = time.perf_counter(), self._stats["sync_seconds"]
        try:
            if self.mode == "server":
                return self._generate_by_server(prompts, *args, **kwargs)
            with self._in_time(), read_flat():
                drawn: tuple = super().generate(prompts, *args, **kwargs)
            self._free_blocks()
            return drawn
        except RingliteError:
            raise
        except Exception as error:
            if self.mode == "server":
                raise
            self._start_again(error)
        finally:
            within = self._stats["sync_seconds"] - synced  # an engine that slept is given its weights again
            self._stats["generation_seconds"] += time.perf_counter() - started - within
        return self.generate(prompts, *args, **kwargs)

    def _generate_by_server(self, prompts: list[list[int]], *args: Any, **kwargs: Any) -> tuple:
        expected = None if self.expected is None else gather_object(self.expected)
        while True:
            self.check_sync(prompts)
            if self.accelerator.is_main_process:
                self.vllm_client.expected = expected
            found: tuple = super().generate(prompts, *args, **kwargs)
            if not self._started_again():
                return found

    @contextmanager
    def drawing(self, prompts: list[list[int]]) -> Iterator[Stream]:
        """Write responses token by token in this block, in at most `engine_timeout` seconds.

        prompts: some of the run's; the check after a sync takes a few of them. A sleeping engine is woken, and sleeps
        again behind.
        """
        if self._check_prompts is None:
            self._check_prompts = self._choose_check_prompts(prompts)
        if self.mode == "server":
            self.check_sync(prompts)
            with self._in_time():
                served = self._server_stream()
                try:
                    yield served
                finally:
                    served.forget()
            return
        asleep = self.enable_sleep_mode and getattr(self, "_llm_weights_sleeping", False)
        if asleep:
            synced = self._stats["sync_seconds"]
            self.sync_weights()
            self._stats["generation_seconds"] -= self._stats["sync_seconds"] - synced  # which this block's seconds hold
        if self.enable_sleep_mode:
            self.llm.wake_up(tags=["kv_cache"])
        with self._in_time():
            self._check_weights(self.llm.engine)
            stream = VllmStream(self.llm.engine.llm_engine, self._settings(), seeded=self._on_cpu)
            try:
                yield stream
            except RingliteError:
                stream.forget()
                raise
        if self.enable_sleep_mode:
            self.llm.sleep(level=2)
            self._llm_weights_sleeping = True
            self._free_blocks()

    def _server_stream(self) -> ServerStream:
        """Return a stream from the server; the trainer has one process."""
        url, in_flight = self.vllm_client.base_url, self.config.settings.in_flight(self.config.num_generations)
        model, settings = self.vllm_client.model, self._settings()
        return ServerStream(url, model, settings, in_flight=in_flight, timeout=self.watch.timeout)

    def _settings(self) -> dict[str, Any]:
        """Return what TRL draws every response with, as SamplingParams takes it."""
        settings = {
            "repetition_penalty": self.repetition_penalty,
            "temperature": self.temperature,
            "top_p": self.top_p,
            "top_k": self.top_k,
            "min_p": 0.0 if self.min_p is None else self.min_p,
            "logprobs": self.logprobs,
        }
        return settings | self.generation_kwargs

    def start_again(self, error: Exception) -> None:
        """Start a fresh engine with the trainer's weights. Raises WorkFailed where that cannot help."""
        if self.mode == "server":
            self.vllm_client.note(error)
            self._started_again()
        else:
            self._start_again(error)

    def count_seconds(self, seconds: float) -> None:
        """Count seconds of generation for `take_stats`."""
        self._stats["generation_seconds"] += seconds

    def end(self, *, keep: bool = False) -> None:
        """End a colocated engine and free its memory, or end the run's own server.

        keep: leave the run's engine, if the trainer was lent that, to the next stage.
        """
        server, self.server = self.server, None
        if server is not None:
            server.end()
        llm, self.llm = self.llm, None
        if llm is None:
            return
        if self._lent is not None:
            del llm
            (self._lent.rest if keep else self._lent.end)()
        else:
            shut_down(llm.engine, ranks=self.accelerator.num_processes)
            del llm
        give_back()

    @property
    def _lent(self) -> RunEngine | None:
        alone = self.accelerator.num_processes == 1 and self.watch.policy is not None
        return self.watch.engine if alone else None

    @property
    def _on_cpu(self) -> bool:
        return bool(self.accelerator.device.type == "cpu")

    def _init_vllm(self) -> None:
        if self.mode != "colocate":
            self._init_client()
            return
        plain, began = vllm_generation.LLM, time.perf_counter()
        outside = {name: os.environ.get(name) for name in _RENDEZVOUS}
        if self.accelerator.num_processes == 1:
            os.environ["MASTER_PORT"] = str(free_port())  # left to TRL, two runs on a machine would meet at 29500
        else:
            forget_groups()
        if self._on_cpu:
            settings: dict[str, Any] = {"enforce_eager": True, "dtype": str(self.model.dtype).removeprefix("torch.")}
        else:
            settings = graph_settings(self.max_num_seqs)
        settings |= self.watch.number_formats()
        vllm_generation.LLM = partial(self._made, plain, settings)
        try:
            super()._init_vllm()
        except (ValueError, NotImplementedError, torch.OutOfMemoryError) as error:
            raise UserError(
                f"vLLM does not start beside the trainer ({' '.join(str(error).split())[:300]})",
                where="trl.use_vllm",
                hint="change trl.vllm_gpu_memory_utilization or trl.vllm_max_model_length, or set use_vllm: false",
            ) from None
        finally:
            vllm_generation.LLM = plain
            for name, value in outside.items():  # left set, they would make a later stage believe in other ranks
                if value is None:
                    os.environ.pop(name, None)
                else:
                    os.environ[name] = value
        self.llm = CheckedEngine(self.llm, self._check_weights, self._hand_on, self._order)
        self._stats["engine_start_seconds"] = time.perf_counter() - began

    def _made(self, plain: Any, ours: dict[str, Any], *, seed: int, **theirs: Any) -> Any:
        """Return vLLM's LLM for TRL's arguments and ours; it draws by the recipe's seed too.

        seed: TRL's, the number of the tensor-parallel group. An engine in this process draws with the process's random
        numbers: by TRL's number alone, runs of every seed would draw with the same ones.
        """
        seed = engine_seed(self.config.seed, seed)
        tokens = batched_tokens(theirs["max_num_seqs"])
        settings = ours | theirs | {"seed": seed, "max_num_batched_tokens": tokens}
        if self._lent is not None:
            assert self.watch.policy is not None
            return self._lent.take(self.watch.policy, partial(_start, plain, **settings), settings)
        llm = _start(plain, **settings)
        seed_draws(seed)
        return llm

    def _order(self, responses: int) -> list[int]:
        """Return the places of `responses` responses in the order in which they are begun.

        The ranks that share an engine have to call it together; it draws the responses of all of them.
        """
        if self.expected is None or self.tensor_parallel_size == 1:
            return longest_first(self.expected, responses)
        of_ranks: list[Any] = [None] * self.tensor_parallel_size
        torch.distributed.all_gather_object(of_ranks, self.expected, group=self.tp_group)
        return longest_first([length for of_rank in of_ranks for length in of_rank], responses)

    def _hand_on(self, place: int, tokens: list[int]) -> None:
        if self.on_response is not None and self.tensor_parallel_size == 1:  # else it may be another rank's
            self.on_response(place, tokens)

    def _start_again(self, error: Exception) -> None:
        """Start another engine in this process. Raises WorkFailed where that cannot help."""
        self._count_restart(error)
        self.end()
        self._init_vllm()
        self.sync_weights()


def _start(engine: Any, model: str, **settings: Any) -> Any:
    """Start vLLM's LLM on the model's folder, without the layers that engines refuse."""
    with engine_folder(model) as folder, compiled_once():
        return engine(model=folder, **settings)


def _no_stats() -> dict[str, float]:
    return {"generation_seconds": 0.0, "sync_seconds": 0.0, "sync_bytes": 0.0, "engine_drift": 0.0}
