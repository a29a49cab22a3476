"""Log-probabilities of a real engine: read from flat lists, they are those that its dicts hold, bit for bit."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tiny_lm import save_policy
from vllm_runs import train, with_vllm

from ringlite_cli.engine import prepare_environment
from ringlite_cli.runs.files import read_jsonl
from ringlite_cli.train.engine import checked_engine, log_probs, vllm_stream, weight_check
from ringlite_cli.train.engine.checked_engine import CheckedEngine
from ringlite_cli.train.engine.ending import shut_down
from ringlite_cli.train.engine.stream import Ask, Written
from ringlite_cli.train.engine.vllm_stream import VllmStream

pytestmark = [pytest.mark.slow, with_vllm]

PROMPTS = [[3, 7, 1, 60], [20, 21, 22, 23, 60], [9, 60]]
GREEDY = {"temperature": 0.0}
DRAWN = {"temperature": 0.7, "top_p": 0.9, "seed": 5}
WAYS = [pytest.param(GREEDY, id="greedy"), pytest.param(DRAWN, id="drawn")]


@pytest.fixture(scope="module")
def dense(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_policy(tmp_path_factory.mktemp("dense"), "llama", head_dim=32)


@pytest.fixture(scope="module")
def llm(dense: Path) -> Iterator[Any]:
    """An engine with the log-probabilities that TRL asks for: after temperature and top-p."""
    prepare_environment(cuda=False)
    from vllm import LLM

    settings = {"dtype": "float32", "enforce_eager": True, "max_model_len": 128, "gpu_memory_utilization": 0.3}
    engine = LLM(str(dense), logprobs_mode="processed_logprobs", **settings)
    yield engine
    shut_down(engine, ranks=1)


def as_trl_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave vLLM its dicts from here on."""
    for module in (checked_engine, vllm_stream, weight_check):
        monkeypatch.setattr(module, "ask_flat", lambda params: None)


def generate(llm: Any, settings: dict[str, Any]) -> list[Any]:
    """Draw as the trainer does in mode wait."""
    from vllm import SamplingParams

    engine = CheckedEngine(llm, lambda _: None, lambda *_: None, lambda count: list(range(count)))
    return engine.generate([{"prompt_token_ids": ids} for ids in PROMPTS], SamplingParams(max_tokens=20, **settings))


