"""FSDP2 for real, on two CPU ranks: the same training as ranks that each hold everything, whole policies, resumes."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from fsdp_on_cpu import ROOT, launch, start, told
from safetensors.torch import load_file
from tiny_lm import save_policy

from ringlite_cli.errors import WorkFailed
from ringlite_cli.models import register
from ringlite_cli.runs.files import read_jsonl
from ringlite_cli.train.resume.checkpoints import fault
from ringlite_cli.train.sharded import whole_weights

pytestmark = pytest.mark.timeout(1800)
PROGRAM = ROOT / "tests" / "sharded_rank.py"
SGD = {"optim": "sgd", "learning_rate": 0.1}
"""One step of it shows an error of the gradient as it is; Adam would show rounding as large."""
ROUTER = {"router_balance_coef": 0.01, "router_z_loss_coef": 1e-3}
TERMS = {"updates_per_rollout": 2, "trl": SGD | {"beta": 0.05, "entropy_coef": 1e-3}}
BAILING = {"moe_intermediate_size": 32, "num_experts": 4, "num_experts_per_tok": 2, "head_dim": 8}
LING2 = {
    "moe_intermediate_size": 32,
    "num_experts": 8,
    "num_experts_per_tok": 2,
    "n_group": 2,
    "topk_group": 1,
    "head_dim": 8,
    "partial_rotary_factor": 0.5,
    "tie_word_embeddings": False,
}
RUNS = {
    "mixture": ("rl", "qwen3_moe", {**TERMS, **ROUTER, "given_responses": True}),
    "bailing": ("rl", "bailing_moe", {**ROUTER, "algorithm": "grpo", "trl": SGD | {"beta": 0.0}}),
    "ling2": (
        "rl",
        "bailing_moe_v2",
        {"given_responses": True, "router_balance_coef": 0.01, "router_bias_rate": 0.01, "trl": SGD | {"beta": 0.05}},
    ),
    "traces": ("sft", "qwen3", {"trl": SGD}),
    "adapter": ("rl", "qwen3", {"lora": {"r": 4}, "trl": {"learning_rate": 0.05, "beta": 0.01}}),
    "adapter-half": ("rl", "qwen3", {"lora": {"r": 4}, "dtype": "bfloat16", "given_responses": True, "trl": SGD}),
    "guarded": (
        "rl",
        "qwen3",
        {
            "steps": 8,
            "falls": True,
            "guard": {"window": 2, "reward": {"drop": 0.9, "action": "rollback"}},
            "trl": {"save_steps": 1, "beta": 0.0},
        },
    ),
    "half": ("rl", "qwen3", {"dtype": "bfloat16", "trl": {"entropy_coef": 1e-3}}),
}
"""name -> (kind, architecture, options) of the runs that are made with shards, and without."""
AFTER = ("checkpoints/checkpoint-2", "policy")
BIASED = {"updates_per_rollout": 2, "router_bias_rate": 0.01, "trl": {"save_steps": 1, "beta": 0.0}}


def job(name: str, out: Path, folder: Path, kind: str, options: dict) -> dict:
    return {"kind": kind, "out": str(out / name), "policy": str(folder), "options": options}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """Folders of the same runs by two ranks with FSDP2, by two without, and by one; and of runs with FSDP2 alone."""
    root = tmp_path_factory.mktemp("sharded")
    register()
    own = {"bailing_moe": BAILING, "bailing_moe_v2": LING2}
    names = {architecture for _, architecture, _ in RUNS.values()} | {"ernie4_5_moe"}
    policies = {name: save_policy(root / name, name, **own.get(name, {})) for name in names}
    made = SimpleNamespace(policies=policies, **{how: root / how for how in ("fsdp", "ddp", "one")})
    for how in ("fsdp", "ddp", "one"):
        kinds = {name: RUNS[name] for name in (("mixture", "traces") if how == "one" else RUNS)}
        accumulate = {"gradient_accumulation_steps": 4 if how == "one" else 2}
        jobs = [
            job(name, root / how, policies[a], kind, options | ({"trl": SGD | accumulate} if kind == "sft" else {}))
            for name, (kind, a, options) in kinds.items()
        ]
        if how == "fsdp":
            ernie = policies["ernie4_5_moe"]
            mixture = policies["qwen3_moe"]
            options = RUNS["mixture"][2] | {"trl": TERMS["trl"] | {"save_steps": 1}}
            jobs += [
                job("plain-sgd", root / how, mixture, "rl", options),
                job("plain-sgd", root / how, mixture, "forget", {"paths": AFTER}),
                job("plain-sgd", root / how, mixture, "rl", options),
                job("undisturbed", root / how, ernie, "rl", BIASED),
                job("resumed", root / how, ernie, "rl", BIASED),
                job("resumed", root / how, ernie, "forget", {"paths": AFTER}),
                job("resumed", root / how, ernie, "rl", BIASED),
            ]
        file = root / f"{how}.json"
        file.write_text(json.dumps(jobs))
        launch(PROGRAM, str(file), config=root / f"{how}.yaml", ranks=1 if how == "one" else 2, sharded=how == "fsdp")
    return made


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def assert_same(one: dict, other: dict, tolerance: float = 1e-6) -> None:
    assert one.keys() == other.keys()
    for name, tensor in one.items():
        torch.testing.assert_close(tensor, other[name], atol=tolerance, rtol=0, msg=name)


def assert_same_rows(one: Path, other: Path, names: tuple[str, ...]) -> None:
    rows, expected = read_jsonl(one / "metrics.jsonl"), read_jsonl(other / "metrics.jsonl")
    for name in names:
        assert [row[name] for row in rows] == pytest.approx([row[name] for row in expected], rel=1e-5, abs=1e-7), name


@pytest.mark.slow
@pytest.mark.parametrize("name", RUNS)
def test_every_weight_is_in_pieces_where_fsdp2_is_asked_for(runs, name):
    for how, kind in (("fsdp", "DTensor"), ("ddp", "Tensor")):
        ranks = told(getattr(runs, how) / name)
        assert [rank["parameters"] for rank in ranks] == [[kind]] * 2
        assert all((rank["units"] > 3) == (how == "fsdp") for rank in ranks)  # embedding, a unit a layer, head and norm


@pytest.mark.slow
def test_one_rank_of_a_machine_reads_weights_that_are_shared_out(runs):
    """The others hold zeros until the first rank sends them their pieces."""
    for name in RUNS.keys() - {"adapter", "adapter-half"}:
        assert [rank["read"] for rank in told(runs.fsdp / name)] == [True, False], name
        assert [rank["read"] for rank in told(runs.ddp / name)] == [True, True], name


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(RUNS.keys() - {"guarded"}))  # a rollback makes a trainer anew
def test_the_small_copy_that_is_tried_in_place_of_a_model_is_made_once(runs, name):
    assert [rank["small_copies"] for rank in told(runs.fsdp / name)] == [1, 1]


@pytest.mark.slow
@pytest.mark.parametrize("how", ["ddp", "one"])
def test_kl_entropy_router_terms_and_later_updates_are_those_of_whole_weights(runs, how):
    other = getattr(runs, how) / "mixture"
    mine = runs.fsdp / "mixture"
    assert_same_rows(mine, other, ("loss", "grad_norm", "kl", "entropy", "router_balance", "router_z"))
    assert read_jsonl(mine / "metrics.jsonl")[1]["kl"] > 0
    assert_same(weights(mine / "policy"), weights(other / "policy"))
    assert any(
        not torch.equal(x, weights(mine / "policy")[name]) for name, x in weights(runs.policies["qwen3_moe"]).items()
    )


@pytest.mark.slow
def test_a_reference_is_shared_out_by_block_as_the_policy_is_and_absent_where_nothing_needs_it(runs):
    seen = told(runs.fsdp / "mixture")[0]
    assert seen["reference_model"]["units"] == seen["units"]
    ends = ("embed_tokens.weight", "norm.weight", "lm_head.weight")  # stay gathered after a pass without a backward
    assert all(name.endswith(ends) and ".layers." not in name for name in seen["reference_model"]["gathered"])
    assert not told(runs.fsdp / "bailing")[0]["has_reference"]  # beta is 0
    assert not told(runs.fsdp / "adapter")[0]["has_reference"]  # the base is


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mixture", "bailing", "ling2", "half"])
def test_an_engine_gets_every_weight_whole_in_the_number_format_of_a_pass(runs, name):
    dtype = "bfloat16" if name == "half" else "float32"
    for rank in told(runs.fsdp / name):
        assert rank["handed_over"] == {"same": True, "dtypes": [f"torch.{dtype}"]}


@pytest.mark.slow
def test_what_shards_sample_and_train_is_what_whole_weights_do(runs):
    """Responses of transformers' generation, a model of ringlite's own, another algorithm."""
    assert_same_rows(runs.fsdp / "bailing", runs.ddp / "bailing", ("loss", "grad_norm", "entropy", "router_balance"))
    mine, other = (
        [row["response"] for row in read_jsonl(f / "bailing" / "rollouts.jsonl")] for f in (runs.fsdp, runs.ddp)
    )
    assert mine == other
    assert_same(weights(runs.fsdp / "bailing" / "policy"), weights(runs.ddp / "bailing" / "policy"))


@pytest.mark.slow
def test_ling_2_is_sharded_with_its_expert_bias_moved_by_load(runs):
    """Sigmoid routers in groups: the bias of the choice gets no gradient, is whole on every rank and is saved."""
    mine, other = runs.fsdp / "ling2", runs.ddp / "ling2"
    assert_same_rows(mine, other, ("loss", "grad_norm", "kl", "entropy", "router_balance"))
    end, start = weights(mine / "policy"), weights(runs.policies["bailing_moe_v2"])
    assert_same(end, weights(other / "policy"))
    assert end.keys() == start.keys()
    moved = {name for name, tensor in end.items() if not torch.equal(tensor, start[name])}
    biases = {name for name in end if name.endswith("expert_bias")}
    assert biases
    assert biases <= moved
    assert {end[name].dtype for name in biases} == {torch.float32}
    assert {"model.layers.1.mlp.experts.0.up_proj.weight", "model.layers.1.mlp.gate.weight"} <= moved


@pytest.mark.slow
@pytest.mark.parametrize("how", ["ddp", "one"])
def test_sft_trains_what_whole_weights_do(runs, how):
    kept = [row["path"] for row in json.loads((runs.fsdp / "traces" / "checkpoints.json").read_text())]
    assert len(kept) > 1
    for path in kept:
        assert_same(weights(runs.fsdp / "traces" / path), weights(getattr(runs, how) / "traces" / path))


@pytest.mark.slow
def test_an_adapter_trains_and_is_merged_whole(runs):
    start, end = weights(runs.policies["qwen3"]), weights(runs.fsdp / "adapter" / "policy")
    assert start.keys() == end.keys()
    assert any(not torch.equal(start[name], end[name]) for name in start)
    assert_same(end, weights(runs.ddp / "adapter" / "policy"), 1e-4)
    assert read_jsonl(runs.fsdp / "adapter" / "metrics.jsonl")[1]["kl"] > 0


@pytest.mark.slow
def test_an_adapter_beside_weights_in_bfloat16_trains_though_its_first_pass_is_the_references(runs):
    """FSDP2 asks in its first pass what is trained: an adapter that was frozen for it had gradients in bfloat16."""
    mine, other = runs.fsdp / "adapter-half", runs.ddp / "adapter-half"
    assert_same_rows(mine, other, ("loss", "grad_norm", "kl"))
    assert read_jsonl(mine / "metrics.jsonl")[1]["kl"] > 0
    assert_same(weights(mine / "policy"), weights(other / "policy"), 2**-8)  # a last bit


@pytest.mark.slow
@pytest.mark.parametrize("how", ["fsdp", "ddp"])
def test_bfloat16_is_for_weights_and_activations_alone(runs, how):
    """Log-probabilities, entropy, reference, KL and loss are float32, and so are the master weights and the head."""
    folder = getattr(runs, how) / "half"
    seen = told(folder)[0]
    for name in ("log_probs", "entropy", "reference", "loss", "kl_sum"):
        assert seen[name] == "torch.float32", name
    assert seen["dtypes"] == ["torch.float32"]
    values = torch.tensor(seen["values"])
    assert not torch.equal(values, values.bfloat16().float())
    assert {x.dtype for x in weights(folder / "policy").values()} == {torch.bfloat16}
    assert read_jsonl(folder / "metrics.jsonl")[1]["kl"] > 0


@pytest.mark.slow
def test_a_run_in_the_middle_of_a_rollout_resumes_to_the_same_weights(runs):
    """Adam's state too, of a mixture whose routers' biases are moved without a gradient."""
    assert [row["step"] for row in read_jsonl(runs.fsdp / "resumed" / "metrics.jsonl")] == [1, 2]
    first, undisturbed = weights(runs.policies["ernie4_5_moe"]), weights(runs.fsdp / "undisturbed" / "policy")
    assert_same(weights(runs.fsdp / "resumed" / "policy"), undisturbed, 0.0)
    moved = [name for name in first if name.endswith("e_score_correction_bias")]
    assert moved
    assert all(not torch.equal(first[name], undisturbed[name]) for name in moved)


@pytest.mark.slow
def test_an_optimizer_that_keeps_nothing_resumes_with_its_learning_rate(runs):
    """Plain SGD; the rate of step 2 is half of that of step 1."""
    assert [row["step"] for row in read_jsonl(runs.fsdp / "plain-sgd" / "metrics.jsonl")] == [1, 2]
    assert_same(weights(runs.fsdp / "plain-sgd" / "policy"), weights(runs.fsdp / "mixture" / "policy"), 0.0)


@pytest.mark.slow
def test_a_rollback_of_the_guard_goes_back_to_a_checkpoint_of_shards(runs):
    (event,) = read_jsonl(runs.fsdp / "guarded" / "guard.jsonl")
    assert (event["rule"], event["step"], event["to"]) == ("reward", 7, 4)
    assert [row["step"] for row in read_jsonl(runs.fsdp / "guarded" / "metrics.jsonl")] == list(range(1, 9))
    assert_same(weights(runs.fsdp / "guarded" / "policy"), weights(runs.ddp / "guarded" / "policy"), 1e-4)


@pytest.mark.slow
def test_a_rank_that_dies_while_a_policy_is_saved_leaves_nothing_that_looks_whole(tmp_path):
    policy, out = save_policy(tmp_path / "start", "qwen3"), tmp_path / "out"
    file = tmp_path / "jobs.json"
    file.write_text(json.dumps([job("out", tmp_path, policy, "rl", {"trl": {"save_steps": 1}})]))
    done = start(PROGRAM, str(file), config=tmp_path / "c.yaml", DIES="policy")
    assert done.returncode != 0
    assert not (out / "policy").exists()
    assert (out / "checkpoints" / "checkpoint-2").is_dir()


@pytest.mark.slow
def test_a_rank_that_dies_while_a_checkpoint_is_saved_costs_that_checkpoint_alone(tmp_path):
    """Weights of step 2 are written, its optimizer is not: the same launch goes on from step 1."""
    policy, out = save_policy(tmp_path / "start", "qwen3"), tmp_path / "out"
    file = tmp_path / "jobs.json"
    file.write_text(json.dumps([job("out", tmp_path, policy, "rl", {"trl": {"save_steps": 1}})]))
    done = start(PROGRAM, str(file), config=tmp_path / "c.yaml", DIES="checkpoint")
    assert done.returncode != 0
    half = out / "checkpoints" / "checkpoint-2"
    assert half.is_dir(), done.stderr[-3000:]
    assert fault(half) == "it was not saved to its end"
    assert fault(out / "checkpoints" / "checkpoint-1") == ""
    assert not (out / "policy").exists()
    launch(PROGRAM, str(file), config=tmp_path / "c.yaml")
    assert not half.with_name("checkpoint-2.unsound").exists()
    assert fault(half) == ""
    assert [row["step"] for row in read_jsonl(out / "metrics.jsonl")] == [1, 2]
    assert (out / "policy" / "model.safetensors").is_file()


def test_weights_that_something_has_renamed_are_not_left_out_of_what_is_saved():
    """As accelerate's own checkpointing does: names of weights have its prefix, those of the state dict have not."""
    from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import checkpoint_wrapper

    model = torch.nn.Sequential(checkpoint_wrapper(torch.nn.Linear(2, 2)))
    accelerator = SimpleNamespace(is_main_process=True, unwrap_model=lambda given: given)
    with pytest.raises(WorkFailed, match=r"2 weights would be missing in what is saved, 0\._checkpoint_wrapped"):
        whole_weights(SimpleNamespace(accelerator=accelerator, model=model))
