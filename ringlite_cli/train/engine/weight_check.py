"""Whether an engine samples from the trainer's weights: log-probabilities of a few fixed prompts are compared."""

from collections.abc import Callable
from typing import Any

import torch
from accelerate.utils import broadcast_object_list
from torch import Tensor

from ringlite_cli.c3po.packing import base_causal_lm
from ringlite_cli.errors import WorkFailed
from ringlite_cli.train.engine.log_probs import ask_flat
from ringlite_cli.train.engine.start import Watch
from ringlite_cli.train.float32_head import head_in_float32

_CHECK_PROMPTS, _CHECK_TOKENS = 4, 128


class WeightCheck:
    """Mixed into TRL's generation: stale or corrupted weights stop the run instead of spoiling it.

    `_check_due` is set after a sync; the check waits until the engine is about to generate.
    """

    watch: Watch
    accelerator: Any
    model: Any
    vllm_client: Any
    _dist: Any
    _stats: dict[str, float]
    _started_again: Callable[[], bool]
    _check_prompts: list[list[int]] | None = None
    _check_due = False

    def check_sync(self, prompts: list[list[int]]) -> None:
        """Compare a server's log-probabilities with the trainer's, where that is due; start a failed one again.

        prompts: some of the run's; the check takes a few of them. All ranks have to call it.
        """
        if self._check_prompts is None:
            self._check_prompts = self._choose_check_prompts(prompts)
        self._check_weights(None)
        while self._started_again():
            self._check_weights(None)

    def _choose_check_prompts(self, prompts: list[list[int]]) -> list[list[int]]:
        """Return the first prompts of the run, cut; the same on all ranks."""
        distinct = list(dict.fromkeys(tuple(prompt[:_CHECK_TOKENS]) for prompt in prompts))[:_CHECK_PROMPTS]
        chosen = [[list(prompt) for prompt in distinct if len(prompt) > 1]]
        if self.accelerator.num_processes > 1:
            broadcast_object_list(chosen, from_process=0)
        return chosen[0]

    def _check_weights(self, llm: Any) -> None:
        """Compare, if due, as the engine is about to generate: only then are its weights and its cache both awake.

        llm: a colocated engine; None for a server, which the first rank asks.
        """
        if not self._check_due or not self._check_prompts:
            return
        self._check_due = False
        drift = self._drift(self._check_prompts, llm)
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

    def _drift(self, check_prompts: list[list[int]], llm: Any) -> float:
        """Return the mean |difference| of engine and trainer over these tokens, nats; 0 on ranks that ask no server."""
        ours = [self._log_probs(ids) for ids in check_prompts]
        if llm is not None:
            theirs = engine_log_probs(llm, check_prompts)
        elif self.accelerator.is_main_process:
            client = self.vllm_client
            theirs = client.attempt(lambda: server_log_probs(client, check_prompts), otherwise=ours)
        else:
            theirs = ours
        return float(torch.cat([(a - b).abs() for a, b in zip(ours, theirs, strict=True)]).mean())

    def _log_probs(self, ids: list[int]) -> Tensor:
        """Return the trainer's log-probability of each token after the first, (T - 1,); its head is in float32."""
        tokens = torch.tensor([ids], device=self.accelerator.device)
        training = self.model.training
        self.model.eval()
        try:
            with (
                torch.no_grad(),
                self.accelerator.autocast(),
                self._dist.gather_params(list(self.model.parameters())),
                head_in_float32(base_causal_lm(self.accelerator.unwrap_model(self.model))),
            ):
                logits = self.model(input_ids=tokens).logits[0, :-1].float()
        finally:
            self.model.train(training)
        return torch.log_softmax(logits, -1).gather(-1, tokens[0, 1:, None]).squeeze(-1).cpu()


def engine_log_probs(llm: Any, check_prompts: list[list[int]]) -> list[Tensor]:
    """Return an engine's log-probabilities of each sequence's tokens after the first, (T - 1,) each, nats."""
    from vllm import SamplingParams

    params = SamplingParams(max_tokens=1, temperature=0.0, prompt_logprobs=0, detokenize=False)
    ask_flat(params)
    outputs = llm.generate([{"prompt_token_ids": ids} for ids in check_prompts], params, use_tqdm=False)
    return [torch.tensor(output.prompt_logprobs.logprobs) for output in outputs]


def server_log_probs(client: Any, check_prompts: list[list[int]]) -> list[Tensor]:
    """Return a server's log-probabilities of the same. client: TRL's VLLMClient."""
    asked = {"model": client.model, "prompt": check_prompts, "max_tokens": 1, "temperature": 0.0, "prompt_logprobs": 0}
    choices = client._post(f"{client.base_url}/v1/completions", json=asked)["choices"]
    return [
        torch.tensor(
            [entry[str(token)]["logprob"] for token, entry in zip(ids[1:], choice["prompt_logprobs"][1:], strict=True)]
        )
        for ids, choice in zip(check_prompts, choices, strict=True)
    ]
