"""SFT: isolated packing, counted tokens, plain checkpoints, and a stop that goes on where it was."""

import json
from itertools import pairwise

import pytest
import torch
from new_models import new
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback

from ringlite_cli.c3po.attention import NAME
from ringlite_cli.chat.training import SampleMaker
from ringlite_cli.data.generators import GENERATORS
from ringlite_cli.errors import UserError
from ringlite_cli.problems import chat_messages
from ringlite_cli.train.base_model import prepare_model
from ringlite_cli.train.sft.run import _trainer, run_sft, sft_config
from ringlite_cli.train.sft.samples import Limits, as_dataset, make_samples

SHORT = [g for g in GENERATORS.values() if g.domain != "general"]  # whose samples fit the tiny model's context
PROBLEMS = [p for g in SHORT for p in g.generate(24, 17)]
TRL = {
    "num_train_epochs": 2,
    "per_device_train_batch_size": 1,
    "gradient_accumulation_steps": 2,
    "max_length": 256,
    "learning_rate": 2e-3,
}


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return prepare_model(new(), PROBLEMS, tmp_path_factory.mktemp("model") / "base", 17)


@pytest.fixture(scope="module")
def whole_run(base, tmp_path_factory):
    out, rows = tmp_path_factory.mktemp("sft"), []
    result = run_sft(base, PROBLEMS, out, trl=TRL, checkpoints_per_epoch=2, seed=3, on_step=rows.append)
    return out, rows, result


def rows_of(base):
    return as_dataset(make_samples(PROBLEMS, SampleMaker(AutoTokenizer.from_pretrained(base), {}), Limits(), 3))


def test_packed_rows_give_each_token_the_log_probs_it_has_alone(base):
    """TRL's own collator over a packed row, through both attentions, against every sample on its own."""
    trainer = _trainer(base, rows_of(base), sft_config(TRL, base.parent / "unused", 3))
    assert trainer.model.config._attn_implementation == NAME
    batch = next(iter(trainer.get_train_dataloader()))
    borders = batch["cu_seq_lens_q"].tolist()
    assert len(borders) > 3
    assert "attention_mask" not in batch
    alone = AutoModelForCausalLM.from_pretrained(base)
    with torch.no_grad():
        packed = trainer.model.eval()(**{k: v for k, v in batch.items() if k != "labels"}).logits[0]
        masked = alone(input_ids=batch["input_ids"], position_ids=batch["position_ids"], use_cache=False).logits[0]
        for start, end in pairwise(borders):
            single = alone(input_ids=batch["input_ids"][:, start:end]).logits[0]
            torch.testing.assert_close(packed[start:end], single, atol=2e-5, rtol=0)
            torch.testing.assert_close(masked[start:end], single, atol=2e-5, rtol=0)


def test_a_plain_template_gives_the_tokens_that_it_gave_before(base):
    """Those of TRL's own way: the conversation by the template, loss from where the prompt ends."""
    tokenizer = AutoTokenizer.from_pretrained(base)
    made = {}
    for problem in PROBLEMS:
        talk = [*chat_messages(problem, {}), {"role": "assistant", "content": problem.trace}]
        whole = tokenizer.apply_chat_template(talk, tokenize=True, return_dict=False)
        prompt = tokenizer.apply_chat_template(talk[:-1], add_generation_prompt=True, tokenize=True, return_dict=False)
        made[tuple(whole)] = [*[-100] * len(prompt), *whole[len(prompt) :]]
    rows = rows_of(base)
    assert {tuple(row["input_ids"]): row["labels"] for row in rows} == made
    assert len(rows) == len(PROBLEMS)


def test_only_responses_carry_loss(base):
    trainer = _trainer(base, rows_of(base), sft_config(TRL, base.parent / "unused", 3))
    batch = next(iter(trainer.get_train_dataloader()))
    tokenizer = AutoTokenizer.from_pretrained(base)
    text = tokenizer.decode(batch["labels"][batch["labels"] != -100])
    assert text.startswith("<think>")
    assert "<|user|>" not in text
    assert text.count("<|end|>") == len(batch["cu_seq_lens_q"]) - 1


