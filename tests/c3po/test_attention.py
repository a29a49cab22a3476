"""The packed attention: what it gives, what it costs, and when it leaves a model its own."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_lm import ARCHITECTURES, save_policy, tiny_model, tiny_tokenizer
from transformers import AutoModelForCausalLM

from ringlite_cli.c3po import attention
from ringlite_cli.c3po.attention import NAME, packed_inputs, register, takes_borders
from ringlite_cli.c3po.packing import PackedSample, forward_inputs, pack_row
from ringlite_cli.c3po.row_path import choose_path, row_path_in_use

SAMPLES = [PackedSample(i, [7, 8 + i], list(range(10, 12 + 7 * i)), 1.0) for i in range(5)]


@pytest.mark.parametrize("architecture", [*ARCHITECTURES, "mistral"])
def test_a_row_s_logits_and_gradients_are_those_of_its_samples_alone(architecture):
    extra = {"sliding_window": 6} if architecture == "mistral" else {}
    packed, alone = tiny_model(architecture, **extra), tiny_model(architecture, **extra)
    assert choose_path(packed).attention == NAME
    row = pack_row(SAMPLES)
    assert row["attention"]["cu_seq_lens_q"].tolist()[-1] == row["input_ids"].shape[1]
    logits = packed(**forward_inputs(packed, row), use_cache=False).logits[0]
    single = [alone(input_ids=torch.tensor([s.prompt + s.response]), use_cache=False).logits[0] for s in SAMPLES]
    torch.testing.assert_close(logits, torch.cat(single), atol=5e-6, rtol=2e-5)
    logits.square().sum().backward()
    sum(x.square().sum() for x in single).backward()
    for (name, one), other in zip(packed.named_parameters(), alone.parameters(), strict=True):
        if one.grad is not None:
            torch.testing.assert_close(one.grad, other.grad, atol=2e-4, rtol=1e-3, msg=lambda m, n=name: f"{n}: {m}")


def test_borders_are_found_from_positions_where_they_are_not_given():
    model = tiny_model("qwen3")
    choose_path(model)
    row = pack_row(SAMPLES)
    with torch.no_grad():
        given_ = model(**forward_inputs(model, row), use_cache=False).logits
        found = model(input_ids=row["input_ids"], position_ids=row["position_ids"], use_cache=False).logits
    assert torch.equal(given_, found)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, 40), min_size=1, max_size=12))
def test_every_position_comes_back_to_its_place(lengths):
    """With values that name their position and queries of zero, a token gets the mean position of its sample so far."""
    total = sum(lengths)
    borders = [0, *torch.tensor(lengths).cumsum(0).tolist()]
    value = torch.arange(total, dtype=torch.float64).view(1, 1, total, 1)
    zero = torch.zeros(1, 2, total, 1, dtype=torch.float64)
    module = torch.nn.Module().eval()
    out, _ = attention.packed_attention(module, zero, zero[:, :1], value, **packed_inputs(borders))
    expected = torch.cat([torch.arange(n) / 2 + start for n, start in zip(lengths, borders, strict=False)])
    torch.testing.assert_close(out[0, :, 1, 0], expected.double())


def test_a_row_costs_the_sum_of_its_samples():
    """Query-key products over 40 samples of 25 tokens and one of 200: near the sum of squares, far from the square."""
    borders = (0, *range(200, 1201, 25))
    batches, _ = attention._batches(borders, torch.device("cpu"))
    cost = sum(batch.index.shape[0] * batch.longest**2 for batch in batches)
    assert cost == 200**2 + 40 * 25**2 < 1200**2 / 20


def test_padded_generation_is_sdpa_s(tmp_path):
    folder = save_policy(tmp_path, "ernie4_5_moe")
    inputs = tiny_tokenizer()(["w1 w2 w3 w4", "w5"], return_tensors="pt", padding=True)
    own, packed = (AutoModelForCausalLM.from_pretrained(folder, attn_implementation=a) for a in ("sdpa", register()))
    options = {"max_new_tokens": 12, "do_sample": False, "output_logits": True, "return_dict_in_generate": True}
    for one, other in zip(*(m.generate(**inputs, **options).logits for m in (own, packed)), strict=True):
        assert torch.equal(one, other)


def test_an_attention_of_another_kind_is_kept_and_runs_samples_apart():
    """gpt_oss has sinks, which no packed kernel here knows, and its eager attention lets samples see each other."""
    layers = {"layer_types": ["sliding_attention", "full_attention"], "sliding_window": 64}
    model = tiny_model("gpt_oss", head_dim=8, num_local_experts=4, num_experts_per_tok=2, **layers)
    assert choose_path(model).way == "padded"
    assert model.config._attn_implementation == "eager"
    assert not takes_borders(model)


def test_the_scorer_puts_the_model_s_own_attention_back():
    model = tiny_model("qwen3")
    with row_path_in_use(model):
        assert model.config._attn_implementation == NAME
    assert model.config._attn_implementation == "sdpa"


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_the_varlen_kernel_gives_what_samples_give_alone():
    model = tiny_model("qwen3", head_dim=64, hidden_size=64).to("cuda", torch.bfloat16)
    assert choose_path(model).attention == NAME
    row = pack_row(SAMPLES, "cuda")
    with torch.no_grad():
        packed = model(**forward_inputs(model, row), use_cache=False).logits[0].float()
        single = [model(input_ids=torch.tensor([s.prompt + s.response]).cuda()).logits[0].float() for s in SAMPLES]
    torch.testing.assert_close(packed, torch.cat(single), atol=0.1, rtol=0.05)
