"""vLLM's LLM in this process, with a check before it generates and each response handed on when it has ended."""

from collections.abc import Callable
from contextlib import closing
from typing import Any

from ringlite_cli.engine import run_requests
from ringlite_cli.train.engine.log_probs import ask_flat


class CheckedEngine:
    """vLLM's LLM, which has its weights checked before it generates, and hands on each response when it has ended."""

    def __init__(
        self, llm: Any, check: Any, hand_on: Callable[[int, list[int]], None], order: Callable[[int], list[int]]
    ) -> None:
        self.engine, self._check, self._hand_on, self._order = llm, check, hand_on, order

    def generate(self, prompts: list[Any], sampling_params: Any, **_: Any) -> list[Any]:
        from vllm.sampling_params import RequestOutputKind

        self._check(self.engine)
        sampling_params.output_kind = RequestOutputKind.FINAL_ONLY
        sampling_params.detokenize = bool(sampling_params.stop)  # nobody reads the text; 20 us a token
        ask_flat(sampling_params)
        outputs: dict[int, Any] = {}
        requests = {str(place): (prompts[place], sampling_params) for place in self._order(len(prompts))}
        with closing(run_requests(self.engine.llm_engine, requests)) as finished:
            for ended in finished:
                for output in ended:
                    place = int(output.request_id)
                    outputs[place] = output
                    self._hand_on(place, list(output.outputs[0].token_ids))
        return [outputs[place] for place in range(len(prompts))]

    def __getattr__(self, name: str) -> Any:
        return getattr(self.engine, name)
