from dataclasses import replace
from types import SimpleNamespace

import pytest

from ringlite_cli.memory.engine import engine_needs
from ringlite_cli.memory.fit import Beside
from ringlite_cli.memory.held import Shape, Training
from ringlite_cli.memory.layout import LONGEST_ROW, RowLayout, choose_layout

CONFIG = SimpleNamespace(
    hidden_size=1024, num_attention_heads=16, num_key_value_heads=8, head_dim=128, intermediate_size=3072,
    num_hidden_layers=28, vocab_size=151_936,
)  # fmt: skip
QWEN_06B = Shape(596_000_000, 596_000_000, 151_936 * 1024, 15_730_000, CONFIG)
GB = 2**30


def layout(memory, longest=8192, shape=QWEN_06B, how=None, beside=None, **decided):
    return choose_layout(shape, how or Training(), longest, memory, beside, **decided)[0]


def test_a_row_is_as_long_as_the_memory_holds():
    """Measured: rows of 25K tokens fit an 80 GB H100, rows of 50K (and not of 100K) a 139 GB H200."""
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


def test_an_adapter_shards_fused_kernels_and_an_engine_that_sleeps_leave_longer_rows():
    needs = engine_needs(CONFIG, QWEN_06B.total, in_flight=64, length=8192)
    plain = layout(80 * GB, beside=Beside(needs, share=0.3)).row_tokens
    assert plain < layout(80 * GB).row_tokens
    assert plain < layout(80 * GB, beside=Beside(needs, sleeps=True, share=0.3)).row_tokens
    assert layout(80 * GB, how=Training(fused=False)).row_tokens < layout(80 * GB).row_tokens
    assert layout(80 * GB, how=Training(shards=8)).row_tokens > layout(80 * GB).row_tokens
    assert layout(80 * GB, shape=replace(QWEN_06B, trained=10**7)).row_tokens > layout(80 * GB).row_tokens
