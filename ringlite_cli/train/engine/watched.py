"""TRL's vLLM generation, watched.

VLLMGeneration, except:
1. a colocated engine is set up for this device (a CPU: eager, in the trainer's dtype), and a fault is told in words;
2. a server that the recipe gives no address of is the run's own: started on other GPUs, and ended with the training;
3. weights go over under their published names; on a CPU as a folder, for its repacked tensors cannot be written one by
   one;
4. after every sync a fixed probe's log-probabilities are compared with the trainer's: stale or corrupted weights stop
   the run instead of spoiling it;
5. an engine that fails or hangs is started again, once in a run;
6. a response of an engine in this process is handed on as soon as it has ended (`on_response`), to be verified while
   others are still written;
7. the seconds of generation and sync, and the drift that the probe saw, are counted (`take_stats`).
"""

import gc
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from functools import partial
from typing import Any

import torch
from accelerate.utils import broadcast_object_list, is_peft_model
from torch import Tensor
from trl.generation import vllm_generation
from trl.generation.vllm_generation import VLLMGeneration
from trl.trainer import grpo_trainer

from ringlite_cli.engine import graph_settings, reload_on_cpu, run_requests
from ringlite_cli.errors import RingliteError, UserError, WorkFailed
from ringlite_cli.train.engine.own_server import ServerProcess, free_port
from ringlite_cli.train.engine.start import Watch
from ringlite_cli.train.engine.time_limit import EngineHung, time_limit
from ringlite_cli.train.engine.weights import published_weights

_PROBES, _PROBE_TOKENS = 4, 128
_RENDEZVOUS = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


@contextmanager
def watched_generation(watch: Watch, args: Any) -> Iterator[None]:
    """A GRPOTrainer made in the block, with the config `args`, generates through WatchedGeneration."""
    module: Any = grpo_trainer
    plain = module.VLLMGeneration
    module.VLLMGeneration = partial(WatchedGeneration, watch, args)
    try:
        yield
    finally:
        module.VLLMGeneration = plain


