"""What would fail later is found before anything moves on disk, in one message."""

import json
from pathlib import Path

import pytest

from ringlite_cli.console import Console
from ringlite_cli.errors import RecipeErrors, UserError
from ringlite_cli.models.kinds import causal_classes, config_classes
from ringlite_cli.stages.commands.check import load_checked
from ringlite_cli.stages.commands.plan import print_plan
from ringlite_cli.stages.preflight import room
from ringlite_cli.stages.walk.preflight import check_before, findings

ROWS = "stages.curate.sources=[{path: %s, domain: math, columns: {prompt: question, answer: %s}}]"
SETS = "stages.curate.sets={traces: {}, math: {}, mixed: {}, select: {}, eval: {}}"


def faults_of(*overrides: str, stages: tuple[str, ...] = ()) -> list[str]:
    recipe = load_checked("toy", overrides)
    return [str(found) for found in findings(recipe, Path("nowhere"), stages or tuple(recipe.stages), Console())]


def of_model(folder: Path) -> list[str]:
    return faults_of("model.new=null", f"model.path={folder}", stages=("sft",))


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps({"question": f"What is {n} + 1?", "answer": n + 1}) + "\n" for n in range(30)))
    return path


@pytest.mark.slow
def test_the_toy_recipe_passes() -> None:
    assert faults_of() == []


def test_fields_of_sft_and_of_a_reward_model_are_tried_alike() -> None:
    found = [
        [str(each).replace(stage, "STAGE") for each in findings(recipe, Path("nowhere"), (stage,), Console())]
        for stage in ("sft", "preference")
        for recipe in [load_checked("toy-2507", (f"stages.{stage}.trl.lr_scheduler_kwargs={{nonsense: 1}}",))]
    ]
    assert found[0] == found[1]
    assert "stages.STAGE.trl.lr_scheduler_kwargs: the schedule" in found[0][0]


def test_a_launcher_that_cannot_work_is_told_by_check_and_plan_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACCELERATE_USE_DEEPSPEED", "true")
    with pytest.raises(UserError, match="DeepSpeed is not supported"):
        check_before(load_checked("toy"), Path("nowhere"), ("sft",), Console())
    with pytest.raises(UserError, match="DeepSpeed is not supported"):
        print_plan(load_checked("toy"), Console(), Path("nowhere"))


def test_a_folder_that_is_not_there_is_named_with_its_neighbour(tmp_path: Path) -> None:
    (tmp_path / "tiny").mkdir()
    (found,) = of_model(tmp_path / "tinny")
    assert "model.path: no folder" in found
    assert f"did you mean '{tmp_path / 'tiny'}'?" in found


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ("hiden_size=64", "config: 'hiden_size' is not a field of Ernie4_5_MoeConfig; did you mean 'hidden_size'?"),
        ("num_attention_heads=3", "config.num_key_value_heads: 3 attention heads cannot be shared evenly by 2 key"),
        ("norm_eps=[1]", "config: 'norm_eps' is not a field"),
        ("hidden_size=3", "config: a network of these sizes can't compute (Sizes of tensors must match"),
        ("moe_num_experts=0", "config: a network of these sizes can't compute ("),
    ],
)
def test_the_config_of_a_new_model_is_read_before_anything_is_curated(change: str, what: str) -> None:
    (found,) = faults_of(f"model.new.config.{change}", stages=("sft",))
    assert found.startswith("model.new.config")
    assert what in found
    assert len(found) < 400


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ("num_hidden_layers=-2", "num_hidden_layers: it must be at least 1, not -2"),
        ("num_hidden_layers=0", "num_hidden_layers: it must be at least 1, not 0"),
        ("moe_intermediate_size=0", "moe_intermediate_size: it must be at least 1, not 0"),
        ("moe_num_shared_experts=-1", "moe_num_shared_experts: it must be at least 0, not -1"),
        ("max_position_embeddings=0", "max_position_embeddings: it must be at least 1, not 0"),
        ("moe_k=5", "moe_k: a token can't be sent to 5 experts of 4"),
        ("moe_k=0", "moe_k: it must be at least 1, not 0"),
        ("vocab_size=10", "vocab_size: the tokenizer decides it, with at most the 384 tokens of new.vocab_size"),
    ],
)
def test_plain_check_refuses_sizes_that_no_network_has(change: str, what: str) -> None:
    """A model of no layers was trained, and the fault was found, if at all, by the stage that made it."""
    with pytest.raises(RecipeErrors) as error:
        load_checked("toy", [f"model.new.config.{change}"])
    assert f"model.new.config.{what}" in str(error.value)


