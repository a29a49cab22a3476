"""Packages, files and settings that a stage would miss hours later are named before anything moves on disk."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, get_peft_model
from reward_models import CHAT, make_reward_model, make_tokenizer
from safetensors.torch import load_file
from tiny_lm import save_policy, tiny_model, tiny_tokenizer

from ringlite_cli.console import Console
from ringlite_cli.models.sizes import model_sizes
from ringlite_cli.runs.manifest import Manifest
from ringlite_cli.sandbox.view import Isolation
from ringlite_cli.stages.base import Finding
from ringlite_cli.stages.commands.check import load_checked
from ringlite_cli.stages.preflight.room import disk_bytes
from ringlite_cli.stages.walk.preflight import findings

SFT, RL = "stages.sft.trl.", "stages.rl-math.trl."


def found_in(stage: str, *overrides: str) -> list[Finding]:
    return findings(load_checked("toy", overrides), Path("nowhere"), [stage], Console())


def the_fault(stage: str, *overrides: str) -> str:
    (found,) = found_in(stage, *overrides)
    assert found.fatal
    return str(found)


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_policy(tmp_path_factory.mktemp("sound") / "model", "qwen3")


@pytest.fixture
def model(sound: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(sound, tmp_path / "model"))


def of(folder: Path) -> tuple[str, ...]:
    return ("model.new=null", f"model.path={folder}", "model.dtype=float32", "end_token=<eos>")


def pickle(folder: Path) -> Path:
    """Write the weights of a folder as a pickle, in place of safetensors."""
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    return folder / "pytorch_model.bin"


@pytest.mark.parametrize(
    ("stage", "override", "words"),
    [
        ("sft", SFT + "optim=adamw_bnb_8bit", "sft.trl.optim: 'adamw_bnb_8bit' cannot be made here"),
        ("rl-math", RL + "optim=galore_adamw", "galore_torch"),
        ("sft", SFT + "optim_args=momentum", "cannot be made with these settings"),
        ("sft", SFT + "use_liger_kernel=true", "the package liger-kernel is not installed"),
        ("rl-math", RL + "lr_scheduler_type=cosine_with_min_lr", "min_lr"),
        ("rl-math", RL + "torch_compile_backend=inductr", "torch has no compiler 'inductr'"),
        ("rl-math", RL + "reward_weights=[1.0, 2.0]", "2 weights, and ringlite gives TRL one reward"),
        ("rl-math", RL + "generation_kwargs={min_lenght: 3}", "did you mean 'min_length'?"),
        ("rl-math", RL + "cache_implementation=dynamik", "Invalid `cache_implementation`"),
        ("rl-math", RL + "max_completion_length=512", "leave no room for a prompt in the model's context of 512"),
        ("sft", SFT + "accelerator_config=/no/where.json", "TRL refuses these settings"),
        ("sft", "model.attn_implementation=flash_attention_2", "'flash_attention_2' is not installed"),
        ("rl-math", RL + "model_init_kwargs={attn_implementation: sdpaa}", "the attention 'sdpaa' cannot be used"),
    ],
)
def test_settings_that_training_would_stumble_over(stage: str, override: str, words: str) -> None:
    if "bnb" in override or "galore" in override or "liger" in override or "flash" in override:
        package = {"bnb": "bitsandbytes", "galore": "galore_torch", "liger": "liger_kernel", "flash": "flash_attn"}
        _skip_where_installed(next(name for part, name in package.items() if part in override))
    assert words in the_fault(stage, override)


def _skip_where_installed(package: str) -> None:
    from importlib.util import find_spec

    if find_spec(package):
        pytest.skip(f"{package} is installed here")


@pytest.mark.parametrize("schedule", ["cosine", "linear", "polynomial", "warmup_stable_decay"])
def test_arguments_that_a_schedule_does_not_take(schedule: str) -> None:
    fault = the_fault("sft", SFT + f"lr_scheduler_type={schedule}", SFT + "lr_scheduler_kwargs={cyclez: 2}")
    assert fault.startswith(f"stages.sft.trl.lr_scheduler_kwargs: the schedule '{schedule}' cannot be made")


@pytest.mark.parametrize(
    ("kind", "kwargs"),
    [
        ("cosine_with_min_lr", "{min_lr: 1e-6}"),
        ("cosine_with_restarts", "{num_cycles: 2}"),
        ("warmup_stable_decay", "{num_decay_steps: 2}"),
        ("constant_with_warmup", "null"),
    ],
)
def test_schedules_that_can_be_made(kind: str, kwargs: str) -> None:
    assert found_in("rl-math", RL + f"lr_scheduler_type={kind}", RL + f"lr_scheduler_kwargs={kwargs}") == []


def test_pushing_to_a_hub_that_cannot_be_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.is_offline_mode", lambda: False)
    monkeypatch.setattr("huggingface_hub.get_token", lambda: None)
    assert "the hub asks for a token" in the_fault("sft", SFT + "push_to_hub=true")
    monkeypatch.setattr("huggingface_hub.constants.is_offline_mode", lambda: True)
    assert "HF_HUB_OFFLINE is set" in the_fault("sft", SFT + "push_to_hub=true")


def test_a_sound_folder_passes(sound: Path) -> None:
    assert found_in("sft", *of(sound)) == []


def test_a_pickle_is_looked_into(model: Path) -> None:
    file = pickle(model)
    assert found_in("sft", *of(model), "model.allow_pickle=true") == []
    whole = file.read_bytes()
    for damaged in (whole[: len(whole) // 2], whole[:-1], b"\x80\x02hello", b""):
        file.write_bytes(damaged)
        assert "the weight file is cut short or damaged" in the_fault("sft", *of(model), "model.allow_pickle=true")
    file.write_bytes(whole)
    weights = torch.load(file, weights_only=True)
    torch.save({name: x for name, x in weights.items() if "layers.1" not in name}, file)
    assert "it lacks" in the_fault("sft", *of(model), "model.allow_pickle=true")


@pytest.mark.slow
def test_an_adapter_that_does_not_belong_to_the_model(sound: Path, tmp_path: Path) -> None:
    def saved(name: str, **config: int) -> Path:
        adapted = get_peft_model(tiny_model("qwen3", **config), LoraConfig(r=4, target_modules=["q_proj"]))
        adapted.save_pretrained(tmp_path / name)
        return tmp_path / name

    def fault(folder: Path) -> str:
        return the_fault("sft", *of(sound), f"model.adapter={folder}")

    assert found_in("sft", *of(sound), f"model.adapter={saved('fits')}") == []
    assert "it lacks" in fault(saved("shallow", num_hidden_layers=1))
    assert "which the model has no place for" in fault(saved("deep", num_hidden_layers=3))
    assert "and the model makes it [4, 32]" in fault(saved("wide", hidden_size=64))
    repeated = json.loads((tmp_path / "fits" / "adapter_config.json").read_text())
    shutil.copytree(tmp_path / "fits", tmp_path / "repeats")
    (tmp_path / "repeats" / "adapter_config.json").write_text(json.dumps(repeated | {"layer_replication": [[0, 2]]}))
    assert "layer_replication makes more of the adapter" in fault(tmp_path / "repeats")
    (tmp_path / "fits" / "adapter_model.safetensors").write_bytes(b"12345678")
    assert "cut short or damaged" in fault(tmp_path / "fits")
    (tmp_path / "fits" / "adapter_model.safetensors").unlink()
    assert "no weights of an adapter" in fault(tmp_path / "fits")


def test_a_tokenizer_that_is_larger_than_the_embedding(model: Path) -> None:
    tokenizer = tiny_tokenizer()
    tokenizer.add_tokens([f"more{n}" for n in range(20)])
    tokenizer.save_pretrained(model)
    assert "tokens beyond the model's embedding" in the_fault("sft", *of(model))


def test_models_that_curation_asks(model: Path) -> None:
    asked = "stages.curate.distill={teacher: {path: %s}}"
    assert found_in("curate", asked % model) == []
    assert "distill.teacher.path: no folder" in the_fault("curate", asked % (model / "not"))
    (model / "model.safetensors").write_bytes(b"12345678")
    assert "cut short or damaged" in the_fault("curate", asked % model)


def test_an_address_where_nothing_answers_is_a_warning() -> None:
    (found,) = found_in("curate", "stages.curate.distill={teacher: {endpoint: 'http://localhost:1/v1', model: x}}")
    assert "nothing answers at http://localhost:1/v1" in str(found)
    assert not found.fatal


@pytest.mark.parametrize("address", ["localhost:8000/v1", "ftp://localhost/v1", "http:///v1"])
def test_an_address_that_no_request_can_be_sent_to_is_refused(address: str) -> None:
    asked = ("stages.curate.sources.0.verifier=judge", "rewards.judge_model=m", f"rewards.judge_url={address}")
    assert "http://" in the_fault("curate", *asked)


def test_what_the_verifiers_of_the_problems_need(model: Path) -> None:
    asked = "stages.curate.sources.0.verifier=reward-model"
    assert "rewards.reward_model: problems ask" in the_fault("curate", asked)
    assert "rewards.judge_url: problems ask" in the_fault("curate", "stages.curate.sources.0.verifier=judge")
    assert "no folder" in the_fault("curate", asked, f"rewards.reward_model={model / 'not'}")
    assert "no classifier" in the_fault("curate", asked, f"rewards.reward_model={model}")


def test_what_a_reward_model_must_be(tmp_path: Path) -> None:
    def given(name: str, template: str = CHAT, **changes: int) -> tuple[str, str, Path]:
        folder = make_reward_model(tmp_path / name, make_tokenizer(template), **changes)
        return "stages.curate.sources.0.verifier=reward-model", f"rewards.reward_model={folder}", folder

    asked, sound, folder = given("sound")
    assert found_in("curate", asked, sound) == []
    asked, several, _ = given("several", labels=3)
    assert "has 3 labels, and a reward model has one" in the_fault("curate", asked, several)
    asked, plain, _ = given("plain", template="")
    (note,) = found_in("curate", asked, plain)
    assert not note.fatal
    assert "no chat template" in str(note)
    asked, deaf, _ = given("deaf", template="{% for m in messages if m.role == 'user' %}{{ m.content }}{% endfor %}")
    assert "leaves the response out" in the_fault("curate", asked, deaf)
    asked, other, at = given("other", labels=3)
    several = json.loads((at / "config.json").read_text()) | {"id2label": {"0": "score"}, "label2id": {"score": 0}}
    (at / "config.json").write_text(json.dumps(several))
    assert "score.weight is of the shape [3, 16]" in the_fault("curate", asked, other)
    (folder / "model.safetensors").unlink()
    assert "no weights" in the_fault("curate", asked, sound)
    headless = {"architectures": ["LlamaForSequenceClassification"], "model_type": "llama", "num_labels": 1}
    language = save_policy(tmp_path / "language", "llama")
    config = json.loads((language / "config.json").read_text()) | headless
    (language / "config.json").write_text(json.dumps(config | {"id2label": {"0": "score"}}))
    assert "random numbers" in the_fault("curate", asked, f"rewards.reward_model={language}")


def test_rouge_needs_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = "stages.curate.sources.0.verifier=rouge"
    monkeypatch.setattr("ringlite_cli.rewards.references.is_installed", lambda: True)
    assert found_in("curate", asked) == []
    monkeypatch.setattr("ringlite_cli.rewards.references.is_installed", lambda: False)
    assert "ringlite[rouge]" in the_fault("curate", asked)


def test_no_isolation_where_programs_are_run(monkeypatch: pytest.MonkeyPatch) -> None:
    none = (Isolation("none", missing=("bubblewrap",)), "bubblewrap is not installed")
    monkeypatch.setattr("ringlite_cli.sandbox.pool.find_isolation", lambda: none)
    for stage in ("curate", "rl-mixed"):
        assert "install bubblewrap" in the_fault(stage)
    assert found_in("rl-math") == []
    assert found_in("rl-mixed", "rewards.isolation=none") == []


def test_tasks_without_their_data(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("RINGLITE_DATA", str(tmp_path))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert "math500" in the_fault("eval", "stages.eval.tasks=[math500]")


def test_traces_without_a_response(tmp_path: Path) -> None:
    rows = tmp_path / "rows.jsonl"

    def fault(columns: str, *wanted: str) -> str:
        rows.write_text("".join(json.dumps(dict.fromkeys(wanted, f"word {n}")) + "\n" for n in range(9)))
        return the_fault("sft", "stages.sft.data={path: %s, %s}" % (rows, columns))  # noqa: UP031 (braces of YAML)

    assert "none of the first 9 rows has a trace" in fault("domain: math", "prompt")
    assert "did you mean 'solution'?" in fault("columns: {prompt: question, trace: solutions}", "question", "solution")
    rows.unlink()
    assert "no such file" in the_fault("sft", f"stages.sft.data={{path: {rows}}}")


def test_a_disk_that_is_too_small(monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage("/")
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage._replace(free=1 << 20))
    assert the_fault("sft").startswith("disk: the stages to come need about")


@pytest.mark.parametrize(
    ("status", "file", "fits"),
    [
        ("failed", "trainer/checkpoint-3/optimizer.pt", True),
        ("running", "checkpoints/step-3/model.safetensors", True),
        ("failed", "metrics.jsonl", False),
        ("done", "trainer/checkpoint-3/optimizer.pt", False),  # kept beside what is made again
    ],
)
def test_what_a_stopped_stage_has_saved_is_not_asked_for_again(
    status: str, file: str, fits: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = load_checked("toy")
    need = disk_bytes(recipe, "sft", model_sizes(recipe.model)[0])
    saved = tmp_path / "sft" / file
    saved.parent.mkdir(parents=True)
    with saved.open("wb") as empty:
        empty.truncate(need // 2)
    Manifest("sft", "sft", status, "f", 1, {}, []).write(tmp_path / "sft")
    usage = shutil.disk_usage("/")
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage._replace(free=need * 3 // 4))
    found = findings(recipe, tmp_path, ["sft"], Console())
    assert [str(one).partition(":")[0] for one in found] == ([] if fits else ["disk"])


@pytest.mark.parametrize("stage", ["sft", "rl-math"])
def test_a_named_attention_kernel_that_is_not_there(stage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RINGLITE_ATTENTION_KERNEL", "flash-attn-5")
    assert the_fault(stage).startswith(
        "RINGLITE_ATTENTION_KERNEL: there is no attention kernel 'flash-attn-5'; did you"
    )
    monkeypatch.setenv("RINGLITE_ATTENTION_KERNEL", "torch")
    assert found_in(stage) == []
