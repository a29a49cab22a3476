"""What a jail shows of the machine, and the memory limit over all processes of a run."""

import os

import pytest

from ringlite_cli.sandbox import Sandbox, SandboxSettings, Submission, cgroup, isolation_level, ladder, view
from ringlite_cli.sandbox.cgroup import MemoryGroup

full = pytest.mark.skipif(isolation_level().level != "full", reason=f"isolation here is {isolation_level()}")


def test_an_interpreter_below_tmp_is_shown_elsewhere(monkeypatch):
    """Every run mounts its own /tmp, which would hide it."""
    monkeypatch.setattr(view, "python", lambda: ("/tmp/py/bin/python3", "/tmp/py"))
    arguments = view.jail_arguments("bwrap", view.Isolation("full", ladder.ALL_NAMESPACES), {})
    assert arguments[arguments.index("/tmp/py") - 1 :][:3] == ["--ro-bind", "/tmp/py", "/host/tmp/py"]
    assert arguments[arguments.index("LD_LIBRARY_PATH") + 1] == "/host/tmp/py/lib"


def test_paths_outside_tmp_stay_where_they_are():
    assert view.inside("/opt/python") == "/opt/python"
    assert view.inside("/tmpfs/python") == "/tmpfs/python"


MANY = """
import os, time
def f():
    ended = []
    for _ in range(6):
        if os.fork() == 0:
            held = bytearray(60 << 20)
            for place in range(0, len(held), 4096):
                held[place] = 1
            time.sleep(1)
            os._exit(0)
    for _ in range(6):
        ended.append(os.wait()[1])
    return all(e == 0 for e in ended)
"""


@pytest.mark.slow
@full
def test_processes_of_a_run_share_one_memory_limit():
    group = MemoryGroup.make(63)
    if group is None:
        pytest.skip("no memory control group may be made here: each process has the limit for itself")
    group.remove()
    tests = {"mode": "function", "entry_point": "f", "cases": [{"args": [], "expected": True}]}
    settings = SandboxSettings(workers=1, seconds=20, memory_mb=100, files_mb=1, output_mb=1, isolation="none")
    with Sandbox(settings) as sandbox:
        assert not sandbox.run(Submission(MANY, tests)).accepted  # 360 MiB, each process well below its own limit
        few = MANY.replace("range(6)", "range(1)")
        assert sandbox.run(Submission(few, tests)).accepted
        group_folder = group.folder.with_name(f"ringlite-{os.getpid()}-0")
        assert group_folder.exists()
    assert not group_folder.exists()


def test_leftover_groups_of_processes_that_are_gone_are_removed():
    group = MemoryGroup.make(62)
    if group is None:
        pytest.skip("no memory control group may be made here")
    old = group.folder.with_name("ringlite-999999999-0")
    old.mkdir()
    MemoryGroup.make(62)
    assert not old.exists()
    group.remove()


def cgroup2(folder, hands_down):
    folder.mkdir(exist_ok=True)
    (folder / "cgroup.subtree_control").write_text(hands_down)
    return folder


def test_version_2_groups_are_made_where_memory_is_handed_down(tmp_path, monkeypatch):
    monkeypatch.setattr(cgroup, "_V2", tmp_path)
    cgroup2(tmp_path, "cpu memory pids\n")
    session = cgroup2(tmp_path / "user", "memory pids\n")
    own = cgroup2(session / "session", "")
    assert cgroup._second_version(own) == session
    cgroup2(session, "pids\n")
    assert cgroup._second_version(own) == tmp_path
    cgroup2(tmp_path, "\n")
    assert cgroup._second_version(own) is None


def test_the_printed_isolation_tells_when_there_is_no_control_group():
    assert str(view.Isolation("full", memory_group=True)) == "full"
    assert "no control group" in str(view.Isolation("full"))
