"""Rewards of an RL stage by the labels of its problems."""

from ringlite_cli.report.blocks import Table
from ringlite_cli.report.reading.tallies import MOST_VALUES, Tallies, middle_of
from ringlite_cli.report.sections.verdicts import VALUES_SHOWN, rewards_by_label


def _tables(rows: list[dict[str, object]]) -> list[Table]:
    told = Tallies(middle_of([float(row["step"]) for row in rows]))
    for row in rows:
        told.add(row)
    return rewards_by_label(told)


def _row(step: int, reward: float | None, **labels: str) -> dict[str, object]:
    return {"step": step, "reward": reward, "labels": labels}


def test_rewards_by_label_over_both_halves() -> None:
    """Level 1: 1, 1, then 0; Level 5: 0, then 1, 1. A response without a verdict is no response."""
    rows = [_row(1, 1.0, level="Level 1"), _row(2, 1.0, level="Level 1", source="a"), _row(3, 0.0, level="Level 1")]
    rows += [_row(1, 0.0, level="Level 5"), _row(3, 1.0, level="Level 5"), _row(4, 1.0, level="Level 5")]
    rows += [_row(4, None, level="Level 5"), {"step": 4, "reward": 1.0}]
    levels, sources = _tables(rows)
    assert levels.caption == "Reward by level"
    shown = [[cell.text for cell in cells] for cells in levels.rows]
    assert shown == [["Level 1", "3", "0.667", "1.00", "0"], ["Level 5", "3", "0.667", "0", "1.00"]]
    assert [cell.text for cell in sources.rows[0]] == ["a", "1", "1.00", "1.00", "–"]


def test_rollouts_without_labels_make_no_table() -> None:
    assert _tables([{"step": 1, "reward": 1.0}, {"step": 2, "reward": 0.0, "labels": {}}]) == []
    (only,) = _tables([_row(1, 1.0, source="a")])
    assert len(only.columns) == 3  # one step has no halves


def test_a_label_of_endless_values_keeps_the_page_and_the_memory_small() -> None:
    told = Tallies(None)
    for number in range(MOST_VALUES + 500):
        told.add(_row(1, 1.0, name=str(number)))
    assert len(told.labels["name"]) == MOST_VALUES
    (table,) = rewards_by_label(told)
    assert len(table.rows) == VALUES_SHOWN
