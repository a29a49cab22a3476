"""The walk over a recipe: what is fresh is skipped, what changed reruns with all after it, what ends badly says so.

The stages here are real `StageKind`s with small runners in place of training, so that the walk itself is what is
tested; tests/stages/test_end_to_end.py walks the shipped stages.
"""

import errno
import json
import os
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest
from small_walks import SELECT, small_recipe

from ringlite_cli.console import Console
from ringlite_cli.errors import Interrupted, UserError, WorkFailed
from ringlite_cli.recipe.load import load_recipe
from ringlite_cli.runs import manifest as manifests
from ringlite_cli.runs.files import write_json
from ringlite_cli.runs.folder import lock_run
from ringlite_cli.runs.manifest import read_manifest
from ringlite_cli.stages.base import Context, StageKind, StageResult
from ringlite_cli.stages.kinds import KINDS
from ringlite_cli.stages.walk import pipeline


@pytest.fixture
def walk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Walks the recipe with runners that write one file each; returns the stages that did work."""
    worked: list[str] = []
    (tmp_path / "r.yaml").write_text(small_recipe(SELECT))

    def runner(context: Context) -> StageResult:
        worked.append(context.name)
        path = context.folder / "out.txt"
        path.write_text(json.dumps(context.section.model_dump(mode="json"), sort_keys=True))
        names = ["traces", "math"] if context.section.kind == "curate" else ["policy"]
        return StageResult(outputs=dict.fromkeys(names, path), summary="worked")

    def use(kind: str, run: Callable[[Context], StageResult]) -> None:
        old = KINDS[kind]
        new = StageKind(old.kind, old.summary, old.section, old.artifacts, ("errors.py",), old.uses, run)
        monkeypatch.setitem(KINDS, kind, new)

    for kind in KINDS:
        use(kind, runner)

    def go(*overrides: str, first: str | None = None, last: str | None = None, fresh: bool = False) -> list[str]:
        worked.clear()
        recipe = load_recipe(str(tmp_path / "r.yaml"), overrides)
        stages = pipeline.choose_stages(recipe, first, last)
        pipeline.run_pipeline(recipe, tmp_path / "runs" / "walk", pipeline.Walk(stages, fresh), Console())
        return list(worked)

    go.run = tmp_path / "runs" / "walk"  # type: ignore[attr-defined]
    go.use = use  # type: ignore[attr-defined]
    return go


@pytest.mark.slow
def test_a_second_run_skips_what_is_fresh(walk) -> None:
    assert walk() == ["curate", "sft", "select"]
    assert walk() == []


@pytest.mark.slow
def test_a_changed_key_reruns_its_stage_and_what_follows(walk) -> None:
    walk()
    assert walk("stages.sft.checkpoints_per_epoch=2") == ["sft", "select"]
    assert walk("stages.sft.checkpoints_per_epoch=2") == []
    (kept,) = (walk.run / ".previous" / "sft").glob("*/out.txt")
    assert json.loads(kept.read_text())["checkpoints_per_epoch"] == 1  # the old result is not lost


@pytest.mark.slow
def test_a_changed_note_reruns_nothing(walk) -> None:
    walk()
    assert walk("note=hello") == []


@pytest.mark.slow
def test_a_changed_seed_reruns_everything(walk) -> None:
    walk()
    assert walk("seed=99") == ["curate", "sft", "select"]


@pytest.mark.slow
def test_from_to_and_fresh(walk) -> None:
    assert walk(last="sft") == ["curate", "sft"]
    assert walk(first="select") == ["select"]
    assert walk(first="sft", last="sft", fresh=True) == ["sft"]


def test_a_stage_without_its_parents_says_what_to_run(walk) -> None:
    with pytest.raises(UserError, match=r"needs 'curate', which has not been run.*--to curate"):
        walk(first="sft")


@pytest.mark.parametrize(
    ("first", "last", "message"), [("sfft", None, "no stage 'sfft'"), ("select", "sft", "comes after")]
)
def test_wrong_stage_names(walk, first: str, last: str | None, message: str) -> None:
    with pytest.raises(UserError, match=message):
        walk(first=first, last=last)


@pytest.mark.slow
def test_an_output_that_is_gone_makes_its_stage_run_again(walk) -> None:
    walk()
    (walk.run / "sft" / "out.txt").unlink()
    assert walk()[0] == "sft"


@pytest.mark.slow
def test_an_interrupted_stage_goes_on_in_its_folder(walk) -> None:
    def stopped(context: Context) -> StageResult:
        (context.folder / "half").write_text("done so far")
        raise KeyboardInterrupt

    runner = KINDS["sft"].run
    walk.use("sft", stopped)
    with pytest.raises(Interrupted):
        walk()
    assert read_manifest(walk.run / "sft").status == "interrupted"
    walk.use("sft", runner)
    assert walk() == ["sft", "select"]
    assert (walk.run / "sft" / "half").read_text() == "done so far"


@pytest.mark.slow
def test_the_time_of_a_process_that_was_killed_counts(walk) -> None:
    """Its manifest says `running` and not how long; what it last wrote into pulse.json does. It counts once."""
    walk(last="sft")
    folder = walk.run / "sft"
    manifest = read_manifest(folder)
    manifest.status, manifest.seconds = "running", 100.0  # of processes before it
    manifest.write(folder)
    times = {"started": "2026-01-01T23:59:00+00:00", "updated": "2026-01-02T00:59:00+00:00"}
    (folder / "pulse.json").write_text(json.dumps(times))
    runner = KINDS["sft"].run
    walk.use("sft", lambda context: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(Interrupted):
        walk()
    assert 3700 <= read_manifest(folder).seconds < 3800
    manifest = read_manifest(folder)
    manifest.status = "running"  # killed again, before it gave a sign
    manifest.write(folder)
    walk.use("sft", runner)
    assert walk() == ["sft", "select"]
    assert 3700 <= read_manifest(folder).seconds < 3800


@pytest.mark.slow
def test_a_failed_stage_says_why_and_goes_on_later(walk) -> None:
    def full(context: Context) -> StageResult:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    runner = KINDS["sft"].run
    walk.use("sft", full)
    with pytest.raises(WorkFailed, match="the disk is full"):
        walk()
    manifest = read_manifest(walk.run / "sft")
    assert manifest.status == "failed"
    assert "the disk is full" in manifest.message
    walk.use("sft", runner)
    assert walk() == ["sft", "select"]


def test_a_stage_that_fills_the_disk_to_its_last_byte_says_so(walk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing can be written then but in room that was kept."""
    at_start: dict[Path, int] = {}

    def used() -> int:
        return sum(file.stat().st_size for file in (walk.run / "sft").iterdir() if file.name != manifests.FILE)

    def write(path: Path, value: dict) -> None:
        if value["status"] != "running" and used() + len(json.dumps(value)) > at_start[path.parent]:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write_json(path, value)

    def full(context: Context) -> StageResult:
        at_start[context.folder] = used()
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    walk(last="curate")
    runner = KINDS["sft"].run
    walk.use("sft", full)
    monkeypatch.setattr(manifests, "write_json", write)
    with pytest.raises(WorkFailed, match="the disk is full"):
        walk(last="sft")
    monkeypatch.setattr(manifests, "write_json", write_json)
    manifest = read_manifest(walk.run / "sft")
    assert manifest.status == "failed"
    assert "free some space; the same command goes on" in manifest.message
    walk.use("sft", runner)
    assert walk() == ["sft", "select"]
    assert not list(walk.run.glob("*/manifest.room"))


