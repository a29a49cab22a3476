"""Sampling with vLLM, in this process.

How it differs from `LLM.generate`: prompts go in as tokens, responses come out as each problem is finished, so that
what is done is kept when the run stops; text is decoded in batches; and an engine whose policy is closed takes the
weights of the next one, if that is of the same shape, instead of starting again.
"""

import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ringlite_cli.chat.rendering import prompt_ids
from ringlite_cli.chat.responses import prompt_end, response_texts, without_end_token
from ringlite_cli.engine import run_requests
from ringlite_cli.errors import UserError
from ringlite_cli.recipe.engine import Engine
from ringlite_cli.sampling.engine_key import EngineKey
from ringlite_cli.sampling.load import load_config, load_model, load_tokenizer, positions_of
from ringlite_cli.sampling.sampler import (
    OnDone,
    OnProgress,
    Progress,
    Request,
    SampledResponse,
    SamplingSettings,
    sample_seed,
)
from ringlite_cli.sampling.vllm_engines import Engines

_PROMPT_TOKENS = 4096
"""Room for the prompt where the recipe does not say."""


class VllmSampler:
    """A policy from a model folder or hub id. Samples carry no log-probability and no entropy.

    engines: where the engine is borrowed from, and who ends it; without, `close` ends the engine. alone: nothing else
    needs the GPU's memory, so that a kept engine may have more of it than `engine` says.
    """

    def __init__(
        self,
        model_path: str | Path,
        *,
        settings: SamplingSettings,
        engine: Engine,
        engines: Engines | None = None,
        dtype: str | None = None,
        progress: OnProgress | None = None,
        alone: bool = False,
    ) -> None:
        self.settings, self.engine, self.progress = settings, engine, progress
        self.model_path, self.dtype = model_path, dtype
        self.tokenizer = load_tokenizer(model_path)
        self._model: Any = None
        self._engines, self._ends = engines or Engines(), engines is None
        config = load_config(model_path)
        self.max_positions = longest_sequence(config, engine, settings)
        asked = (engine, dtype, self.max_positions, settings.seed)
        self.llm = self._engines.borrow(EngineKey.of(model_path, config, self.tokenizer, *asked, alone=alone))
        self.end_ids = sorted({*self._engines.ends, self.tokenizer.eos_token_id})

    @property
    def model(self) -> Any:
        """The policy as a transformers model, for what needs a forward pass; loaded beside the engine when asked."""
        if self._model is None:
            self._model = load_model(self.model_path, dtype=self.dtype)
        return self._model

    def prompt_ids(self, request: Request) -> list[int]:
        return prompt_ids(self.tokenizer, request.messages)

    def sample(
        self, requests: Sequence[Request], on_done: OnDone | None = None, progress: OnProgress | None = None
    ) -> list[list[SampledResponse]]:
        """See Sampler.sample. Raises UserError for a prompt that leaves no room for a response."""
        progress = progress or self.progress
        started, tokens, done, total = time.monotonic(), 0, 0, sum(r.num_generations for r in requests)
        results: list[list[SampledResponse]] = [[] for _ in requests]
        asked = _Asked()
        wanted = self._wanted(requests, asked)
        with closing(run_requests(self.llm.llm_engine, wanted)) as outputs:
            for ended in outputs:
                for sample, place in self._samples(ended, asked):
                    results[place].append(sample)
                    tokens, done = tokens + len(sample.token_ids), done + 1
                    if len(results[place]) == requests[place].num_generations:
                        results[place].sort(key=lambda s: s.index)
                        if on_done:
                            on_done(requests[place], results[place])
                if progress:
                    progress(Progress(done, total, tokens, time.monotonic() - started))
        return results

    def sample_from(
        self, take: Callable[[int], Sequence[Request]], on_made: Callable[[list[tuple[Request, SampledResponse]]], None]
    ) -> None:
        """Draw what `take` hands out, so that the engine is never short of work while there is some.

        take: asked before every step, with the number of responses under way; [] where there is none to hand out.
        on_made: gets responses as they end, each with its request, whose others may still be under way.
        """
        asked = _Asked()

        def more(under_way: int) -> dict[str, tuple[Any, Any]]:
            return self._wanted(take(under_way), asked)

        with closing(run_requests(self.llm.llm_engine, {}, more)) as outputs:
            for ended in outputs:
                on_made([(asked.requests[place], sample) for sample, place in self._samples(ended, asked)])

    @property
    def most_at_once(self) -> int:
        """Responses that the engine decodes at a time."""
        return int(self.llm.llm_engine.vllm_config.scheduler_config.max_num_seqs)

    def close(self) -> None:
        self._model = self.llm = None  # whoever keeps this sampler does not keep the engine's memory
        if self._ends:
            self._engines.end()

    def _checked_prompt(self, request: Request) -> list[int]:
        prompt = self.prompt_ids(request)
        if len(prompt) >= self.max_positions:
            raise UserError(
                f"the prompt has {len(prompt):,} tokens but the engine takes {self.max_positions:,} positions",
                where=f"problem {request.problem_id}",
                hint="raise engine.max_model_length, drop long prompts, or use a model with a longer context",
            )
        return prompt

    def _params(self, request: Request, index: int, prompt_tokens: int) -> Any:
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind

        return SamplingParams(
            temperature=self.settings.temperature,
            top_p=self.settings.top_p,
            max_tokens=min(self.settings.max_completion_length, self.max_positions - prompt_tokens),
            stop_token_ids=self.end_ids,
            seed=sample_seed(self.settings.seed, request.problem_id, index) if self.engine.seeded else None,
            detokenize=False,
            output_kind=RequestOutputKind.FINAL_ONLY,
        )

    def _wanted(self, requests: Sequence[Request], asked: "_Asked") -> dict[str, tuple[Any, Any]]:
        """Return what vLLM is asked for these requests, which go into `asked`."""
        wanted: dict[str, tuple[Any, Any]] = {}
        prompts = [self._checked_prompt(request) for request in requests]
        for request, ids in zip(requests, prompts, strict=True):
            place = len(asked.requests)
            asked.requests.append(request)
            for index in request.indices:
                name = f"{place}-{index}"
                asked.places[name] = (place, index)
                wanted[name] = ({"prompt_token_ids": ids}, self._params(request, index, len(ids)))
        return wanted

    def _samples(self, outputs: Sequence[Any], asked: "_Asked") -> list[tuple[SampledResponse, int]]:
        """Finished outputs as samples, each with its request's place."""
        ids = [list(output.outputs[0].token_ids) for output in outputs]
        texts = response_texts(self.tokenizer, [without_end_token(each, self.end_ids) for each in ids]) if ids else []
        made = []
        for output, token_ids, text in zip(outputs, ids, texts, strict=True):
            place, index = asked.places.pop(output.request_id)
            sample = SampledResponse(
                problem_id=asked.requests[place].problem_id,
                index=index,
                text=text,
                token_ids=tuple(token_ids),
                prompt_tokens=len(output.prompt_token_ids),
                truncated=not token_ids or token_ids[-1] not in self.end_ids,
                prompt_end=prompt_end(self.tokenizer, list(output.prompt_token_ids)),
            )
            made.append((sample, place))
        return made


@dataclass
class _Asked:
    """The requests of a call, and where each of its responses belongs: name -> (request's place, sample's index)."""

    requests: list[Request] = field(default_factory=list)
    places: dict[str, tuple[int, int]] = field(default_factory=dict)


def longest_sequence(config: Any, engine: Engine, settings: SamplingSettings) -> int:
    """Return the positions of prompt and response that the engine is set up for. config: the model's."""
    return min(engine.max_model_length or settings.max_completion_length + _PROMPT_TOKENS, positions_of(config))