@pytest.mark.parametrize(
    "change", ["moe_num_shared_experts=0", "moe_layer_end_index=-1", "vocab_size=384", "pad_token_id=-1"]
)
def test_plain_check_takes_sizes_that_mean_none_or_all(change: str) -> None:
    load_checked("toy", [f"model.new.config.{change}"])


@pytest.mark.parametrize(
    ("kind", "what"),
    [
        ("ernie_4_5_moe", "transformers has no architecture 'ernie_4_5_moe'; did you mean 'ernie4_5_moe'?"),
        ("qwen2_5_vl", "transformers has no causal language model of the kind qwen2_5_vl;"),
        ("t5", "t5 is not a causal language model"),
    ],
)
def test_plain_check_refuses_a_kind_of_model_that_cannot_run(tmp_path: Path, kind: str, what: str) -> None:
    file = tmp_path / "config.json"
    file.write_text(json.dumps({"model_type": kind}))
    asked = {"models": [{"path": str(tmp_path)}], "num_generations": 2}
    for changes, where in (
        ([f"model.new.config.model_type={kind}"], "model.new.config.model_type: "),
        (["model.new=null", f"model.path={tmp_path}"], f"model.path: {file}: "),
        ([f"stages.curate.difficulty={json.dumps(asked)}"], f"stages.curate.difficulty.models.0.path: {file}: "),
    ):
        with pytest.raises(RecipeErrors) as error:
            load_checked("toy", changes)
        (fault,) = error.value.faults
        assert where + what in fault


@pytest.mark.parametrize(
    ("config", "what"),
    [
        ('{"model_type": "llama"', "config.json is not JSON"),
        ("[1]", "config.json holds a list, and a config is a mapping"),
        (
            '{"model_type": "llama", "architectures": ["LlamaForSequenceClassification"]}',
            "Classification is not a causal",
        ),
        ('{"model_type": "llama", "is_encoder_decoder": true}', "llama is not a causal language model"),
        (
            '{"model_type": "mine", "auto_map": {"AutoConfig": "code.Config"}}',
            "mine is an architecture with code of its own; read it, and set model.trust_remote_code: true",
        ),
    ],
)
def test_plain_check_reads_the_config_of_a_models_folder(tmp_path: Path, config: str, what: str) -> None:
    (tmp_path / "config.json").write_text(config)
    with pytest.raises(RecipeErrors) as error:
        load_checked("toy", ["model.new=null", f"model.path={tmp_path}"])
    assert what in str(error.value)


@pytest.mark.parametrize(
    "config",
    [
        {"model_type": "llama", "architectures": ["LlamaForCausalLM"]},
        {"architectures": ["LlamaForCausalLM"]},
        {"model_type": "gpt-sw3"},
        {"model_type": "mine", "auto_map": {"AutoConfig": "code.Config", "AutoModelForCausalLM": "code.Model"}},
        {"model_type": "qwen2_5_vl", "auto_map": {"AutoModelForCausalLM": "code.Model"}},
    ],
)
def test_plain_check_leaves_what_may_run_to_the_stage_that_loads_it(tmp_path: Path, config: dict) -> None:
    (tmp_path / "config.json").write_text(json.dumps(config))
    load_checked("toy", ["model.new=null", f"model.path={tmp_path}", "model.trust_remote_code=true"])


@pytest.mark.slow
def test_kinds_of_models_are_those_that_transformers_has() -> None:
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    assert config_classes() == dict(CONFIG_MAPPING_NAMES)
    assert causal_classes() == dict(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES)


