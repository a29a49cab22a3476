from types import SimpleNamespace

import pytest

from ringlite_cli.c3po.memory import LONGEST_ROW, RowLayout, activation_bytes, choose_layout, training_bytes

QWEN_06B = SimpleNamespace(
    hidden_size=1024, num_attention_heads=16, num_key_value_heads=8, head_dim=128, intermediate_size=3072,
    num_hidden_layers=28,
)  # fmt: skip
GB = 2**30


def layout(memory, longest=8192, parameters=596_000_000, **decided):
    return choose_layout(QWEN_06B, training_bytes(parameters, reference=False), memory, longest, **decided)


def test_a_row_is_as_long_as_the_memory_holds():
    """Measured: rows of 25K tokens fit an 80 GB H100, rows of 50K (and not of 100K) a 139 GB H200."""
    assert activation_bytes(QWEN_06B, checkpointing=False) == 2 * 28 * (8 * 1024 + 4 * 2048 + 8 * 1024 + 4 * 3072)
    h100, h200 = layout(80 * GB), layout(139 * GB)
    assert 25_000 < h100.row_tokens < 40_000
    assert not h100.gradient_checkpointing
    assert 50_000 < h200.row_tokens < 70_000
    assert not h200.gradient_checkpointing
    assert layout(10_000 * GB) == RowLayout(LONGEST_ROW, gradient_checkpointing=False)


def test_checkpointing_comes_where_the_longest_sample_does_not_fit_without():
    small = layout(24 * GB)
    assert small.gradient_checkpointing
    assert small.row_tokens > 8192
    assert layout(24 * GB, longest=4000) == RowLayout(layout(24 * GB, checkpointing=False, longest=1).row_tokens, False)
    assert layout(8 * GB) == RowLayout(8192, gradient_checkpointing=True)  # never shorter than a sample


@pytest.mark.parametrize(("row_tokens", "checkpointing"), [(2_000, False), (25_000, False), (60_000, True)])
def test_rows_that_the_user_decided_stay(row_tokens, checkpointing):
    assert layout(80 * GB, row_tokens=row_tokens) == RowLayout(row_tokens, checkpointing)
    assert layout(80 * GB, row_tokens=row_tokens, checkpointing=True) == RowLayout(row_tokens, True)


def test_an_adapter_and_shards_leave_more_room():
    full, lora = training_bytes(10**9, reference=True), training_bytes(10**9, reference=True, trained=10**7)
    assert (full, lora) == (20 * 10**9, 4 * 10**9 + 16 * 10**7)
    assert training_bytes(10**9, reference=False, shards=8) == 2 * 10**9


def test_a_mixture_counts_the_experts_that_a_token_is_sent_to():
    sparse = SimpleNamespace(**vars(QWEN_06B), num_experts_per_tok=8, moe_intermediate_size=384)
    assert activation_bytes(sparse, checkpointing=False) == activation_bytes(QWEN_06B, checkpointing=False)