class WatchedGeneration(VLLMGeneration):
    """See the top of this file."""

    max_num_seqs: int

    def __init__(self, watch: Watch, config: Any, *args: Any, **kwargs: Any) -> None:
        self.watch, self.config = watch, config
        self.llm: Any = None
        self.server: ServerProcess | None = None
        self.on_response: Callable[[int, list[int]], None] | None = None
        """Gets the place of a response among the rollout's, and its tokens, in this thread."""
        self.restarts = 0
        self._probe: list[list[int]] | None = None
        self._probe_due = False
        self._stats = _no_stats()
        super().__init__(*args, **kwargs)

    def take_stats(self) -> dict[str, float]:
        """What was counted since the last call."""
        stats, self._stats = self._stats, _no_stats()
        return stats

    def sync_weights(self) -> None:
        """As TRL's; the run's own server is started again where it has died or hangs. Raises WorkFailed as generate."""
        started = time.perf_counter()
        try:
            if self.mode == "server":
                with self._in_time():
                    super().sync_weights()
            elif self._on_cpu:
                self._reload()
            else:
                super().sync_weights()
        except Exception as error:
            if self.mode != "server":
                raise
            self._start_again(error)
        self._probe_due = True
        self._stats["sync_seconds"] += time.perf_counter() - started

    def generate(self, prompts: list[list[int]], *args: Any, **kwargs: Any) -> tuple:
        """As TRL's; an engine that fails is started again. Raises WorkFailed where it fails again, or has drifted."""
        if self._probe is None:
            self._probe = self._choose_probe(prompts)
        started = time.perf_counter()
        try:
            with self._in_time():
                if self.mode == "server":
                    self._check_probe(None)
                return super().generate(prompts, *args, **kwargs)
        except RingliteError:
            raise
        except Exception as error:
            self._start_again(error)
        finally:
            self._stats["generation_seconds"] += time.perf_counter() - started
        return self.generate(prompts, *args, **kwargs)

    def end(self) -> None:
        """Ends a colocated engine and frees its memory, or ends the run's own server."""
        server, self.server = self.server, None
        if server is not None:
            server.end()
        llm, self.llm = self.llm, None
        if llm is None or self.accelerator.num_processes > 1:  # it shares the ranks' process group, and would end it
            return
        from vllm.distributed.parallel_state import destroy_model_parallel

        llm.engine.llm_engine.engine_core.shutdown()
        del llm
        destroy_model_parallel()
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _in_time(self) -> AbstractContextManager[None]:
        """The block may take `engine_timeout` seconds; past them the run's own server is ended."""
        return time_limit(self.watch.timeout, wake=self.end if self.server else None)

    @property
    def _on_cpu(self) -> bool:
        return bool(self.accelerator.device.type == "cpu")

    def _init_vllm(self) -> None:
        if self.mode != "colocate":
            self._init_client()
            return
        plain = vllm_generation.LLM
        outside = {name: os.environ.get(name) for name in _RENDEZVOUS}
        if self._on_cpu:
            settings = {"enforce_eager": True, "dtype": str(self.model.dtype).removeprefix("torch.")}
        else:
            settings = graph_settings(self.max_num_seqs)
        vllm_generation.LLM = partial(plain, **settings)
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
        self.llm = _Probed(self.llm, self._check_probe, self._hand_on)

    def _init_client(self) -> None:
        """Joins the server that the recipe names, or starts the run's own and joins that."""
        if self.watch.server is not None and self.accelerator.is_main_process:
            os.environ.setdefault("VLLM_HOST_IP", "127.0.0.1")  # both ends of the weights' way are on this machine
            self.server = self.watch.start_server(self.config)
            self.server_base_url, self.group_port = self.server.url, free_port()
        try:
            super()._init_vllm()
        except BaseException:
            self.end()
            raise

    def _hand_on(self, place: int, tokens: list[int]) -> None:
        if self.on_response is not None and self.tensor_parallel_size == 1:  # else it may be another rank's
            self.on_response(place, tokens)

    def _reload(self) -> None:
        folder = tempfile.mkdtemp(prefix="ringlite-sync-")
        try:
            policy = self.accelerator.unwrap_model(self.model)
            if is_peft_model(policy):
                policy.merge_adapter()
                weights = dict(self._adapted(policy))
                policy.unmerge_adapter()
                policy.base_model.model.save_pretrained(folder, state_dict=weights)
            else:
                policy.save_pretrained(folder)
            reload_on_cpu(self.llm, folder)
            self.llm.reset_prefix_cache()
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _iter_named_params(self) -> Iterator[tuple[str, Tensor]]:
        policy = self.accelerator.unwrap_model(self.model)
        policy = policy.get_base_model() if is_peft_model(policy) else policy
        return published_weights(policy, super()._iter_named_params())

    def _adapted(self, policy: Any) -> Iterator[tuple[str, Tensor]]:
        """The merged weights of a model with an adapter, under the names of the model without."""
        for name, tensor in policy.base_model.model.state_dict().items():
            if policy.prefix not in name:
                yield name.replace(".base_layer", ""), tensor.clone()

    def _choose_probe(self, prompts: list[list[int]]) -> list[list[int]]:
        """The first prompts of the run, cut; the same on all ranks."""
        distinct = list(dict.fromkeys(tuple(prompt[:_PROBE_TOKENS]) for prompt in prompts))[:_PROBES]
        chosen = [[list(prompt) for prompt in distinct if len(prompt) > 1]]
        if self.accelerator.num_processes > 1:
            broadcast_object_list(chosen, from_process=0)
        return chosen[0]

    def _check_probe(self, llm: Any) -> None:
        """Runs when the engine is about to generate, for only then are its weights and its cache both awake.

        llm: a colocated engine; None for a server, which the first rank asks.
        """
        if not self._probe_due or not self._probe:
            return
        self._probe_due = False
        drift = self._drift(self._probe, llm)
        if self.accelerator.num_processes > 1:
            drift = float(self.accelerator.gather(torch.tensor([drift], device=self.accelerator.device)).max())
        self._stats["engine_drift"] = max(self._stats["engine_drift"], drift)
        if not drift <= self.watch.sync_tolerance:
            raise WorkFailed(
                f"after a weight sync the engine's log-probabilities are {drift:.3f} nats per token away from the "
                f"trainer's, and {self.watch.sync_tolerance:g} are allowed: it samples from other weights",
                hint="a mixture on a CPU cannot be synced: set use_vllm: false; elsewhere try another version of vLLM, "
                "or raise sync_tolerance if the difference is rounding alone",
            )

    def _drift(self, probe: list[list[int]], llm: Any) -> float:
        """Mean |difference| between engine and trainer over the probe's tokens, nats; 0 on ranks that ask no server."""
        ours = [self._log_probs(ids) for ids in probe]
        if llm is not None:
            theirs = engine_log_probs(llm, probe)
        elif self.accelerator.is_main_process:
            theirs = server_log_probs(self.vllm_client, probe)
        else:
            theirs = ours
        return float(torch.cat([(a - b).abs() for a, b in zip(ours, theirs, strict=True)]).mean())

    def _log_probs(self, ids: list[int]) -> Tensor:
        """(T - 1,) the trainer's log-probability of each token after the first."""
        tokens = torch.tensor([ids], device=self.accelerator.device)
        training = self.model.training
        self.model.eval()
        try:
            with torch.no_grad(), self.accelerator.autocast(), self._dist.gather_params(list(self.model.parameters())):
                logits = self.model(input_ids=tokens).logits[0, :-1].float()
        finally:
            self.model.train(training)
        return torch.log_softmax(logits, -1).gather(-1, tokens[0, 1:, None]).squeeze(-1).cpu()

    def _start_again(self, error: Exception) -> None:
        """A fresh engine with the trainer's weights. Raises WorkFailed where that cannot help."""
        what = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        if isinstance(error, EngineHung):
            what = f"no answer in {self.watch.timeout:g} s"
        others = self.mode != "colocate" and self.watch.server is None
        if self.restarts or others or self.accelerator.num_processes > 1:
            again = "again, after it was started anew" if self.restarts else "in mid-step"
            raise WorkFailed(
                f"the vLLM engine failed {again} ({what})",
                hint="the same command goes on from the last checkpoint; set use_vllm: false to go on without it",
            ) from error
        self.restarts += 1
        print(f"the vLLM engine failed ({what}); it is started again", flush=True)
        self.end()
        self._init_vllm()
        self.sync_weights()


