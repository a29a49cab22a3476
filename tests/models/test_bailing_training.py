"""SFT, RL, adapters and resuming with Bailing MoE: what other models do, with a normalised head too."""

import pytest
import torch
from bailing import GOLDEN, changed_copy, golden_model, stored, with_tokenizer
from rl_runs import train
from transformers import AutoModelForCausalLM

from ringlite_cli.c3po.router import move_bias
from ringlite_cli.errors import UserError
from ringlite_cli.problems import Problem, Verdict
from ringlite_cli.runs.files import read_jsonl
from ringlite_cli.train.resume.checkpoints import load_weights

PROBLEMS = [Problem(id=f"p{i}", domain="math", prompt=f"w{i} w{i + 1} w{i + 2}") for i in range(20)]
NUMBERS = {
    "prompts_per_step": 4,
    "steps": 4,
    "token_budget": 60,
    "row_tokens": 64,
    "router_balance_coef": 1e-3,
    "router_z_loss_coef": 1e-4,
    "prompt_suffix": {},
    "trl": {
        "num_generations": 4,
        "max_completion_length": 12,
        "learning_rate": 2e-3,
        "save_steps": 2,
        "beta": 0.01,
        "entropy_coef": 1e-3,
    },
}


def verify(pairs):
    return [Verdict(*(("correct", 1.0) if text.count("w1") % 2 else ("wrong", 0.0))) for _, text in pairs]


@pytest.fixture(scope="module")
def policy(tmp_path_factory):
    return with_tokenizer(
        changed_copy(tmp_path_factory.mktemp("policy"), "norm_head", eos_token_id=56, pad_token_id=57)
    )


@pytest.mark.slow
def test_rl_resumes_to_the_same_weights_in_the_published_layout(policy, tmp_path):
    """From its last checkpoint, experts and all: transformers' Trainer would leave those as they were at the start."""
    whole = train(policy, PROBLEMS, verify, tmp_path / "whole", **NUMBERS)
    broken = tmp_path / "broken"

    def dies(pairs):
        if len(read_jsonl(broken / "metrics.jsonl")) == 3:
            raise RuntimeError("power cut")
        return verify(pairs)

    with pytest.raises(Exception, match="power cut"):
        train(policy, PROBLEMS, dies, broken, **NUMBERS)
    resumed = train(policy, PROBLEMS, verify, broken, **NUMBERS)

    once, again, before = stored(whole.policy), stored(resumed.policy), stored(policy)
    assert once.keys() == again.keys() == before.keys()
    assert all(torch.equal(tensor, again[name]) for name, tensor in once.items())
    expert = "model.layers.1.mlp.experts.0.down_proj.weight"
    assert not torch.equal(once[expert], before[expert])
    rows = read_jsonl(broken / "metrics.jsonl")
    assert [row["step"] for row in rows] == [1, 2, 3, 4]
    assert rows[0]["kl"] == pytest.approx(0, abs=1e-6)  # the reference normalises its head as the policy does
    assert all(row["router_balance"] > 0 for row in rows)


@pytest.mark.slow
def test_rl_of_ling_2_moves_the_routers_bias_only_where_it_is_asked_to(tmp_path):
    """And keeps the layer for further tokens, which is not trained."""
    import bailing_v2

    start = with_tokenizer(bailing_v2.base_like(tmp_path / "start"))
    before, bias = stored(start), "model.layers.1.mlp.gate.expert_bias"
    numbers = NUMBERS | {"steps": 2, "trl": NUMBERS["trl"] | {"save_steps": 1}}
    for rate in (0.0, 0.01):
        rows: list = []
        out = tmp_path / str(rate)
        result = train(start, PROBLEMS, verify, out, on_step=rows.append, router_bias_rate=rate, **numbers)
        after = stored(result.policy)
        assert after.keys() == before.keys()
        expert = "model.layers.1.mlp.experts.0.down_proj.weight"
        assert not torch.equal(after[expert], before[expert])
        extra = "model.layers.3.mlp.experts.0.down_proj.weight"
        assert torch.equal(after[extra], before[extra])
        moved = (after[bias] - before[bias]).abs()
        assert moved.max() <= 2 * 2 * rate + 1e-6
        assert (moved.max() > 0) == (rate > 0)
        assert after[bias].mean() == pytest.approx(before[bias].mean().item(), abs=1e-6)
        assert rows[0]["router_balance"] > 0
        assert rows[0]["kl"] == pytest.approx(0, abs=1e-6)


