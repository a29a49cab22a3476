import os

import pytest

from ringlite_cli.recipe.load import load_recipe
from ringlite_cli.stages.walk.allocator import VARIABLES, use_expandable_segments


@pytest.fixture
def recipe(monkeypatch):
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "environ", dict(os.environ))
    return load_recipe("toy")


def test_blocks_grow_by_default(recipe):
    use_expandable_segments(recipe)
    assert os.environ["PYTORCH_ALLOC_CONF"] == "expandable_segments:True"


def test_the_user_s_own_setting_stays(recipe):
    os.environ["PYTORCH_CUDA_ALLOC_CONF"] = "max_split_size_mb:64"
    use_expandable_segments(recipe)
    assert "PYTORCH_ALLOC_CONF" not in os.environ


def test_vllm_in_the_same_process_keeps_blocks_of_fixed_size(recipe):
    recipe.stages["rl-math"].trl["use_vllm"] = True
    use_expandable_segments(recipe)
    assert "PYTORCH_ALLOC_CONF" not in os.environ