def test_an_adapter_is_no_model(tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": "some/base"}))
    with pytest.raises(
        RecipeErrors, match=f"an adapter of some/base.*; write `path: some/base` and `adapter: {tmp_path}`"
    ):
        of_model(tmp_path)


def test_a_gguf_file_needs_its_reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "m.gguf").touch()
    asked = ("model.new=null", f"model.path={tmp_path}", "model.gguf_file=m.gguf")
    (found,) = faults_of(*asked, stages=("sft",))
    assert "no GGUF file, or damaged" in found
    monkeypatch.setattr("ringlite_cli.stages.preflight.model.find_spec", lambda name: None)
    (found,) = faults_of(*asked, stages=("sft",))
    assert found.startswith("model.gguf_file: the package gguf")
    assert found.endswith("pip install 'ringlite[gguf]'")


def test_a_version_that_was_never_run_is_said_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("ringlite_cli.runs.provenance._installed", lambda: (("trl", "1.99.0"),))
    check_before(load_checked("toy"), tmp_path, [], Console())
    assert "trl 1.99.0 (tested: 1.16.0) was never run with this ringlite" in capsys.readouterr().err


def safetensors(path: Path, short_by: int = 0) -> None:
    header = json.dumps({"x": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}}).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(16 - short_by))


@pytest.mark.parametrize("short_by", [0, 1, 16])
def test_a_truncated_weight_file_is_found_by_its_header(tmp_path: Path, short_by: int) -> None:
    config = {"model_type": "llama", "hidden_size": 8, "num_attention_heads": 2, "num_hidden_layers": 1}
    (tmp_path / "config.json").write_text(json.dumps(config))
    safetensors(tmp_path / "model.safetensors", short_by)
    found = " ".join(of_model(tmp_path))
    assert ("cut short" in found) == (short_by > 0)


def test_a_column_that_is_not_there_is_named(rows: Path) -> None:
    assert faults_of(ROWS % (rows, "answer"), SETS, stages=("curate",)) == []
    (found,) = faults_of(ROWS % (rows, "result"), SETS, stages=("curate",))
    assert "stages.curate.sources.0" in found
    assert "result" in found


def test_a_domain_that_no_source_has(rows: Path) -> None:
    wanted = "stages.curate.sets.math={rows: {math: 3, code: 2}}"
    (found,) = faults_of(ROWS % (rows, "answer"), SETS, wanted, stages=("curate",))
    assert "no source of split 'train' has rows of code" in found


def test_a_mix_of_a_domain_that_the_set_lacks() -> None:
    found = faults_of("stages.rl-math.domain_mix={math: 0.5, code: 0.5}", stages=("rl-math",))
    assert any("the set curate.math has no rows of code" in fault for fault in found)


def test_vllm_that_is_not_installed() -> None:
    from ringlite_cli.engine import fault_of, vllm_version

    if not fault_of(vllm_version()):
        pytest.skip("vLLM is installed here")
    found = faults_of("engine.name=vllm", "stages.rl-math.trl.use_vllm=true", stages=("select", "rl-math"))
    assert [fault.partition(":")[0] for fault in found] == ["engine.name", "stages.rl-math.trl.use_vllm"]


@pytest.mark.slow
def test_what_trls_constructors_refuse() -> None:
    (found,) = faults_of("stages.sft.trl.packing_strategy=wrapped", stages=("sft",))
    assert "stages.sft.trl" in found
    assert "wrapped" in found


def test_all_faults_come_in_one_message(tmp_path: Path, rows: Path) -> None:
    recipe = load_checked("toy", ["model.new=null", f"model.path={tmp_path / 'no'}", ROWS % (rows, "result"), SETS])
    with pytest.raises(RecipeErrors) as raised:
        check_before(recipe, tmp_path / "run", ["curate", "sft"], Console())
    assert "model.path" in str(raised.value)
    assert "result" in str(raised.value)
    assert not (tmp_path / "run").exists()


