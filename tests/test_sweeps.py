"""The sample of a sweep: what is left out of `make test`, what brings it back, and that it is said."""

from pathlib import Path

import pytest
from sweeps import sample_of

pytest_plugins = ["pytester"]

SWEEP = """
import pytest
from sweeps import sample_of

@pytest.mark.parametrize("case", sample_of(["a", "b", "c"], "a", "c"))
def test_case(case):
    pass
"""


@pytest.mark.parametrize(
    ("arguments", "outcomes"),
    [
        ((), {"passed": 2, "deselected": 1}),
        (("-m", "not slow"), {"passed": 2, "deselected": 1}),
        (("--full",), {"passed": 3}),
        (("-m", "full"), {"passed": 1, "deselected": 2}),
        (("test_it.py::test_case[b]",), {"passed": 1}),
    ],
)
def test_a_part_of_a_sweep_runs_unless_all_is_asked_for(
    pytester: pytest.Pytester, arguments: tuple[str, ...], outcomes: dict[str, int]
) -> None:
    pytester.makeconftest((Path(__file__).parent / "conftest.py").read_text(encoding="utf-8"))
    pytester.makeini("[pytest]\nmarkers =\n  full\n  slow\n")
    pytester.makepyfile(test_it=SWEEP)
    done = pytester.runpytest_inprocess(*arguments)
    done.assert_outcomes(**outcomes)
    assert ("1 long tests (marked `full`) were left out" in done.stdout.str()) == (
        arguments in ((), ("-m", "not slow"))
    )


def test_a_sample_is_of_the_sweep_and_never_empty() -> None:
    with pytest.raises(ValueError, match="no case of this sweep"):
        sample_of(["a", "b"], "x")
    with pytest.raises(ValueError, match="at least one case"):
        sample_of(["a", "b"])
