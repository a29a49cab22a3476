"""Rollouts of a long run: compressed in parts, taken back to any step, read in bounded memory."""

import itertools
import subprocess
import sys
from pathlib import Path

import pytest

from ringlite_cli.report.files import load_rows
from ringlite_cli.runs import rollouts
from ringlite_cli.runs.rollouts import FILE, RolloutWriter, go_back_to, old_parts, read_rollouts


def rollout(step: int, updates: int = 1) -> list[dict]:
    """Rows as a rollout leaves them: those of its later updates stand between the others."""
    return [{"step": step + i % updates, "row": i, "response": "wörd\n" * 20} for i in range(6)]


def write(stage: Path, steps: range, updates: int = 1, part_bytes: int = 2000) -> list[dict]:
    rows = [rollout(step, updates) for step in steps[::updates]]
    with RolloutWriter(stage, part_bytes) as log:
        for each in rows:
            log.extend(each)
    return list(itertools.chain(*rows))


@pytest.mark.parametrize("updates", [1, 3])
@pytest.mark.parametrize("part_bytes", [1, 2000, 1 << 20])
def test_a_log_taken_back_and_gone_on_with_is_the_undisturbed_one(tmp_path, updates, part_bytes) -> None:
    whole = write(tmp_path / "whole", range(1, 31), updates, part_bytes)
    assert list(read_rollouts(tmp_path / "whole")) == whole
    assert bool(old_parts(tmp_path / "whole")) == (part_bytes < 1 << 20)
    for back in range(0, 31, updates):
        stage = tmp_path / f"back-{back}"
        write(stage, range(1, 31), updates, part_bytes)
        go_back_to(stage, back)
        assert list(read_rollouts(stage)) == [row for row in whole if row["step"] <= back]
        write(stage, range(back + 1, 31), updates, part_bytes)
        assert list(read_rollouts(stage)) == whole
        assert sorted(path.name for path in stage.rglob("*.gz")) == sorted({path.name for path in stage.rglob("*.gz")})


def test_a_step_amid_a_rollout_keeps_its_rows_alone(tmp_path) -> None:
    """A rollback goes to a checkpoint, which may stand between two updates of one rollout."""
    for part_bytes in (1, 1 << 20):
        stage = tmp_path / str(part_bytes)
        whole = write(stage, range(1, 10), 3, part_bytes)
        go_back_to(stage, 5)
        assert list(read_rollouts(stage)) == [row for row in whole if row["step"] <= 5]


def test_a_process_killed_in_the_middle_of_anything_leaves_no_row_twice(tmp_path, monkeypatch) -> None:
    class Killed(BaseException):
        pass

    def kill(*_: object, **__: object) -> None:
        raise Killed

    whole = write(tmp_path, range(1, 9))
    with monkeypatch.context() as patch:  # compressed, and the file not yet removed
        patch.setattr(Path, "unlink", kill)
        with pytest.raises(Killed):
            write(tmp_path, range(9, 10), part_bytes=1)
    whole += rollout(9)
    assert (tmp_path / FILE).exists()
    assert list(read_rollouts(tmp_path)) == whole
    with monkeypatch.context() as patch:  # taken back, and the parts not yet removed
        patch.setattr(Path, "unlink", kill)
        with pytest.raises(Killed):
            go_back_to(tmp_path, 4)
    go_back_to(tmp_path, 4)
    assert list(read_rollouts(tmp_path)) == [row for row in whole if row["step"] <= 4]
    with (tmp_path / FILE).open("ab") as file:
        file.write(b'{"step": 5, "resp')
    whole = whole[: 4 * 6] + write(tmp_path, range(5, 12))
    assert list(read_rollouts(tmp_path)) == whole


def test_the_report_reads_the_beginning_and_the_end(tmp_path) -> None:
    whole = write(tmp_path, range(1, 60))
    found = load_rows(tmp_path / FILE, end_bytes=1500, before=old_parts(tmp_path))
    assert (found.cut, found.bad) == (True, 0)
    assert [found.rows[0], found.rows[-1]] == [whole[0], list(read_rollouts(tmp_path))[-1]]
    assert len(found.rows) < len(whole)
    rollouts.forget(tmp_path)
    assert list(read_rollouts(tmp_path)) == []


RESUME = """
import resource, sys
from pathlib import Path
from ringlite_cli.report.files import load_rows
from ringlite_cli.runs.rollouts import FILE, RolloutWriter, go_back_to, old_parts, read_rollouts
stage, megabytes = Path(sys.argv[1]), int(sys.argv[2])
row = {"step": 0, "prompt": "p" * 1000, "response": "a thought " * 10_000}
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
steps = megabytes // 10
with RolloutWriter(stage) as log:
    for step in range(1, steps + 1):
        log.extend({**row, "step": step} for _ in range(100))
for back in (steps - 1, steps // 2):
    go_back_to(stage, back)
    assert sum(1 for _ in read_rollouts(stage)) == 100 * back
    with RolloutWriter(stage) as log:
        log.extend([{**row, "step": back + 1}])
load_rows(stage / FILE, end_bytes=12 << 20, before=old_parts(stage))
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


@pytest.mark.slow
@pytest.mark.parametrize("megabytes", [600])
def test_memory_does_not_grow_with_the_rollouts(tmp_path, megabytes) -> None:
    done = subprocess.run(
        [sys.executable, "-c", RESUME, str(tmp_path), str(megabytes)], stdout=subprocess.PIPE, text=True, check=True
    )
    assert int(done.stdout) < 300