def test_targets_of_an_adapter_are_tried_on_the_architecture() -> None:
    adapter = "stages.rl-math.lora={r: 4, target_modules: [%s]}"
    router = ("stages.rl-math.router_balance_coef=0", "stages.rl-math.router_z_loss_coef=0")
    (found,) = faults_of(adapter % "query_key_value", *router, stages=("rl-math",))
    assert found.startswith("stages.rl-math.lora.target_modules: 'query_key_value' is in no layer")
    (found,) = faults_of(adapter % "lm_head", *router, stages=("rl-math",))
    assert "adapter of the language-model head" in found
    assert faults_of(adapter % "q_proj", *router, stages=("rl-math",)) == []
    (found,) = faults_of(adapter % "q_proj", stages=("rl-math",))  # the toy recipe's losses of the router are on
    assert found.startswith("stages.rl-math: router_balance_coef, router_z_loss_coef: a router coefficient is set, but")
    routed = "stages.rl-math.lora={r: 4, target_modules: [q_proj], target_parameters: [mlp.gate.weight]}"
    assert faults_of(routed, stages=("rl-math",)) == []


def test_an_engine_over_ranks_and_heads_that_do_not_divide_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """The toy model has 4 heads of queries and 2 of keys."""
    monkeypatch.setattr("ringlite_cli.stages.preflight.engine.vllm_version", lambda: "0.25.1")
    key = "stages.rl-math.trl."
    told = faults_of(f"{key}use_vllm=true", f"{key}vllm_tensor_parallel_size=3", stages=("rl-math",))
    assert any("an engine spreads over 3 ranks of the trainer, and 1 cannot be shared out so" in x for x in told)
    assert any(f"{key}vllm_tensor_parallel_size: " in x and "cannot be shared evenly by 3 GPUs" in x for x in told)
    monkeypatch.setenv("WORLD_SIZE", "4")
    fine = faults_of(f"{key}use_vllm=true", f"{key}vllm_tensor_parallel_size=2", stages=("rl-math",))
    assert not any("tensor_parallel" in x for x in fine)


@pytest.mark.parametrize("stage", ["sft", "rl-math"])
def test_gpus_of_two_kinds_for_the_ranks_of_this_machine_are_said(stage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ["NVIDIA H100", "NVIDIA H100", "NVIDIA A100"]
    monkeypatch.setattr("ringlite_cli.train.devices.gpu_name", lambda place: names[place])
    monkeypatch.setattr("ringlite_cli.stages.preflight.engine.gpus_here", lambda: 3)
    monkeypatch.setenv("WORLD_SIZE", "3")
    for ranks, known in ((3, 1), (2, 0)):
        monkeypatch.setenv("LOCAL_WORLD_SIZE", str(ranks))
        told = [x for x in faults_of(stages=(stage,)) if "trains on a" in x]
        assert len(told) == known
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "3")
    (said,) = (x for x in faults_of(stages=(stage,)) if "trains on a" in x)
    assert said.startswith(f"stages.{stage}: rank 0 trains on a NVIDIA H100 and rank 2 on a NVIDIA A100; launch on")


def test_a_reward_model_is_not_trained_on_gpus_of_two_kinds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ringlite_cli.train.devices.gpu_name", lambda place: f"NVIDIA {('H100', 'A100')[place]}")
    monkeypatch.setattr("ringlite_cli.stages.preflight.engine.gpus_here", lambda: 2)
    for name in ("WORLD_SIZE", "LOCAL_WORLD_SIZE"):
        monkeypatch.setenv(name, "2")
    found = findings(load_checked("toy-2507"), Path("nowhere"), ("preference",), Console())
    assert any("stages.preference: rank 0 trains on a NVIDIA H100 and rank 1" in str(each) for each in found)


def test_what_a_machine_cannot_hold_is_said_with_its_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ringlite_cli.stages.preflight.room._memory_here", lambda: 2**20)
    told = [x for x in faults_of(stages=("sft",)) if "GiB" in x or "MiB" in x]
    assert any("weights" in x and "gradients" in x and "optimizer" in x and "this machine has" in x for x in told)


def test_responses_that_may_not_fit_are_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch of the trainer's own model grows with its longest response, which may end early."""
    monkeypatch.setattr(room, "_memory_here", lambda: 2**29)
    recipe = load_checked("toy", ())
    found = findings(recipe, Path("nowhere"), ("rl-math",), Console())
    (risk,) = [each for each in found if "drawing responses takes up to" in str(each)]
    assert not risk.fatal
    assert "draw by vLLM (trl.use_vllm: true)" in str(risk)
