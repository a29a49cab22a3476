"""The transformers engine on a real tiny model: same samples in any batch, ends, lengths, bounds, clear errors."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from policies import END, write_tiny_policy
from tiny_lm import EOS, save_policy
from transformers import AutoConfig

from ringlite_cli.errors import UserError
from ringlite_cli.samples import Progress, Request, SampledResponse, SamplingSettings
from ringlite_cli.sampling import transformers_sampler
from ringlite_cli.sampling.load import positions_of
from ringlite_cli.sampling.score import sampled_entropy
from ringlite_cli.sampling.transformers_sampler import TransformersSampler

SETTINGS = SamplingSettings(max_completion_length=40, seed=3)


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_policy(tmp_path_factory.mktemp("policy"), scale=0.3)


@pytest.fixture(scope="module")
def sampler(policy: Path) -> TransformersSampler:
    """Ends are made likely, so that batches shrink."""
    sampler = TransformersSampler(policy, settings=SETTINGS, device="cpu")
    sampler.end_ids = sorted({END, *range(100, 120)})
    sampler.model.generation_config.eos_token_id = sampler.end_ids
    return sampler


def requests(count: int, k: int) -> list[Request]:
    return [Request(f"p{i}", [{"role": "user", "content": "what is " + "1+" * i + "1?"}], k) for i in range(count)]


def tokens(groups: list[list[SampledResponse]]) -> list[list[tuple[int, ...]]]:
    return [[sample.token_ids for sample in group] for group in groups]


def test_samples_do_not_depend_on_batch_order_or_neighbours(sampler: TransformersSampler) -> None:
    asked = requests(6, 4)
    whole = tokens(sampler.sample(asked))
    assert [len(group) for group in whole] == [4] * 6
    assert len({ids for group in whole for ids in group}) > 20
    sampler.settings = replace(SETTINGS, batch_rows=5)
    try:
        assert tokens(sampler.sample(asked)) == whole
        assert tokens(sampler.sample(asked[::-1])) == whole[::-1]
        assert tokens(sampler.sample(asked[4:5])) == whole[4:5]
    finally:
        sampler.settings = SETTINGS


@pytest.mark.filterwarnings("error::FutureWarning")
def test_shrinking_batches_change_no_token(sampler: TransformersSampler, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = requests(8, 4)
    shrinking = sampler.sample(asked)
    monkeypatch.setattr(transformers_sampler, "_FEW_ROWS", 10**9)
    assert tokens(sampler.sample(asked)) == tokens(shrinking)
    lengths = sorted(len(s.token_ids) for group in shrinking for s in group)
    assert lengths[len(lengths) // 2] < 20 < lengths[-1], "the batch must have had both early ends and stragglers"


def test_a_response_stops_at_its_end_token_or_is_truncated(sampler: TransformersSampler) -> None:
    lengths = sorted(len(s.token_ids) for group in sampler.sample(requests(8, 4)) for s in group)
    limit = (
        lengths[len(lengths) // 2] - 1
    )  # whatever weights a version of transformers draws, some end before, others not
    sampler.settings = replace(SETTINGS, max_completion_length=limit)
    try:
        samples = [s for group in sampler.sample(requests(8, 4)) for s in group]
    finally:
        sampler.settings = SETTINGS
    for sample in samples:
        assert not set(sample.token_ids[:-1]) & set(sampler.end_ids)
        assert sample.truncated == (sample.token_ids[-1] not in sampler.end_ids)
        assert len(sample.token_ids) <= limit
        assert not sample.truncated or len(sample.token_ids) == limit
    assert {s.truncated for s in samples} == {True, False}


def test_log_probabilities_and_entropy_are_those_of_a_plain_forward(sampler: TransformersSampler) -> None:
    asked = requests(3, 2)
    pairs = [(r, s) for r, group in zip(asked, sampler.sample(asked), strict=True) for s in group]
    for request, sample in pairs:
        prompt = sampler.prompt_ids(request)
        assert len(prompt) == sample.prompt_tokens
        ids = torch.tensor([prompt + list(sample.token_ids)])
        with torch.inference_mode():
            logits = sampler.model(ids).logits[0, len(prompt) - 1 : -1].double()
        log_probs = logits.log_softmax(-1)
        chosen = log_probs.gather(-1, torch.tensor(sample.token_ids)[:, None]).sum().item()
        entropy = -(log_probs.exp() * log_probs).sum(-1).mean().item()
        assert sample.logprob == pytest.approx(chosen, abs=1e-3)
        assert sample.entropy == pytest.approx(entropy, abs=1e-5)
    packed = sampled_entropy(sampler, pairs, row_tokens=64)
    assert packed == pytest.approx([s.entropy for _, s in pairs], abs=1e-5)


def test_temperature_zero_is_greedy(sampler: TransformersSampler) -> None:
    sampler.settings = replace(SETTINGS, temperature=0.0, max_completion_length=6)
    try:
        request = requests(1, 2)
        first, second = sampler.sample(request)[0]
        ids = torch.tensor([sampler.prompt_ids(request[0])])
        with torch.inference_mode():
            plain = sampler.model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=6)
        assert first.token_ids == second.token_ids == tuple(plain[0, ids.shape[1] :].tolist())
    finally:
        sampler.settings = SETTINGS


def test_each_request_is_handed_over_once_and_whole(sampler: TransformersSampler) -> None:
    sampler.settings = replace(SETTINGS, batch_rows=3)
    done: dict[str, list[int]] = {}
    states: list[Progress] = []
    try:
        sampler.sample(
            requests(4, 4),
            on_done=lambda r, s: done.update({r.problem_id: [x.index for x in s]}),
            progress=states.append,
        )
    finally:
        sampler.settings = SETTINGS
    assert done == {f"p{i}": [0, 1, 2, 3] for i in range(4)}
    assert [s.done for s in states] == sorted(s.done for s in states)
    assert (states[-1].done, states[-1].total) == (16, 16)
    assert "tokens/s" in str(states[-1])


def test_batches_are_bounded_by_tokens_and_by_rows() -> None:
    rows = [transformers_sampler._Row(i, 0, [5] * length, 0) for i, length in enumerate([3, 60, 10, 30, 4, 5])]
    settings = SamplingSettings(max_completion_length=40, batch_tokens=150, batch_rows=2)
    batches = [[len(row.prompt) for row in batch] for batch in transformers_sampler.make_batches(rows, settings)]
    assert batches == [[60], [30, 10], [5, 4], [3]]
    assert list(transformers_sampler.make_batches([], settings)) == []
    endless = SamplingSettings(max_completion_length=10**6, batch_tokens=256)
    assert len(next(transformers_sampler.make_batches(rows, endless, max_positions=64))) == 4, "the context is shorter"


def test_a_prompt_that_fills_the_context_is_a_user_error(sampler: TransformersSampler) -> None:
    with pytest.raises(UserError, match=r"problem long: the prompt has 3\d\d tokens but the model takes 256 positions"):
        sampler.sample([Request("long", [{"role": "user", "content": "x" * 300}], 1)])


def test_a_response_stops_where_the_context_ends(sampler: TransformersSampler) -> None:
    sampler.settings = replace(SETTINGS, max_completion_length=400)
    try:
        sample = sampler.sample([Request("near", [{"role": "user", "content": "x" * 240}], 1)])[0][0]
    finally:
        sampler.settings = SETTINGS
    assert sample.prompt_tokens + len(sample.token_ids) <= 256


def test_a_long_prompt_takes_no_room_from_a_short_one_beside_it(sampler: TransformersSampler) -> None:
    """A response had the room of its batch's longest prompt: it was cut by what it stood beside, or by a resume."""
    sampler.settings = replace(SETTINGS, max_completion_length=400)
    short = Request("short", [{"role": "user", "content": "hi"}], 12)
    middle = Request("middle", [{"role": "user", "content": "x" * 200}], 2)
    long = Request("long", [{"role": "user", "content": "x" * 250}], 2)
    ends, settings = sampler.end_ids, sampler.model.generation_config
    sampler.end_ids, settings.eos_token_id = [END], [END]
    try:
        alone = sampler.sample([short])
        beside = sampler.sample([short, long, middle])
    finally:
        sampler.settings, sampler.end_ids, settings.eos_token_id = SETTINGS, ends, ends
    assert tokens(beside)[:1] == tokens(alone)
    for sample in (sample for group in beside for sample in group):
        whole = sample.prompt_tokens + len(sample.token_ids)
        assert whole == 256 if sample.truncated else whole <= 256
    assert {s.truncated for s in beside[0]} == {True, False}


