"""A vLLM engine in this process as a stream of responses: stopped at any token, and asked to go on from there.

An unfinished response is given up and asked for again with what it has as part of its prompt, so that nothing of it
has to stay in the engine: sleep mode frees all memory, and a checkpoint holds all state.
"""

from collections.abc import Sequence
from typing import Any

from ringlite_cli.errors import UserError
from ringlite_cli.train.engine.log_probs import ask_flat, sampled
from ringlite_cli.train.engine.stream import Ask, Written


class VllmStream:
    """See ringlite_cli/train/engine/stream.py. settings: of every request, as SamplingParams takes them."""

    def __init__(self, engine: Any, settings: dict[str, Any], *, seeded: bool) -> None:
        """engine: vLLM's LLMEngine. seeded: whether each request has random numbers of its own, which costs speed."""
        self._engine, self._settings, self._seeded = engine, settings, seeded
        self._open: set[str] = set()

    def ask(self, asks: Sequence[Ask]) -> None:
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind

        for ask in asks:
            seed = {"seed": ask.seed} if self._seeded else {}
            params = SamplingParams(**(self._settings | {"max_tokens": ask.room, "n": 1} | seed))
            params.output_kind = RequestOutputKind.FINAL_ONLY
            params.detokenize = False
            ask_flat(params)
            self._engine.add_request(ask.name, {"prompt_token_ids": ask.ids}, params)
            self._open.add(ask.name)

    def step(self) -> list[Written]:
        found = []
        for output in self._engine.step():
            if output.finished:
                self._open.discard(output.request_id)
                (one,) = output.outputs
                found.append(
                    Written(output.request_id, list(one.token_ids), sampled(one.logprobs, one.token_ids), True)
                )
        return found

    def written(self) -> int:
        states = self._engine.output_processor.request_states
        return sum(state.detokenizer.num_output_tokens() for state in states.values())

    def stop(self) -> list[Written]:
        states = self._engine.output_processor.request_states
        found = [_partly(state) for state in list(states.values())]
        found = [written for written in found if written.name in self._open]
        if len(found) != len(self._open):
            raise UserError(
                "this version of vLLM does not tell what unfinished requests have written",
                where="rollouts.mode",
                hint="set rollouts: {mode: wait}, or install a version that `ringlite doctor` knows",
            )
        self.forget()
        return found

    def forget(self) -> None:
        """Give up everything that is under way."""
        if self._open:
            self._engine.abort_request(list(self._open), internal=False)
            self._open.clear()
        while self._engine.has_unfinished_requests():  # the abort itself takes a step of the engine
            self._engine.step()


def _partly(state: Any) -> Written:
    tokens = list(state.detokenizer.output_token_ids)
    name = getattr(state, "external_req_id", None) or state.request_id
    return Written(name, tokens, sampled(state.logprobs_processor.logprobs, tokens), False)
