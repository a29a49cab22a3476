"""Which responses an engine begins with where their lengths are known: the longest, whoever the engine belongs to."""

from contextlib import nullcontext
from typing import Any

import pytest
import torch
from trl.generation.vllm_client import VLLMClient

from ringlite_cli.train.engine.noting_client import NotingClient
from ringlite_cli.train.engine.order import longest_first
from ringlite_cli.train.engine.watched import WatchedGeneration

PROMPTS = [[1], [2], [3]]
KNOWN = [10.0, 10.0, 30.0, 30.0, 20.0, 20.0]
"""Of two responses to each prompt."""


class FakeAccelerator:
    num_processes, process_index, is_main_process = 1, 0, True


def generation(mode: str, expected: list[float] | None, **more: Any) -> Any:
    """A generation that has no engine yet."""
    made = object.__new__(WatchedGeneration)
    made.mode, made.expected, made.accelerator, made.tensor_parallel_size = mode, expected, FakeAccelerator(), 1
    for name, value in more.items():
        setattr(made, name, value)
    return made


def client() -> NotingClient:
    made = object.__new__(NotingClient)
    made._fault, made._limit, made._is_gone = None, nullcontext, None
    return made


@pytest.mark.parametrize(("expected", "asked"), [(KNOWN, [[2], [3], [1]]), (None, PROMPTS)])
def test_a_server_is_asked_for_the_longest_first_and_answers_come_back_as_they_were_drawn(
    expected: list[float] | None, asked: list[list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[list[list[int]]] = []

    def answer(_: Any, prompts: list[list[int]], features: None, n: int, **__: Any) -> dict[str, Any]:
        seen.append(prompts)
        responses = [[10 * ids[0] + place] for ids in prompts for place in range(n)]
        told = [[[-float(ids[0])]] for ids in responses]
        return {"prompt_ids": prompts, "completion_ids": responses, "logprobs": told, "logprob_token_ids": None}

    monkeypatch.setattr(VLLMClient, "generate", answer)
    server = generation("server", expected, vllm_client=client(), processing_class=None, images=None)
    for name in ("temperature", "top_p", "top_k", "min_p", "repetition_penalty", "structured_outputs_regex"):
        setattr(server, name, None)
    server.max_completion_length, server.logprobs, server.generation_kwargs = 4, 0, {}
    monkeypatch.setattr(WatchedGeneration, "check_sync", lambda *_: None)
    monkeypatch.setattr(WatchedGeneration, "_started_again", lambda *_: False)
    prompts = [ids for ids in PROMPTS for _ in range(2)]
    ids, responses, log_probs, _ = server._generate_by_server(prompts, images=None, num_generations=2)
    assert seen == [asked]
    assert ids == prompts
    assert responses == [[10], [11], [20], [21], [30], [31]]
    assert log_probs == [[[-10.0]], [[-11.0]], [[-20.0]], [[-21.0]], [[-30.0]], [[-31.0]]]


def test_an_engine_that_ranks_share_begins_with_the_longest_of_all_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every rank has to begin with the same ones: the engines of a group work in step."""

    def gather(found: list[Any], mine: Any, group: Any) -> None:
        assert group == "the group"
        found[:] = [mine, [5.0, 40.0]]

    monkeypatch.setattr(torch.distributed, "all_gather_object", gather)
    shared = generation("colocate", [10.0, 30.0], tp_group="the group")
    shared.tensor_parallel_size = 2
    assert shared._order(4) == [3, 1, 0, 2]
    shared.expected = None
    assert shared._order(4) == [0, 1, 2, 3]


def test_an_engine_of_one_rank_begins_with_the_longest() -> None:
    assert generation("colocate", [10.0, 30.0, 10.0])._order(3) == [1, 0, 2]
    assert longest_first([30.0, 10.0], 3) == [0, 1, 2], "of others nothing is known"