@pytest.mark.slow
def test_tokens_trained_are_the_response_tokens_of_every_epoch(base, whole_run):
    _, rows, result = whole_run
    tokenizer = AutoTokenizer.from_pretrained(base)
    per_epoch = sum(len(tokenizer((p.trace or "") + "<|end|>")["input_ids"]) for p in PROBLEMS)
    assert result.tokens_trained == 2 * per_epoch
    assert rows[-1]["tokens_trained"] == result.tokens_trained
    assert result.finished


def test_rows_carry_the_fields_of_the_contract_and_the_loss_falls(whole_run):
    _, rows, result = whole_run
    fields = {"step", "epoch", "loss", "lr", "grad_norm", "tokens_trained", "mean_token_accuracy", "step_seconds"}
    assert all(fields <= row.keys() for row in rows)
    assert [row["step"] for row in rows] == list(range(1, result.steps + 1))
    assert rows[-1]["loss"] < rows[0]["loss"] - 0.5
    assert rows[-1]["lr"] < 0.1 * max(row["lr"] for row in rows)


@pytest.mark.slow
def test_the_accuracy_of_a_step_is_its_right_tokens_over_all_of_its_tokens(whole_run):
    """Two batches of unlike sizes a step: the mean of their shares would be no whole number of tokens."""
    _, rows, _ = whole_run
    trained = [row["tokens_trained"] for row in rows]
    steps = [after - before for before, after in pairwise([0, *trained])]
    right = [row["mean_token_accuracy"] * tokens for row, tokens in zip(rows, steps, strict=True)]
    assert right == pytest.approx([round(count) for count in right], abs=0.01)


def test_checkpoints_are_plain_folders_listed_in_order(whole_run):
    out, _, result = whole_run
    listed = json.loads((out / "checkpoints.json").read_text())
    assert listed == result.checkpoints
    assert len(listed) == 4
    assert listed[-1]["epoch"] == 2
    assert [c["tokens_trained"] for c in listed] == sorted({c["tokens_trained"] for c in listed})
    for entry in listed:
        folder = out / entry["path"]
        names = {p.name for p in folder.iterdir()}
        assert {"model.safetensors", "config.json", "tokenizer.json", "ringlite.json"} <= names
        assert not [n for n in names if "optim" in n or "sched" in n or "rng" in n]
        assert json.loads((folder / "config.json").read_text()).get("output_router_logits") is not True
    assert {p.name for p in out.iterdir()} == {"checkpoints", "checkpoints.json"}


def test_a_checkpoint_generates_a_padded_batch(whole_run):
    out, _, result = whole_run
    folder = out / result.checkpoints[-1]["path"]
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModelForCausalLM.from_pretrained(folder)
    batch = tokenizer(
        ["<|user|>Compute 1+2.<|assistant|>", "<|user|>1<|assistant|>"], return_tensors="pt", padding=True
    )
    model.generate(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], max_new_tokens=3)


class StopAt(TrainerCallback):
    def __init__(self, step):
        self.step = step

    def on_step_end(self, args, state, control, **_):
        if state.global_step == self.step:
            control.should_save = control.should_training_stop = True


@pytest.mark.slow
def test_a_stopped_run_goes_on_with_a_steps_samples_in_other_parts(base, whole_run, tmp_path):
    _, rows, result = whole_run
    halfway = result.steps // 2 + 1
    run_sft(base, PROBLEMS, tmp_path, trl=TRL, checkpoints_per_epoch=2, seed=3, callbacks=[StopAt(halfway)])
    parts = TRL | {"per_device_train_batch_size": 2, "gradient_accumulation_steps": 1}
    after: list[dict] = []
    ended = run_sft(base, PROBLEMS, tmp_path, trl=parts, checkpoints_per_epoch=2, seed=3, on_step=after.append)
    assert ended.steps == result.steps
    assert [row["step"] for row in after] == list(range(halfway + 1, result.steps + 1))
    assert [row["tokens_trained"] for row in after] == [row["tokens_trained"] for row in rows[halfway:]]
    assert [row["loss"] for row in after] == pytest.approx([row["loss"] for row in rows[halfway:]], abs=2e-3)


