"""The memory that a reward model takes beside RL, by the recipe: before anything is loaded."""

from pathlib import Path

import pytest
from reward_models import make_reward_model, make_tokenizer

from ringlite_cli.console import Console
from ringlite_cli.memory.rows import scoring_bytes
from ringlite_cli.models.reward_model import reward_model_size
from ringlite_cli.recipe.schema import Recipe
from ringlite_cli.stages.commands.check import load_checked
from ringlite_cli.stages.parts.memory import longest_sample, scorer_bytes
from ringlite_cli.stages.preflight import room
from ringlite_cli.stages.walk.preflight import findings

ASKED = "stages.curate.sources.0.verifier=reward-model"


def recipe(*overrides: str) -> Recipe:
    return load_checked("toy", overrides)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_reward_model(tmp_path / "rm", make_tokenizer())


def test_a_folder_is_counted_where_the_set_asks_for_it(folder: Path) -> None:
    given = f"rewards.reward_model={folder}"
    size, config, width = reward_model_size(str(folder))
    assert size == 4 * sum(x.numel() for x in network(folder).parameters())
    found = recipe(ASKED, given)
    longest = longest_sample(found.stages["rl-math"])  # type: ignore[arg-type]
    assert scorer_bytes(found, "rl-math") == size + longest * scoring_bytes(config, width)
    weighted = recipe(given, "rewards.weights.math.reward-model=0.5")
    assert scorer_bytes(weighted, "rl-math") == scorer_bytes(found, "rl-math")
    assert scorer_bytes(recipe(given), "rl-math") == 0
    assert scorer_bytes(recipe(ASKED, given, "rewards.reward_model_device=cpu"), "rl-math") == 0
    assert scorer_bytes(found, "sft") == 0


def network(folder: Path):  # type: ignore[no-untyped-def]
    from transformers import AutoModelForSequenceClassification

    return AutoModelForSequenceClassification.from_pretrained(folder)


def test_what_does_not_fit_is_said_before_anything_moves(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "_memory_here", lambda: 6 << 20)
    monkeypatch.setattr("ringlite_cli.stages.parts.memory.scorer_bytes", lambda *_: 3 << 30)
    given = (ASKED, f"rewards.reward_model={folder}", "rewards.reward_model_device=auto")
    found = [str(f) for f in findings(recipe(*given), Path("nowhere"), ["rl-math"], Console()) if f.fatal]
    assert any("reward model 3.0 GiB" in each for each in found), found
