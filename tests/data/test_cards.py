"""Data cards: what they say, and when a recipe warns."""

from pathlib import Path
from typing import get_args

import pytest
from curation_helpers import exact_match

from ringlite_cli.data.cards import card_of, card_warnings, read, shipped
from ringlite_cli.data.curate import curate
from ringlite_cli.data.rules.language import KNOWN
from ringlite_cli.errors import UserError
from ringlite_cli.recipe.load import load_recipe
from ringlite_cli.recipe.schema import CurateStage, Language, ProblemSet, Source
from ringlite_cli.shipped import DATA_CARDS

PIN = "e53f048856ff4f594e959d75785d2c2d37b678ee"
SOURCES = [
    (Source(hub="openai/gsm8k", revision=PIN), None),
    (Source(hub="openai/gsm8k"), "no revision, so its rows may change"),
    (Source(hub="openai/gsm8k", revision=PIN, hub_split="test"), "its split 'test' is a benchmark"),
    (Source(hub="openai/gsm8k", revision=PIN, hub_split="test", split="eval"), None),
    (Source(path="x.jsonl", adapter="humaneval"), "forbids training"),
    (Source(path="x.jsonl", adapter="humaneval", split="eval"), None),
    (Source(path="x.jsonl", adapter="aime"), "licence unclear"),
    (Source(hub="EricLu/SCP-116K", revision=PIN, adapter="scp116k"), "CC BY-NC-SA"),
    (Source(path="mine.jsonl", columns={"prompt": "q"}), "no data card"),
    (Source(hub="who/knows", revision=PIN), "no data card"),
    (Source(generator="arithmetic", rows=3), None),
]


@pytest.mark.parametrize(("source", "says"), SOURCES)
def test_when_a_source_warns(source: Source, says: str | None) -> None:
    warnings = card_warnings([source, source])
    if says is None:
        assert warnings == []
    else:
        (warning,) = warnings
        assert says in warning


def test_a_source_warns_once_however_often_it_is_named() -> None:
    train, test = (Source(hub="openai/gsm8k", hub_split=split) for split in ("train", "test"))
    (warning,) = card_warnings([train, test, train])
    assert warning.startswith("source openai/gsm8k: no revision")
    assert warning.endswith("its split 'test' is a benchmark, says its data card (gsm8k)")
    assert len(card_warnings([train, Source(path="mine.jsonl"), Source(path="mine.jsonl", split="eval")])) == 2


def test_a_stand_in_needs_no_revision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = Source(hub="openai/gsm8k", local="g.jsonl")
    monkeypatch.setenv("RINGLITE_DATA", str(tmp_path))
    assert "no revision" in card_warnings([source])[0]
    (tmp_path / "g.jsonl").touch()
    assert card_warnings([source]) == []


def test_a_card_of_ones_own(tmp_path: Path) -> None:
    card = tmp_path / "mine.md"
    card.write_text("---\nlicence: mine\ntraining: yes\n---\n# Mine\n")
    assert card_warnings([Source(path="m.jsonl", card=str(card))]) == []
    card.write_text("---\nlicence: theirs\ntraining: no\n---\n")
    assert "forbids training" in card_warnings([Source(path="m.jsonl", card=str(card))])[0]


@pytest.mark.parametrize(
    ("text", "says"), [("# none", "can't be read"), ("---\nlicence: x\ntraining: perhaps\n---\n", "'perhaps'")]
)
def test_cards_that_say_nothing(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "card.md").write_text(text)
    with pytest.raises(UserError, match=says):
        read(tmp_path / "card.md")
    with pytest.raises(UserError, match="no such data card"):
        read(tmp_path / "none.md")


def test_every_shipped_card_says_what_a_card_must() -> None:
    assert len(shipped()) >= 19
    for card in shipped():
        text = (DATA_CARDS / f"{card.name}.md").read_text()
        for part in (
            "**Origin**",
            "**Revision**",
            "**Licence**",
            "**Schema**",
            "**Sizes**",
            "**Checked",
            "**Used in**",
        ):
            assert part in text, f"{card.name}: no {part}"


def test_a_missing_card_shows_before_any_work(tmp_path: Path) -> None:
    source = Source(path=str(tmp_path / "none.jsonl"), card=str(tmp_path / "none.md"))
    with pytest.raises(UserError, match="no such data card"):
        curate([source], {"all": ProblemSet()}, exact_match, tmp_path / "out", seed=1, generators={})


def test_languages_that_curation_can_tell() -> None:
    stage = {"kind": "curate", "sources": [{"path": "x.jsonl"}], "sets": {"all": {}}}
    assert CurateStage(**stage, languages=["en", "zh"]).languages == ["en", "zh"]  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="languages"):
        CurateStage(**stage, languages=["english"])  # type: ignore[arg-type]
    assert set(get_args(Language)) == set(KNOWN)


@pytest.mark.parametrize("name", ["ring-lite", "ring-lite-2507", "smollm2-2507", "real-data"])
def test_every_public_source_of_a_shipped_recipe_has_a_card(name: str) -> None:
    stages = [stage for stage in load_recipe(name).stages.values() if isinstance(stage, CurateStage)]
    assert [s.hub for stage in stages for s in stage.sources if s.hub and card_of(s) is None] == []
