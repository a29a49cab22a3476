"""A verifier with a memory: what was verified before a stop is not asked again, and what went wrong is."""

from pathlib import Path

from ringlite_cli.problems import Problem, Verdict
from ringlite_cli.stages.parts.remembered import Remembered

PROBLEMS = [Problem(f"p{i}", "math", f"{i}?", answer=str(i)) for i in range(4)]


class Counting:
    def __init__(self, *broken: str) -> None:
        self.asked: list[str] = []
        self.broken = broken

    def __call__(self, pairs):
        self.asked += [problem.id for problem, _ in pairs]
        return [Verdict("error", 0.0) if p.id in self.broken else Verdict("correct", 1.0) for p, _ in pairs]


def test_a_stage_that_was_killed_asks_only_for_the_rest(tmp_path: Path) -> None:
    pairs = [(problem, "x") for problem in PROBLEMS]
    first = Counting("p1")
    verdicts = Remembered(first, tmp_path)(pairs[:3])
    assert [v.verdict for v in verdicts] == ["correct", "error", "correct"]
    log = tmp_path / "verdicts.jsonl"
    log.write_bytes(log.read_bytes() + b'{"key": "torn')  # killed while writing
    second = Counting()
    memory = Remembered(second, tmp_path)
    assert [v.reward for v in memory([*pairs, pairs[0]])] == [1.0] * 5
    assert second.asked == ["p1", "p3"]
    assert memory([(PROBLEMS[0], "another response")])[0].reward == 1.0
    assert second.asked[-1] == "p0"
    memory.forget()
    assert not log.exists()