def test_an_end_token_that_is_no_special_one_is_not_part_of_the_text(tmp_path: Path) -> None:
    save_policy(tmp_path, "llama", eos_token_id=[EOS, *range(20)])
    (tmp_path / "generation_config.json").unlink()
    ended = TransformersSampler(tmp_path, settings=SETTINGS, device="cpu").sample(
        [Request("p", [{"role": "user", "content": "w1"}], 12)]
    )[0]
    assert any(s.token_ids[-1] < 20 for s in ended)
    assert not {f"w{i}" for i in range(20)} & {word for s in ended for word in s.text.split()}


def test_the_context_of_a_multimodal_config_is_that_of_its_text() -> None:
    config = AutoConfig.for_model("gemma3", text_config={"max_position_embeddings": 48})
    assert positions_of(config) == 48


def test_router_logits_are_off_and_the_models_own_sampling_defaults_are_gone(tmp_path: Path) -> None:
    from transformers import GenerationConfig

    write_tiny_policy(tmp_path)
    GenerationConfig(do_sample=True, top_k=1, repetition_penalty=9.0, eos_token_id=[END, 7]).save_pretrained(tmp_path)
    sampler = TransformersSampler(tmp_path, settings=SETTINGS, device="cpu", dtype="auto")
    assert sampler.model.dtype == torch.float32
    assert sampler.model.config.output_router_logits is False
    assert sampler.end_ids == [END, 7]
    assert len({s.token_ids for s in sampler.sample(requests(1, 4))[0]}) == 4, "top_k=1 would make them all alike"


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda p: (p / "config.json").unlink(), "config.json is missing"),
        (lambda p: (p / "config.json").write_text('{"model_type": "ern'), "config.json is not JSON"),
        (lambda p: (p / "model.safetensors").unlink(), "holds no weights"),
        (lambda p: (p / "model.safetensors").write_bytes(b"\0" * 100), "cannot load the model"),
    ],
)
def test_a_half_written_folder_is_a_user_error(tmp_path: Path, spoil, message: str) -> None:
    folder = write_tiny_policy(tmp_path / "policy")
    spoil(folder)
    with pytest.raises(UserError, match=message):
        TransformersSampler(folder, settings=SETTINGS)


def test_a_tokenizer_without_chat_template_is_a_user_error(tmp_path: Path) -> None:
    folder = write_tiny_policy(tmp_path, chat_template=False)
    with pytest.raises(UserError, match=r"no chat template; set tokenizer.chat_template"):
        TransformersSampler(folder, settings=SETTINGS)


def test_a_missing_folder_is_a_user_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such model folder"):
        TransformersSampler(tmp_path / "nowhere", settings=SETTINGS)
