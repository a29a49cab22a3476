"""What servers answer that is no whole response, or is counted and written otherwise than OpenAI's."""

from typing import Any

import pytest
from endpoint_helpers import Server

from ringlite_cli.errors import WorkFailed
from ringlite_cli.samples import FILTERED, Request, SampledResponse, SamplingSettings
from ringlite_cli.sampling import endpoint
from ringlite_cli.sampling.endpoint import EndpointSampler

SETTINGS = SamplingSettings(max_completion_length=7)


def ask(server: Server) -> SampledResponse:
    return EndpointSampler(server.responder(), SETTINGS).sample([Request("p", [{"content": "Double 1"}])])[0][0]


def answer(message: dict[str, Any], finish: str | None = "stop", **more: Any) -> dict[str, Any]:
    return {"choices": [{"message": message, "finish_reason": finish}], **more}


@pytest.mark.parametrize("finish", ["abort", "error"])
def test_a_response_that_the_server_gave_up_is_asked_for_again(server: Server, finish: str) -> None:
    server.replies = [(200, answer({"content": "half a"}, finish)), (200, {"error": {"message": "overloaded"}})]
    assert ask(server).text == "\\boxed{2}"
    assert len(server.seen) == 3
    server.finish = finish
    with pytest.raises(WorkFailed, match=f"failed 5 times .the server gave the response up: .* '{finish}'"):
        ask(server)


def test_a_filtered_response_is_no_response(server: Server) -> None:
    server.finish = "content_filter"
    assert ask(server).refused == FILTERED
    server.finish, server.refuses = "stop", lambda _: b"The response was filtered due to the content management policy"
    assert ask(server).refused == FILTERED


@pytest.mark.parametrize(("finish", "cut"), [("length", True), ("max_tokens", True), (None, True), ("stop", False)])
def test_every_name_of_the_length_limit_is_truncation(server: Server, finish: str | None, cut: bool) -> None:
    server.finish = finish  # type: ignore[assignment]
    assert ask(server).truncated == cut, "7 tokens came, and 7 were asked for"


@pytest.mark.parametrize("usage", [None, [1], {"completion_tokens": "seven"}, {"completion_tokens": None}])
def test_what_a_server_does_not_count_is_unknown(server: Server, usage: Any) -> None:
    server.replies = [(200, answer({"content": "4"}, usage=usage))]
    sample = ask(server)
    assert (sample.text, sample.counted, sample.tokens) == ("4", None, 0)


def test_a_response_in_parts_and_a_thought_that_never_ended(server: Server) -> None:
    parts = [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}, {"type": "text", "text": "4"}]
    server.replies = [(200, answer({"content": parts}))]
    assert ask(server).text == "<think>\nhm\n</think>\n\n4"
    server.replies = [(200, answer({"content": None, "reasoning": "so \\boxed{5}"}, "length"))]
    assert ask(server).text == "<think>\nso \\boxed{5}"


def test_the_wait_that_a_busy_server_asks_for_is_kept(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []

    def refuse(*_: Any, **__: Any) -> Any:
        raise endpoint.Refused(429, "slow down", 30.0 if len(waits) < 2 else 9999.0)

    monkeypatch.setattr(endpoint, "post_json", refuse)
    sampler = EndpointSampler(server.responder(), SETTINGS)
    monkeypatch.setattr(sampler._stopping, "wait", lambda seconds: waits.append(seconds))
    with pytest.raises(WorkFailed, match="429"):
        sampler.sample([Request("p", [{"content": "Double 1"}])])
    assert waits == [30.0, 30.0, 120.0, 120.0]
