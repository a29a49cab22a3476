"""Recipes, data rows and manifests under attack: one clear message or a result; never a traceback, a hang, or a key
that passes though nobody knows it.

RINGLITE_FUZZ=10000 sets the number of cases (of all tests together): a few hundred by default, which `make test-full`
makes ten thousand.
"""

import copy
import json
import os
import tempfile
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ringlite_cli.data.sources import load_sources
from ringlite_cli.errors import RingliteError
from ringlite_cli.recipe.load import load_recipe, shipped_recipes
from ringlite_cli.recipe.schema import Source
from ringlite_cli.runs.manifest import FILE, Manifest, read_manifest
from ringlite_cli.stages.commands.check import load_checked
from ringlite_cli.stages.commands.status import status_text

CASES = int(os.environ.get("RINGLITE_FUZZ", "240"))
fuzz = settings(
    max_examples=max(1, CASES // 4),
    deadline=timedelta(seconds=20),
    suppress_health_check=list(HealthCheck),
    derandomize=CASES < 1000,
    database=None,
)
RECIPES = {
    name: yaml.safe_load(path.read_text()) for name, path in shipped_recipes().items() if name in ("toy", "demo")
}

words = st.text(max_size=12)
leaves = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(-3, 3),
    st.floats(),
    words,
    st.sampled_from(["", "a.b", "curate.", ".traces", "base", "1e-3", "~", "..", "\x00", "sft", "rl-math", "nan", "١"]),
)
values = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3), max_leaves=6
)


def places(tree: Any, above: tuple = ()) -> list[tuple]:
    """Every path into a tree of mappings and lists."""
    inside = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    return [path for key, value in inside for path in ((*above, key), *places(value, (*above, key)))]


def parent_of(tree: Any, path: tuple) -> Any:
    for key in path[:-1]:
        tree = tree[key]
    return tree


@st.composite
def mutated(draw: Any) -> dict[str, Any]:
    """A shipped recipe with one to four changes: values replaced or swapped, keys dropped or doubled."""
    recipe = copy.deepcopy(draw(st.sampled_from(list(RECIPES.values()))))
    for _ in range(draw(st.integers(1, 4))):
        paths = places(recipe)
        if not paths:
            break
        path = draw(st.sampled_from(paths))
        parent, key = parent_of(recipe, path), path[-1]
        change = draw(st.sampled_from(["replace", "drop", "rename", "swap"]))
        if change == "replace":
            parent[key] = draw(values)
        elif change == "drop":
            del parent[key]
        elif change == "rename" and isinstance(parent, dict):
            parent[draw(words)] = parent[key]
        else:
            other = draw(st.sampled_from(paths))
            parent[key] = copy.deepcopy(_get(recipe, other))
    return recipe


def _get(tree: Any, path: tuple) -> Any:
    try:
        return parent_of(tree, path)[path[-1]]
    except (KeyError, IndexError, TypeError):
        return None


def is_a_message(error: RingliteError) -> None:
    assert str(error).strip()
    assert "Traceback" not in str(error)


@pytest.fixture(scope="module")
def folder():
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


def write(folder: Path, text: str | bytes) -> str:
    path = folder / "fuzzed.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass"))
    return str(path)


@fuzz
@given(recipe=mutated())
def test_a_mutated_recipe_is_a_message_or_a_recipe(folder: Path, recipe: dict[str, Any]) -> None:
    path = write(folder, yaml.safe_dump(recipe, allow_unicode=True))
    try:
        loaded = load_checked(path)
    except RingliteError as error:
        is_a_message(error)
        return
    assert_said(recipe, loaded.model_dump(mode="json"))


def assert_said(given_: Any, loaded: Any, where: str = "") -> None:
    """Every key that was written stands in what was loaded: none is left out in silence."""
    if isinstance(given_, dict) and isinstance(loaded, dict):
        for key, value in given_.items():
            assert str(key) in map(str, loaded), f"{where}.{key} was accepted and forgotten"
            assert_said(value, loaded.get(key), f"{where}.{key}")
    elif isinstance(given_, list) and isinstance(loaded, list):
        for number, (one, other) in enumerate(zip(given_, loaded, strict=False)):
            assert_said(one, other, f"{where}.{number}")


@fuzz
@given(data=st.data())
def test_torn_text_is_a_message(folder: Path, data: st.DataObject) -> None:
    text = shipped_recipes()["toy"].read_bytes()
    cut = data.draw(st.integers(0, len(text)))
    junk = data.draw(
        st.binary(max_size=8) | st.sampled_from([b"&a *a", b"<<: *x", b"!!python/name:os.system", b"\t", b"{", b"? ["])
    )
    override = data.draw(
        st.sampled_from(
            ["", "x", "=", "a.b.c=1", "stages.sft.trl=1", "stages.curate.sources.0=3", "seed=[", "stages={}"]
        )
    )
    try:
        load_recipe(write(folder, text[:cut] + junk + text[cut:]), [override] if override else [])
    except RingliteError as error:
        is_a_message(error)


row_values = values | st.just("What is 1+1?") | st.just("\\boxed{2}") | st.text(max_size=40)
rows = st.dictionaries(
    st.sampled_from(
        ["prompt", "answer", "trace", "domain", "tests", "labels", "id", "question", "problem", "solution"]
    ),
    row_values,
    max_size=6,
)


@fuzz
@given(
    lines=st.lists(rows | values, min_size=1, max_size=5),
    junk=st.binary(max_size=6),
    adapter=st.sampled_from([None, "gsm8k", "math", "apps", "mbpp", "taco", "scp116k"]),
)
def test_data_rows_are_read_or_counted_as_unreadable(
    folder: Path, lines: list[Any], junk: bytes, adapter: str | None
) -> None:
    path = folder / "rows.jsonl"
    path.write_bytes(b"\n".join(json.dumps(line).encode() for line in lines) + b"\n" + junk)
    source = Source(path=str(path), adapter=adapter, domain="math")
    try:
        (loaded,) = load_sources([source], seed=1, generators={}, max_unreadable=0.99)
    except RingliteError as error:
        is_a_message(error)
        return
    assert 0 < len(loaded.rows) + len(loaded.unreadable) <= len(lines) + 1 + junk.count(b"\n")


SOUND = Manifest("sft", "sft", "done", "f" * 16, 1, {"kind": "sft"}, ["curate"], started="2026-01-01T00:00:00+00:00")


@pytest.mark.slow
@fuzz
@given(field=st.sampled_from([*Manifest.__dataclass_fields__, "unknown"]), value=values, tail=st.binary(max_size=3))
def test_a_manifest_that_was_tampered_with_is_none_or_a_manifest(
    folder: Path, field: str, value: Any, tail: bytes
) -> None:
    from ringlite_cli.report.build import write_report

    run = folder / "run"
    SOUND.write(run / "sft")
    broken = json.loads((run / "sft" / FILE).read_text()) | {field: value}
    (run / "sft" / FILE).write_bytes(json.dumps(broken).encode() + tail)
    manifest = read_manifest(run / "sft")
    assert manifest is None or all(entry["path"] for entry in manifest.outputs.values())
    assert manifest == SOUND or field != "unknown" or tail.strip(), "a later version may say more"
    assert "sft" in status_text(run)
    assert write_report(run).is_file()
