"""Installed packages in the jail: those on the list can be imported and not written, no other."""

import os

import pytest

from ringlite_cli.errors import UserError
from ringlite_cli.sandbox import Sandbox, SandboxSettings, Submission, isolation_level
from ringlite_cli.sandbox.packages import site_packages

pytestmark = pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="the sandbox needs Linux")
LEVELS = [
    "none",
    pytest.param(
        "full",
        marks=pytest.mark.skipif(isolation_level().level != "full", reason=f"isolation here is {isolation_level()}"),
    ),
]


def returns(program, expected):
    return Submission(program, {"mode": "function", "entry_point": "f", "cases": [{"args": [], "expected": expected}]})


@pytest.mark.parametrize("level", LEVELS)
def test_only_listed_packages_can_be_imported(level):
    settings = SandboxSettings(workers=1, seconds=20, packages=("numpy",), isolation=level)
    with Sandbox(settings) as sandbox:
        numbers = returns("import numpy\ndef f(): return int(numpy.arange(4) @ numpy.arange(4))", 14)
        assert sandbox.run(numbers).verdict == "accepted"
        other = sandbox.run(returns("import pytest\ndef f(): return 1", 1))
        assert "No module named 'pytest'" in other.detail
        if level == "full":
            program = (
                "import numpy\ndef f():\n    try: open(numpy.__file__, 'a')\n    except OSError as e: return 'refused'"
            )
            assert sandbox.run(returns(program, "refused")).verdict == "accepted"
            beside = "import os, numpy\ndef f(): return [n for n in os.listdir('/site') if not n.startswith('numpy')]"
            assert sandbox.run(returns(beside, [])).verdict == "accepted"


def test_a_missing_package_is_told_before_anything_runs():
    with pytest.raises(UserError, match="'no-such-package' is not installed") as error:
        SandboxSettings(packages=("numpy", "no-such-package"))
    assert error.value.where == "rewards.packages"


def test_a_usual_package_may_be_missing(monkeypatch):
    monkeypatch.setattr("ringlite_cli.sandbox.packages._files", lambda name: None)
    assert site_packages(("numpy", "sortedcontainers")) == {}


def test_datetime_is_the_module_for_a_leetcode_solution():
    program = "class Solution:\n    def f(self): return datetime.date(2019, 8, 31).strftime('%A'), str(timedelta(1))"
    with Sandbox(SandboxSettings(workers=1, seconds=20, isolation="none")) as sandbox:
        assert sandbox.run(returns(program, ["Saturday", "1 day, 0:00:00"])).verdict == "accepted"


def test_of_a_shared_folder_only_the_listed_distribution_s_part_is_shown(tmp_path, monkeypatch):
    for name, part in (("ours-of-two", "ours"), ("theirs-of-two", "theirs")):
        (tmp_path / "shared_by_two" / part).mkdir(parents=True)
        (tmp_path / "shared_by_two" / part / "__init__.py").write_text("value = 5")
        info = tmp_path / f"{name.replace('-', '_')}-1.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n")
        (info / "RECORD").write_text(
            f"shared_by_two/{part}/__init__.py,,\n{info.name}/METADATA,,\n{info.name}/RECORD,,\n"
        )
    monkeypatch.syspath_prepend(tmp_path)
    places = site_packages(("ours-of-two",))
    assert sorted(places) == ["ours_of_two-1.dist-info", "shared_by_two/ours"]
    assert places["shared_by_two/ours"] == str(tmp_path / "shared_by_two" / "ours")
    program = "import os, shared_by_two.ours as ours\ndef f(): return ours.value, os.listdir(ours.__path__[0] + '/..')"
    for level in ("none", isolation_level().level):
        settings = SandboxSettings(workers=1, seconds=20, packages=("ours-of-two",), isolation=level)
        with Sandbox(settings) as sandbox:
            judged = sandbox.run(returns(program, [5, ["ours"]]))
            assert judged.accepted or (level == "none" and "theirs" in judged.detail), judged