def test_a_bias_is_moved_towards_an_even_load():
    """Loads 4, 1, 1 of 2 on average: signs -1, 1, 1, less their mean of 1/3."""
    bias = torch.tensor([0.5, 0.0, 0.0])
    move_bias(bias, torch.tensor([4.0, 1.0, 1.0]), 0.3)
    torch.testing.assert_close(bias, torch.tensor([0.5 - 0.4, 0.2, 0.2]))


def test_a_rate_without_a_bias_to_move_is_refused(policy, tmp_path):
    with pytest.raises(UserError, match=r"routers have no bias.*router_balance_coef"):
        train(policy, PROBLEMS, verify, tmp_path, router_bias_rate=1e-3, **NUMBERS)


def test_the_weights_of_a_checkpoint_are_loaded_whole(tmp_path):
    """Experts are stacked in the model and stand one by one in the checkpoint."""
    trained = golden_model("norm_head")
    with torch.no_grad():
        for parameter in trained.parameters():
            parameter.add_(0.01)
    trained.save_pretrained(tmp_path)
    model = golden_model("norm_head")
    load_weights(model, tmp_path)
    for name, tensor in trained.state_dict().items():
        assert torch.equal(tensor, model.state_dict()[name]), name


def test_an_adapter_trains_alone_and_merges_into_the_published_layout(tmp_path):
    from peft import LoraConfig, get_peft_model

    base = golden_model("norm_head")
    model = get_peft_model(base, LoraConfig(r=2, target_modules="all-linear", task_type="CAUSAL_LM"))
    trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert all("lora_" in name for name in trained)
    assert any("query_key_value" in name for name in trained)
    assert any("shared_experts" in name for name in trained)
    ids = torch.arange(3, 20)[None]
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-2)
    losses = []
    for _ in range(4):
        loss = model(input_ids=ids, labels=ids).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    assert losses[-1] < losses[0]

    with torch.no_grad():
        adapted = model.eval()(input_ids=ids).logits
        model.merge_and_unload().save_pretrained(tmp_path)
        saved = stored(tmp_path)
        assert saved.keys() == stored(GOLDEN / "norm_head").keys()
        merged = AutoModelForCausalLM.from_pretrained(tmp_path).eval()(input_ids=ids).logits
    torch.testing.assert_close(merged, adapted, atol=1e-4, rtol=1e-4)


@pytest.mark.slow
def test_a_new_one_learns_from_packed_rows_in_sft(tmp_path):
    from ringlite_cli.data.generators import GENERATORS
    from ringlite_cli.train.base_model import prepare_model
    from ringlite_cli.train.sft.run import run_sft

    problems = [p for g in GENERATORS.values() if g.domain != "general" for p in g.generate(24, 17)]
    config = {
        "model_type": "bailing_moe",
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "head_dim": 16,
        "moe_intermediate_size": 16,
        "num_experts": 4,
        "num_experts_per_tok": 2,
        "max_position_embeddings": 256,
        "norm_head": True,
    }
    new = {"new": {"vocab_size": 400, "config": config}, "dtype": "float32"}
    base = prepare_model(new, problems, tmp_path / "base", 17)
    rows = []
    trl = {"num_train_epochs": 2, "per_device_train_batch_size": 2, "max_length": 256, "learning_rate": 2e-3}
    result = run_sft(base, problems, tmp_path / "sft", trl=trl, seed=3, on_step=rows.append)
    assert rows[-1]["loss"] < rows[0]["loss"]
    assert stored(tmp_path / "sft" / result.checkpoints[-1]["path"]).keys() == stored(base).keys()


