"""`import ringlite`: light, complete, and each name is the thing itself."""

import subprocess
import sys

import pytest

import ringlite


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_import_loads_nothing_heavy() -> None:
    heavy = "{'torch', 'trl', 'transformers', 'pydantic', 'numpy', 'rich', 'typer', 'yaml'}"
    assert run(f"import sys, ringlite; print(sorted({heavy} & sys.modules.keys()))") == "[]"


def test_loading_a_recipe_needs_no_torch() -> None:
    code = "import sys, ringlite; r = ringlite.load_recipe('toy'); print(r.name, 'torch' in sys.modules)"
    assert run(code) == "toy False"


@pytest.mark.parametrize("name", sorted(set(ringlite.__all__) - {"C3POTrainer", "run_rl", "run_sft"}))
def test_every_name_is_there(name: str) -> None:
    assert getattr(ringlite, name) is not None
    assert name in dir(ringlite)


def test_the_names_for_type_checkers_are_those_at_run_time() -> None:
    import ast
    from pathlib import Path

    tree = ast.parse(Path(ringlite.__file__).read_text())
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    typed = {a.asname or a.name: node.module for node in block.body for a in node.names}
    assert typed.keys() | {"__version__"} == set(ringlite.__all__)
    places = {name: module for name, module in typed.items() if name in ringlite._PLACES}
    assert places == ringlite._PLACES


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="'ringlite' has no attribute 'C3POTrainr'"):
        _ = ringlite.C3POTrainr


@pytest.mark.slow
@pytest.mark.parametrize("first", ["import ringlite; ringlite.register_models(); ", "from ringlite import evaluate; "])
def test_a_name_that_loads_models_registers_the_architectures(first: str) -> None:
    code = "from transformers import AutoConfig; print(AutoConfig.for_model('bailing_moe').model_type)"
    assert run(first + code) == "bailing_moe"
