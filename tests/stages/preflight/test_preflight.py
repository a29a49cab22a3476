"""What would fail later is found before anything moves on disk, in one message."""

import json
from pathlib import Path

import pytest

from ringlite_cli.console import Console
from ringlite_cli.errors import RecipeErrors
from ringlite_cli.stages.commands.check import load_checked
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


def test_a_folder_that_is_not_there_is_named_with_its_neighbour(tmp_path: Path) -> None:
    (tmp_path / "tiny").mkdir()
    (found,) = of_model(tmp_path / "tinny")
    assert "model.path: no folder" in found
    assert f"did you mean '{tmp_path / 'tiny'}'?" in found


def test_an_adapter_is_no_model(tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": "some/base"}))
    (found,) = of_model(tmp_path)
    assert "holds an adapter of some/base" in found


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
