"""Where `module:object` is looked for, what is said where it is not there, and that finding it runs nothing."""

import subprocess
import sys

import pytest

from ringlite_cli import own_code
from ringlite_cli.domains import Domain
from ringlite_cli.errors import UserError

BOMB = "raise RuntimeError('imported')\n\ndef score(problem, response): ...\n"


@pytest.mark.parametrize("name", ["mine:score", "a.b_c:D", "_x:y1"])
def test_module_and_object_are_a_name(name):
    assert own_code.is_own(name)


@pytest.mark.parametrize(
    "name", ["mine", "mine:", ":x", "lm-eval:gsm8k", "https://x", "a:b:c", "a b:c", "1a:b", None, 3]
)
def test_anything_else_is_none(name):
    assert not own_code.is_own(name)


def test_an_object_is_found_without_running_its_module(module):
    name = module(BOMB)
    assert own_code.fault(f"{name}:score") == ""
    assert name not in sys.modules


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("from math import sqrt as score", True),
        ("score: object = 3", True),
        ("class score: ...", True),
        ("async def score(): ...", True),
        ("try:\n    import json as score\nexcept ImportError:\n    score = None", True),
        ("if True:\n    def score(): ...", True),
        ("other, (score, more) = 1, (2, 3)", True),
        ("from math import *", True),
        ("def other():\n    score = 3", False),
        ("class A:\n    score = 3", False),
        ("def sclre(): ...", False),
    ],
)
def test_what_a_module_binds_at_its_top_level_is_there(module, source, found):
    name = module(source)
    assert (own_code.fault(f"{name}:score") == "") is found


def test_a_near_name_is_offered(module):
    name = module("def scores(): ...")
    assert own_code.fault(f"{name}:score").endswith("defines no 'score'; did you mean 'scores'?")


def test_a_module_that_is_nowhere_says_where_to_put_it(module):
    module("")
    assert "no module 'not_there.at_all'; put not_there/at_all.py beside the recipe" in own_code.fault(
        "not_there.at_all:x"
    )


def test_a_module_with_a_mistake_names_its_line(module):
    name = module("x = 1\ndef score(:\n")
    assert f"{name}.py:2 is no Python that can be read" in own_code.fault(f"{name}:score")


def test_a_package_beside_the_recipe_is_found_part_by_part(module, tmp_path):
    module("")
    (tmp_path / "ownpkg").mkdir()
    (tmp_path / "ownpkg" / "__init__.py").write_text("raise RuntimeError")
    (tmp_path / "ownpkg" / "inner.py").write_text("score = 1")
    assert own_code.fault("ownpkg.inner:score") == ""
    assert own_code.file_of("ownpkg.inner:score") == tmp_path / "ownpkg" / "inner.py"


def test_processes_started_later_import_it_too(module):
    name = module("score = 41", "score")
    code = f"from ringlite_cli.own_code import *; import {name}; print({name}.score, is_declared('{name}:score'))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["41", "True"]


def test_a_file_beside_the_recipe_takes_no_module_s_place(module, tmp_path):
    module("", "x")
    (tmp_path / "colorsys.py").write_text("raise RuntimeError")
    code = "import ringlite_cli.own_code, colorsys; print(colorsys.__file__)"
    for found in (own_code.file_of("colorsys:x"), subprocess.check_output([sys.executable, "-c", code], text=True)):
        assert str(tmp_path) not in str(found)


def test_the_next_recipe_s_module_of_the_same_name_is_another(tmp_path, module):
    values = []
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "own_twin.py").write_text(f"score = {folder!r}")
        own_code.declare(["own_twin:score"], tmp_path / folder)
        values.append(own_code.load("own_twin:score"))
        assert sys.path.count(str(tmp_path / folder)) == 1
    assert values == ["one", "two"]
    assert str(tmp_path / "one") not in sys.path
    del sys.modules["own_twin"]


def test_what_is_wrong_with_an_object_is_said_when_it_is_loaded(module):
    bomb = module(BOMB)
    with pytest.raises(UserError, match=r"cannot be imported \(RuntimeError: imported\)"):
        own_code.load(f"{bomb}:score")
    number = module("score = 3")
    with pytest.raises(UserError, match="is of type int, not Domain"):
        own_code.load(f"{number}:score", Domain)
    with pytest.raises(UserError, match="is of type int, which cannot be called"):
        own_code.load(f"{number}:score", calls=True)