def engine_log_probs(llm: Any, probe: list[list[int]]) -> list[Tensor]:
    """What an engine in this process makes of each sequence's tokens after the first, (T - 1,) each, nats."""
    from vllm import SamplingParams

    params = SamplingParams(max_tokens=1, temperature=0.0, prompt_logprobs=0, detokenize=False)
    outputs = llm.generate([{"prompt_token_ids": ids} for ids in probe], params, use_tqdm=False)
    return [
        torch.tensor([entry[token].logprob for token, entry in zip(ids[1:], output.prompt_logprobs[1:], strict=True)])
        for ids, output in zip(probe, outputs, strict=True)
    ]


def server_log_probs(client: Any, probe: list[list[int]]) -> list[Tensor]:
    """The same, of a server. client: TRL's VLLMClient."""
    asked = {"model": client.model, "prompt": probe, "max_tokens": 1, "temperature": 0.0, "prompt_logprobs": 0}
    choices = client._post(f"{client.base_url}/v1/completions", json=asked)["choices"]
    return [
        torch.tensor(
            [entry[str(token)]["logprob"] for token, entry in zip(ids[1:], choice["prompt_logprobs"][1:], strict=True)]
        )
        for ids, choice in zip(probe, choices, strict=True)
    ]


class _Probed:
    """vLLM's LLM, which lets the probe be checked before it generates, and hands on each response when it has ended."""

    def __init__(self, llm: Any, check: Any, hand_on: Callable[[int, list[int]], None]) -> None:
        self.engine, self._check, self._hand_on = llm, check, hand_on

    def generate(self, prompts: list[Any], sampling_params: Any, **_: Any) -> list[Any]:
        from vllm.sampling_params import RequestOutputKind

        self._check(self.engine)
        sampling_params.output_kind = RequestOutputKind.FINAL_ONLY
        sampling_params.detokenize = bool(sampling_params.stop)  # nobody reads the text; 20 us a token
        outputs: dict[int, Any] = {}
        requests = {str(place): (prompt, sampling_params) for place, prompt in enumerate(prompts)}
        with closing(run_requests(self.engine.llm_engine, requests)) as finished:
            for ended in finished:
                for output in ended:
                    place = int(output.request_id)
                    outputs[place] = output
                    self._hand_on(place, list(output.outputs[0].token_ids))
        return [outputs[place] for place in range(len(prompts))]

    def __getattr__(self, name: str) -> Any:
        return getattr(self.engine, name)


def _no_stats() -> dict[str, float]:
    return {"generation_seconds": 0.0, "sync_seconds": 0.0, "engine_drift": 0.0}