@pytest.mark.slow
def test_a_new_ling_2_learns_in_sft_and_has_no_auxiliary_loss(tmp_path):
    from ringlite_cli.data.generators import GENERATORS
    from ringlite_cli.train.base_model import prepare_model
    from ringlite_cli.train.sft.run import run_sft

    problems = [p for g in GENERATORS.values() if g.domain != "general" for p in g.generate(24, 17)]
    config = {
        "model_type": "bailing_moe_v2",
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "head_dim": 16,
        "partial_rotary_factor": 0.5,
        "intermediate_size": 48,
        "moe_intermediate_size": 16,
        "num_experts": 8,
        "num_experts_per_tok": 2,
        "n_group": 4,
        "topk_group": 2,
        "max_position_embeddings": 256,
    }
    new = {"new": {"vocab_size": 400, "config": config}, "dtype": "float32"}
    base = prepare_model(new, problems, tmp_path / "base", 17)
    assert stored(base)["model.layers.1.mlp.gate.weight"].abs().max() <= 32**-0.5
    rows: list = []
    trl = {"num_train_epochs": 2, "per_device_train_batch_size": 2, "max_length": 256, "learning_rate": 2e-3}
    with pytest.raises(UserError, match=r"BailingMoeV2ForCausalLM returns no auxiliary loss.*leave the key out"):
        run_sft(base, problems, tmp_path / "aux", trl=trl | {"router_aux_loss_coef": 1e-3}, seed=3)
    result = run_sft(base, problems, tmp_path / "sft", trl=trl, seed=3, on_step=rows.append)
    assert rows[-1]["loss"] < rows[0]["loss"]
    assert stored(tmp_path / "sft" / result.checkpoints[-1]["path"]).keys() == stored(base).keys()


DENSE = {
    "bailing_moe": {"first_k_dense_replace": 2},
    "qwen3_moe": {"mlp_only_layers": [0, 1], "output_router_logits": True},
}
"""What makes all of two layers dense."""


@pytest.mark.parametrize("kind", DENSE)
@pytest.mark.parametrize("coefficient", [None, 1e-3])
def test_sft_of_a_mixture_whose_layers_are_all_dense_has_no_auxiliary_loss(tmp_path, caplog, kind, coefficient):
    from ringlite_cli.data.generators import GENERATORS
    from ringlite_cli.train.base_model import prepare_model
    from ringlite_cli.train.sft.run import run_sft

    problems = [p for g in GENERATORS.values() if g.domain != "general" for p in g.generate(24, 17)]
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1}
    experts = {"intermediate_size": 48, "moe_intermediate_size": 16, "num_experts": 4, "num_experts_per_tok": 2}
    config = {"model_type": kind, **sizes, **experts, "max_position_embeddings": 256, **DENSE[kind]}
    base = prepare_model(
        {"new": {"vocab_size": 400, "config": config}, "dtype": "float32"}, problems, tmp_path / "base", 17
    )
    rows: list = []
    trl = {"max_steps": 1, "per_device_train_batch_size": 2, "max_length": 256, "router_aux_loss_coef": coefficient}
    run_sft(base, problems, tmp_path / "sft", trl=trl, seed=3, on_step=rows.append)
    assert rows[-1]["loss"] > 0
    assert not rows[-1]["aux_loss"]
    assert "all layers are dense, so its auxiliary loss is 0" in caplog.text
    model, ids = AutoModelForCausalLM.from_pretrained(base), torch.arange(8)[None]
    if kind == "bailing_moe":
        assert model(input_ids=ids, labels=ids, output_router_logits=True).aux_loss == 0