@pytest.mark.slow
def test_a_stopped_run_goes_on_and_ends_as_if_it_had_not_stopped(base, whole_run, tmp_path):
    whole, _, result = whole_run
    stopped = run_sft(
        base, PROBLEMS, tmp_path, trl=TRL, checkpoints_per_epoch=2, seed=3, callbacks=[StopAt(result.steps // 2 + 1)]
    )
    assert not stopped.finished
    rows: list[dict] = []
    ended = run_sft(base, PROBLEMS, tmp_path, trl=TRL, checkpoints_per_epoch=2, seed=3, on_step=rows.append)
    assert rows[0]["step"] == result.steps // 2 + 2
    assert ended.finished
    assert [c["step"] for c in ended.checkpoints] == [c["step"] for c in result.checkpoints]
    assert ended.tokens_trained == result.tokens_trained
    last = result.checkpoints[-1]["path"]
    a, b = (AutoModelForCausalLM.from_pretrained(folder / last).state_dict() for folder in (whole, tmp_path))
    assert all(torch.allclose(a[name], b[name], atol=1e-6) for name in a)


@pytest.mark.slow
@pytest.mark.parametrize("order", ["random", "group_by_length", "sequential"])
def test_a_stopped_run_reads_the_rows_that_come_next_in_any_order(base, tmp_path, order):
    """In the second epoch, whose order follows from the seed and not from what was drawn before."""
    trl = TRL | {"packing": False, "gradient_accumulation_steps": 4, "train_sampling_strategy": order}

    def steps(folder, *callbacks):
        rows: list[dict] = []
        run_sft(base, PROBLEMS[:24], folder, trl=trl, packing="none", seed=3, callbacks=callbacks, on_step=rows.append)
        return [(row["step"], row["tokens_trained"], round(row["loss"], 4)) for row in rows]

    whole = steps(tmp_path / "whole")
    middle = len(whole) * 3 // 4
    assert steps(tmp_path / "parts", StopAt(middle)) == whole[:middle]
    assert steps(tmp_path / "parts") == whole[middle:]


def test_samples_run_apart_train_the_same_weights_as_packed_rows(base, tmp_path):
    def weights(packing):
        out, rows = tmp_path / packing, []
        result = run_sft(base, PROBLEMS[:24], out, trl=TRL | {"max_steps": 2}, packing=packing, on_step=rows.append)
        last = AutoModelForCausalLM.from_pretrained(out / result.checkpoints[-1]["path"]).state_dict()
        return last, [(row["loss"], row["tokens_trained"]) for row in rows], result.packing

    (packed, rows, how), (apart, again, other) = weights("auto"), weights("none")
    assert how.startswith("packed rows")
    assert other.startswith("packing: none")
    for (loss, tokens), (same, count) in zip(rows, again, strict=True):
        assert (same, count) == (pytest.approx(loss, abs=1e-5), tokens)
    assert all(torch.allclose(packed[name], apart[name], atol=2e-5) for name in packed)


def test_settings_that_cannot_work_are_the_users_error(base, tmp_path):
    with pytest.raises(UserError, match="see their neighbours"):
        run_sft(base, PROBLEMS, tmp_path, trl={"packing_strategy": "wrapped"})
    with pytest.raises(UserError, match="TRL refuses"):
        run_sft(base, PROBLEMS, tmp_path, trl={"learning_rates": 1})
    with pytest.raises(UserError, match="no problem has a worked trace"):
        run_sft(base, [], tmp_path, trl={})


@pytest.mark.parametrize(
    ("trl", "said"),
    [
        ({"packing_strategy": "best"}, "no packing strategy 'best'.*use bfd or bfd_split"),
        ({"loss_type": "nlll"}, "no loss 'nlll' for SFT.*use nll or dft"),
        ({"loss_type": "dft", "label_smoothing_factor": 0.1}, "the factor would do nothing"),
    ],
)
def test_what_the_trainer_alone_would_refuse_is_said_with_the_config(tmp_path, trl, said):
    with pytest.raises(UserError, match=said):
        sft_config(trl, tmp_path, 3)


def test_a_trainers_refusal_and_an_epoch_without_a_batch_are_the_users_error(base, tmp_path):
    with pytest.raises(UserError, match=r"TRL refuses these settings.*'<nope>'"):
        run_sft(base, PROBLEMS[:4], tmp_path, trl={"pad_token": "<nope>"})
    with pytest.raises(UserError, match=r"rows of an epoch are no whole batch.*lower per_device_train_batch_size"):
        run_sft(base, PROBLEMS[:4], tmp_path, trl={"dataloader_drop_last": True})


def test_tokens_told_with_loss_on_prompts_are_those_trained(base, tmp_path):
    """One pass over all rows; a sample's first token never carries loss. Without packing each row is one sample."""
    told = {}
    trl = TRL | {"num_train_epochs": 1, "per_device_train_batch_size": 8, "packing": False, "padding_free": True}
    of_responses = responses(base, PROBLEMS[:8])
    for asked in (False, None):
        out, given = tmp_path / str(asked), trl | {"completion_only_loss": asked}
        result = run_sft(base, PROBLEMS[:8], out, trl=given, seed=3, on_samples=told.update)
        assert result.tokens_trained == told["trained_tokens"]
        assert told["loss_on_prompts"] == (asked is False)
        assert result.packing.startswith("packed rows")
        more = told["prompt_tokens"] - 8 if asked is False else 0  # null is TRL's word for responses alone
        assert told["trained_tokens"] == of_responses + more


def responses(base, problems) -> int:
    tokenizer = AutoTokenizer.from_pretrained(base)
    return sum(len(tokenizer((p.trace or "") + "<|end|>")["input_ids"]) for p in problems)


def test_an_unpacked_run_works_too(base, tmp_path):
    result = run_sft(base, PROBLEMS[:8], tmp_path, trl=TRL | {"packing": False, "max_steps": 1})
    assert result.finished
    assert result.steps == 1


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["bfloat16", "auto"])
def test_half_precision_trains_float32_weights_and_writes_its_own_dtype(tmp_path, dtype):
    """`auto` is what the base has: bfloat16 here."""
    base = prepare_model(new() | {"dtype": "bfloat16"}, PROBLEMS, tmp_path / "base", 17)
    seen = []
    result = run_sft(
        base, PROBLEMS, tmp_path / "out", trl=TRL | {"max_steps": 2}, seed=3, dtype=dtype, callbacks=[Weights(seen)]
    )
    trained = seen[-1]["model.embed_tokens.weight"]
    assert trained.dtype == torch.float32
    assert not torch.equal(trained, trained.bfloat16().float())
    kept = AutoModelForCausalLM.from_pretrained(tmp_path / "out" / result.checkpoints[-1]["path"], dtype="auto")
    assert kept.dtype == torch.bfloat16
    for name, weight in kept.state_dict().items():
        exact = seen[-1].get(name)
        if exact is not None and ("embed" in name or "lm_head" in name):  # read in float32, and rounded by chance
            assert ((weight.float() - exact).abs() <= exact.abs() * torch.finfo(torch.bfloat16).eps).all(), name
        elif exact is not None:
            assert torch.equal(weight, exact.bfloat16()), name


class Weights(TrainerCallback):
    def __init__(self, seen: list) -> None:
        self.seen = seen

    def on_train_end(self, args, state, control, model=None, **_) -> None:
        self.seen.append({name: p.detach().clone() for name, p in model.named_parameters()})