@pytest.mark.parametrize("settings", WAYS)
@pytest.mark.parametrize("count", [0, 3])
def test_a_rollout_has_the_log_probabilities_of_the_dicts(
    llm: Any, settings: dict[str, Any], count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """count: of log-probabilities beside the drawn token's; TRL's trainer asks for 0."""
    from trl.generation.vllm_generation import extract_logprobs
    from vllm.logprobs import FlatLogprobs

    flat = generate(llm, settings | {"logprobs": count})
    as_trl_asks(monkeypatch)
    dicts = generate(llm, settings | {"logprobs": count})
    for one, other in zip(flat, dicts, strict=True):
        one, other = one.outputs[0], other.outputs[0]
        assert isinstance(one.logprobs, FlatLogprobs)
        assert isinstance(other.logprobs, list)
        assert list(one.token_ids) == list(other.token_ids)
        assert log_probs.sampled(one.logprobs, one.token_ids) == of_dicts(other.logprobs, other.token_ids)
    expected = extract_logprobs(dicts)
    assert lists(log_probs.extract(extract_logprobs, flat)) == lists(expected)
    assert lists(log_probs.extract(extract_logprobs, dicts)) == lists(expected)


@pytest.mark.parametrize("settings", WAYS)
def test_carried_responses_have_the_log_probabilities_of_the_dicts(
    llm: Any, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped after some tokens, asked for again with them, and written to their ends."""
    from vllm.logprobs import FlatLogprobs

    seen: list[type] = []
    flat = carried(llm, settings, spied(log_probs.sampled, seen), monkeypatch)
    assert set(seen) == {FlatLogprobs}
    as_trl_asks(monkeypatch)
    dicts = carried(llm, settings, spied(of_dicts, seen), monkeypatch)
    assert set(seen) == {FlatLogprobs, list}
    assert len(seen) == 4 * len(PROMPTS)
    assert [written.ended for written in flat] == [False] * len(PROMPTS) + [True] * len(PROMPTS)
    assert flat == dicts


def carried(
    llm: Any, settings: dict[str, Any], read: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> list[Written]:
    """Return what two streams write of the same responses, one after the other."""
    monkeypatch.setattr(vllm_stream, "sampled", read)
    wanted = {name: value for name, value in settings.items() if name != "seed"} | {"logprobs": 0, "ignore_eos": True}
    first = VllmStream(llm.llm_engine, wanted, seeded=True)
    first.ask([Ask(str(place), ids, 20, place) for place, ids in enumerate(PROMPTS)])
    for _ in range(7):
        first.step()
    begun = sorted(first.stop(), key=lambda written: written.name)
    second = VllmStream(llm.llm_engine, wanted, seeded=True)
    for part in begun:
        ids = PROMPTS[int(part.name)] + list(part.tokens)
        second.ask([Ask(part.name, ids, 20 - len(part.tokens), 9)])
    ended: list[Written] = []
    while len(ended) < len(PROMPTS):
        ended += second.step()
    assert all(0 < len(part.tokens) < 20 for part in begun)
    return begun + sorted(ended, key=lambda written: written.name)


def spied(read: Callable[..., Any], seen: list[type]) -> Callable[..., Any]:
    def reading(entries: Any, tokens: Any) -> Any:
        seen.append(type(entries))
        return read(entries, tokens)

    return reading


def test_what_is_read_belongs_to_the_tokens_that_were_drawn(llm: Any) -> None:
    (one, *_) = generate(llm, GREEDY | {"logprobs": 0})
    flat, tokens = one.outputs[0].logprobs, list(one.outputs[0].token_ids)
    assert log_probs.sampled(None, tokens) is None
    for other in (tokens[:-1], [*tokens[:-1], tokens[-1] + 1]):
        with pytest.raises(ValueError, match="other tokens"):
            log_probs.sampled(flat, other)


def test_a_token_that_no_log_probability_was_computed_of_is_none_as_in_trl() -> None:
    from types import SimpleNamespace

    from trl.generation.vllm_generation import extract_logprobs
    from vllm.logprobs import FlatLogprobs

    flat = FlatLogprobs()
    for token, value in ((3, -0.5), (4, float("nan")), (3, float("-inf"))):
        flat.append_fast([token], [value], [1], [None])
    outputs = [SimpleNamespace(outputs=[SimpleNamespace(logprobs=flat)])]
    found = log_probs.extract(extract_logprobs, outputs)
    assert lists(found) == lists(extract_logprobs(outputs)) == ([[[-0.5], [None], [float("-inf")]]], [[[3], [4], [3]]])
    assert [len(found[0][0]), found[0][0][-1], list(found[1][0][1:])] == [3, (float("-inf"),), [(4,), (3,)]]
    assert log_probs.extract(extract_logprobs, [SimpleNamespace(outputs=[SimpleNamespace(logprobs=None)])]) == (
        None,
        None,
    )


@pytest.mark.parametrize("mode", ["wait", "carry"])
def test_a_run_makes_no_object_a_token(dense: Path, tmp_path: Path, mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither to draw and read, nor to check the weights after a sync."""
    import vllm.logprobs

    def made(**_: Any) -> None:
        raise AssertionError("an object was made for a token")

    monkeypatch.setattr(vllm.logprobs, "Logprob", made)
    rollouts = {"mode": "carry", "in_flight": 10} if mode == "carry" else {"mode": "wait"}
    rows = train(dense, tmp_path, steps=2, rollouts=rollouts)
    assert all(row["engine_drift"] < 1e-5 and row["engine_mismatch"] is not None for row in rows)


def test_a_run_decides_what_it_decides_by_dicts(dense: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train(dense, tmp_path / "flat", steps=2)
    as_trl_asks(monkeypatch)
    monkeypatch.setattr(weight_check, "engine_log_probs", lambda llm, prompts: engine_log_probs_of_dicts(llm, prompts))
    train(dense, tmp_path / "dicts", steps=2)
    for name in ("rollouts.jsonl", "policy/model.safetensors"):
        assert (tmp_path / "flat" / name).read_bytes() == (tmp_path / "dicts" / name).read_bytes()
    kept = ("loss", "grad_norm", "engine_mismatch", "engine_drift")
    flat, dicts = (
        [{k: row[k] for k in kept} for row in read_jsonl(tmp_path / way / "metrics.jsonl")] for way in ("flat", "dicts")
    )
    assert flat == dicts


def engine_log_probs_of_dicts(llm: Any, prompts: list[list[int]]) -> list[Any]:
    import torch
    from vllm import SamplingParams

    params = SamplingParams(max_tokens=1, temperature=0.0, prompt_logprobs=0, detokenize=False)
    outputs = llm.generate([{"prompt_token_ids": ids} for ids in prompts], params, use_tqdm=False)
    return [
        torch.tensor(of_dicts(output.prompt_logprobs[1:], ids[1:]))
        for ids, output in zip(prompts, outputs, strict=True)
    ]


def of_dicts(entries: Any, tokens: Any) -> list[float]:
    return [entry[token].logprob for entry, token in zip(entries, tokens, strict=True)]


def lists(found: Any) -> tuple[list[Any], list[Any]]:
    """TRL's log-probabilities and token ids, as lists of lists of lists."""
    values, ids = ([[list(entry) for entry in response] for response in part] for part in found)
    return values, ids
