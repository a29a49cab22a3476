import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny_lm import ARCHITECTURES, tiny_model

from ringlite_cli.c3po.packing import IGNORED, PackedSample, balance_rows, pack_row, repacked
from ringlite_cli.c3po.row_path import choose_path


def test_a_row_holds_samples_side_by_side():
    row = pack_row([PackedSample(0, [1, 2], [3, 4], 0.5), PackedSample(1, [5], [6], -1.0)])
    assert row["input_ids"].tolist() == [[1, 2, 3, 4, 5, 6]]
    assert row["position_ids"].tolist() == [[0, 1, 2, 3, 0, 1]]
    assert row["shift_labels"].tolist() == [[IGNORED, 3, 4, IGNORED, 6, IGNORED]]
    assert row["advantages"].tolist() == [[0.5] * 4 + [-1.0] * 2]


def test_tokens_that_carry_no_loss_stay_in_the_context():
    row = pack_row([PackedSample(0, [1], [3, 4, 5], 1.0, trained=[True, False, True])])
    assert row["input_ids"].tolist() == [[1, 3, 4, 5]]
    assert row["shift_labels"].tolist() == [[3, IGNORED, 5, IGNORED]]


def test_an_empty_row_is_a_filler_without_labels():
    row = pack_row([])
    assert row["input_ids"].shape == (1, 2)
    assert (row["shift_labels"] == IGNORED).all()
    assert (row["advantages"] == 0).all()


@pytest.mark.parametrize("count", [1, 2, 3, 6])
def test_packed_rows_spread_over_another_number_of_rows_keep_every_sample(count):
    sampled = [[-1.0, -2.0], None, [-3.0] * 4, None]
    samples = [
        PackedSample(i, [1, 2], list(range(3, 3 + n)), float(i), sampled=sampled[i]) for i, n in enumerate([2, 3, 4, 5])
    ]
    rows = [pack_row(samples[:1]), pack_row(samples[1:]), pack_row([])]
    for row in rows:
        row["ref_log_probs"] = row["advantages"] - 5
    made, sizes = repacked(rows, [4, 18, 0], count)
    assert (len(made), sum(sizes)) == (count, 22)
    members = balance_rows([sample.size for sample in samples], count)
    for row, size, of_row in zip(made, sizes, members, strict=True):
        alone = pack_row([samples[i] for i in of_row])
        alone["ref_log_probs"] = alone["advantages"] - (5 if of_row else 0)
        assert size == sum(samples[i].size for i in of_row)
        assert row["attention"]["cu_seq_lens_q"].tolist() == alone["attention"]["cu_seq_lens_q"].tolist()
        assert alone.keys() <= row.keys()
        for name, column in alone.items():
            if isinstance(column, torch.Tensor):
                torch.testing.assert_close(row[name], column, equal_nan=True)


@given(st.lists(st.integers(1, 200), min_size=1, max_size=50), st.integers(1, 9))
def test_rows_are_balanced_and_lose_nothing(sizes, rows):
    members = balance_rows(sizes, rows)
    assert len(members) == rows
    assert sorted(i for row in members for i in row) == list(range(len(sizes)))
    loads = [sum(sizes[i] for i in row) for row in members]
    assert max(loads) <= sum(sizes) / rows + max(sizes)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_packed_logits_equal_those_of_samples_one_by_one(architecture, attention):
    model = tiny_model(architecture, attn_implementation=attention)
    assert choose_path(model, keep_attention=True).way == "packed"
    samples = [PackedSample(i, [7, 8 + i], list(range(10 + i, 22 + 3 * i)), 1.0) for i in range(3)]
    row = pack_row(samples)
    with torch.no_grad():
        packed = model(input_ids=row["input_ids"], position_ids=row["position_ids"], use_cache=False).logits[0]
        start = 0
        for sample in samples:
            alone = model(input_ids=torch.tensor([sample.prompt + sample.response]), use_cache=False).logits[0]
            torch.testing.assert_close(packed[start : start + sample.size], alone, atol=2e-6, rtol=2e-5)
            start += sample.size


def test_the_probe_leaves_the_mode_alone():
    model = tiny_model("qwen3").train()
    choose_path(model)
    assert model.training
    assert all(p.grad is None for p in model.parameters())