@pytest.mark.slow
def test_a_bug_keeps_its_traceback_in_a_file(walk) -> None:
    def bug(context: Context) -> StageResult:
        raise ZeroDivisionError("oh")

    walk.use("sft", bug)
    with pytest.raises(ZeroDivisionError):
        walk()
    assert "ZeroDivisionError" in (walk.run / "sft" / "error.txt").read_text()
    assert read_manifest(walk.run / "sft").status == "failed"


@pytest.mark.parametrize("later", ["done", "failed"])
def test_a_traceback_is_gone_once_the_stage_is_run_again(walk, later: str) -> None:
    """It would be taken for what ended the later attempt, too."""

    def bug(context: Context) -> StageResult:
        (context.folder / "kept.txt").write_text("work")
        raise ZeroDivisionError("oh")

    def refused(context: Context) -> StageResult:
        raise WorkFailed("the engine is gone")

    runner = KINDS["curate"].run
    walk.use("curate", bug)
    with pytest.raises(ZeroDivisionError):
        walk(last="curate")
    assert (walk.run / "curate" / "error.txt").is_file()
    walk.use("curate", {"done": runner, "failed": refused}[later])
    with suppress(WorkFailed):
        walk(last="curate")
    assert read_manifest(walk.run / "curate").status == later
    assert (walk.run / "curate" / "kept.txt").is_file()
    assert not (walk.run / "curate" / "error.txt").exists()


def test_what_a_stage_remembers_stays_until_its_manifest_says_done(walk) -> None:
    def remembers(context: Context, *, fails: bool) -> StageResult:
        path, memory = context.folder / "out.txt", context.folder / "verdicts.jsonl"
        memory.write_text("{}")
        if not fails:
            path.write_text("made")
        return StageResult(outputs=dict.fromkeys(["traces", "math"], path), when_done=memory.unlink)

    walk.use("curate", partial(remembers, fails=True))
    with pytest.raises(FileNotFoundError):  # its outputs cannot be read for the manifest
        walk()
    assert (walk.run / "curate" / "verdicts.jsonl").is_file()
    walk.use("curate", partial(remembers, fails=False))
    walk()
    assert read_manifest(walk.run / "curate").status == "done"
    assert not (walk.run / "curate" / "verdicts.jsonl").exists()


def test_a_second_process_is_refused_by_name_of_the_first(walk) -> None:
    with lock_run(walk.run), pytest.raises(UserError, match=f"process {os.getpid()} on .* is writing"):
        walk()


def test_a_run_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"can't be written.*--runs-dir"), lock_run(tmp_path / "file" / "run"):
        pass


@pytest.mark.slow
def test_manifests_hold_what_the_contract_says(walk) -> None:
    walk()
    manifest = json.loads((walk.run / "sft" / "manifest.json").read_text())
    assert manifest["stage"] == "sft"
    assert manifest["status"] == "done"
    assert manifest["parent"] == ["curate"]
    assert manifest["inputs"]["curate/traces"]["digest"].startswith("sha256:")
    assert manifest["outputs"]["policy"]["path"] == "sft/out.txt"
    assert manifest["versions"]["packages"]["torch"]
    assert manifest["started"] <= manifest["finished"]
