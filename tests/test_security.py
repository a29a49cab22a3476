"""What a run never does on the word of a recipe, a model or a data set."""

import ast
from pathlib import Path
from typing import Any

import pytest

import ringlite_cli
from ringlite_cli.errors import UserError
from ringlite_cli.recipe.load import load_recipe
from ringlite_cli.recipe.schema import Model, Recipe
from ringlite_cli.stages.kinds import KINDS
from ringlite_cli.stages.walk.makers import versions_of

PACKAGE = Path(ringlite_cli.__file__).parent
FORBIDDEN = {"os.system", "os.popen", "pickle.load", "pickle.loads", "torch.load", "yaml.unsafe_load", "yaml.full_load"}


def calls(file: Path) -> list[ast.Call]:
    return [node for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)]


def faults_of(file: Path) -> list[str]:
    faults = []
    for call in calls(file):
        name = ast.unparse(call.func)
        weights_alone = any(k.arg == "weights_only" and ast.unparse(k.value) == "True" for k in call.keywords)
        if name in FORBIDDEN and not weights_alone:
            faults.append(f"{file}:{call.lineno}: {name}")
        if any(k.arg == "shell" and ast.unparse(k.value) != "False" for k in call.keywords):
            faults.append(f"{file}:{call.lineno}: a shell")
        loaders = [ast.unparse(part) for part in (*call.args[1:], *(k.value for k in call.keywords))]
        if name == "yaml.load" and loaders != ["_Loader"]:
            faults.append(f"{file}:{call.lineno}: yaml.load by {loaders}")
    return faults


@pytest.mark.slow
def test_no_shell_no_pickle_and_the_safe_loader_alone(tmp_path: Path) -> None:
    bad = tmp_path / "bad.py"
    bad.write_text("os.system('x')\nsubprocess.run('x', shell=True)\nyaml.load(text, yaml.Loader)\ntorch.load(file)\n")
    assert len(faults_of(bad)) == 4  # the check can fail
    assert [fault for file in sorted(PACKAGE.rglob("*.py")) for fault in faults_of(file)] == []


def test_the_loader_makes_plain_values_only(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    path = tmp_path / "r.yaml"
    path.write_text(f"name: !!python/object/apply:pathlib.Path.touch [!!python/object/apply:pathlib.Path ['{mark}']]\n")
    with pytest.raises(UserError, match="not valid YAML"):
        load_recipe(str(path))
    with pytest.raises(UserError, match="not valid YAML"):
        load_recipe("toy", [f"name=!!python/object/apply:os.mkdir ['{mark}']"])
    assert not mark.exists()


def test_weights_are_safetensors_or_refused(tmp_path: Path) -> None:
    import torch
    from policies import write_tiny_policy

    from ringlite_cli.train.base_model import prepare_model

    model = write_tiny_policy(tmp_path / "model")
    section = {"path": str(model), "dtype": "float32"}
    assert (prepare_model(section, [], tmp_path / "ours", 1) / "model.safetensors").is_file()
    from safetensors.torch import load_file

    torch.save(load_file(model / "model.safetensors"), model / "pytorch_model.bin")
    (model / "model.safetensors").unlink()
    with pytest.raises(
        UserError, match=r"holds no model\.safetensors; it holds pytorch_model\.bin; allow_pickle: true"
    ):
        prepare_model(section, [], tmp_path / "theirs", 1)
    assert not (tmp_path / "theirs").exists()
    assert prepare_model(section | {"allow_pickle": True}, [], tmp_path / "theirs", 1).is_dir()


def _versions(recipe: Recipe) -> dict[str, Any]:
    return versions_of(recipe, KINDS["sft"], recipe.stages["sft"])


def test_remote_code_is_off_and_named_in_the_manifest_when_on() -> None:
    assert Model(path="x/y").trust_remote_code is False
    assert "remote_code" not in _versions(load_recipe("toy"))
    trusted = load_recipe("toy", ["model={path: some/model, trust_remote_code: true}"])
    assert _versions(trusted)["remote_code"] == "some/model"
