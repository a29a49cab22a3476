"""What the guard did in a run, kept beside its checkpoints (guard.json): the run stays the same when it resumes.

An attempt is the training between two rollbacks. A rollback goes back to the step `at` (0: the policy that RL started
from) and leaves out `skipped` rollouts: those between `at` and the alarm, one of which brought the run down.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from ringlite_cli.errors import Interrupted, WorkFailed
from ringlite_cli.presence import is_there
from ringlite_cli.recipe.guard import Guard
from ringlite_cli.runs import rollouts
from ringlite_cli.runs.files import MetricsWriter, cut_jsonl, read_json, read_jsonl, write_json
from ringlite_cli.train.guard.alarm import Alarm
from ringlite_cli.train.resume.checkpoints import drop_after, go_back_to, last_checkpoint, start_afresh
from ringlite_cli.whole import remove

STATE, EVENTS, DISCARDED = "guard.json", "guard.jsonl", "rolled_back.jsonl"
Item = TypeVar("Item")


class RollBack(Exception):
    """Leaves the training loop; `good` is the last step that the guard vouches for.

    stopping: whether somebody asked the run to stop meanwhile.
    """

    stopping = False

    def __init__(self, alarm: Alarm, good: int) -> None:
        super().__init__(alarm.words)
        self.alarm, self.good = alarm, good


class Paused(Interrupted):
    """The guard stopped the run, saved; the same command goes on."""


@dataclass(frozen=True, slots=True)
class Rollback:
    at: int
    skipped: int
    lr_scale: float


@dataclass(frozen=True)
class History:
    folder: Path
    rollbacks: list[Rollback] = field(default_factory=list)

    @classmethod
    def read(cls, folder: Path) -> "History":
        path = folder / STATE
        rows = read_json(path)["rollbacks"] if is_there(path) else []
        return cls(folder, [Rollback(**row) for row in rows])

    @staticmethod
    def forget(folder: Path) -> None:
        for name in (STATE, EVENTS, DISCARDED):
            (folder / name).unlink(missing_ok=True)

    @property
    def attempt(self) -> int:
        return len(self.rollbacks)

    @property
    def lr_scale(self) -> float:
        """Return what the recipe's learning rate is multiplied by now."""
        return self.rollbacks[-1].lr_scale if self.rollbacks else 1.0

    def good_at(self, step: int) -> int:
        """Return the step that the last rollback went to, for the guard vouches for it; 0 where `step` is before it."""
        at = self.rollbacks[-1].at if self.rollbacks else 0
        return at if at <= step else 0

    def place(self, rollout: int, updates: int) -> int:
        """Return a rollout's place (from 0) in the stream of prompts, past all that was left out before it."""
        for back in reversed(self.rollbacks):
            if rollout >= _whole_rollouts(back.at, updates):
                rollout += back.skipped
        return rollout

    def kept(self, stream: Sequence[Item], per_rollout: int, rollouts: int, updates: int) -> list[Item]:
        """Return the items of `rollouts` rollouts, out of a stream that has spare ones for those left out."""
        places = [self.place(rollout, updates) for rollout in range(rollouts)]
        return [item for place in places for item in stream[place * per_rollout : (place + 1) * per_rollout]]

    @property
    def spare(self) -> int:
        return sum(back.skipped for back in self.rollbacks)

    def left_out_at(self, step: int) -> int:
        """Return the rollouts left out at this very step, since the last time that it was reached."""
        count = 0
        for back in reversed(self.rollbacks):
            if back.at < step:
                break
            count += back.skipped if back.at == step else 0
        return count

    def note(self, alarm: Alarm, **more: Any) -> None:
        """Add a row to guard.jsonl."""
        with MetricsWriter(self.folder / EVENTS) as events:
            events.append({"attempt": self.attempt, **alarm.row(), **more})

    def go_on_from(self, step: int) -> None:
        """Take this attempt's events back to a step, as the metrics are: later ones will come again."""
        cut_jsonl(self.folder / EVENTS, lambda row: row["attempt"] < self.attempt or row["step"] <= step)

    def roll_back(self, back: RollBack, guard: Guard, updates: int) -> "History":
        """Go back to the last good checkpoint; return the history with this rollback in it.

        The rows that are taken back move to rolled_back.jsonl. Raises WorkFailed after guard.max_rollbacks.
        """
        alarm = back.alarm
        self.go_on_from(alarm.step - 1)
        if len(self.rollbacks) >= guard.max_rollbacks:
            self.note(alarm, failed=True)
            raise WorkFailed(
                f"step {alarm.step}: {alarm.words}; the guard has gone back {len(self.rollbacks)} times already",
                where=str(self.folder),
                hint="lower trl.learning_rate, set guard.lr_factor below 1, or allow more guard.max_rollbacks",
            )
        checkpoints, metrics = self.folder / "checkpoints", self.folder / "metrics.jsonl"
        drop_after(checkpoints, back.good)
        found = last_checkpoint(checkpoints)
        at = found[1] if found else 0
        drawn = _whole_rollouts(at, updates)  # with the one under way there, whose rest the checkpoint holds
        skipped = _whole_rollouts(alarm.step, updates) - drawn
        new = Rollback(at, skipped, self.lr_scale * guard.lr_factor)
        self._discard(metrics, at)
        self.note(alarm, to=at, skipped=skipped, lr_scale=new.lr_scale)
        history = History(self.folder, [*self.rollbacks, new])
        write_json(self.folder / STATE, {"rollbacks": [asdict(each) for each in history.rollbacks]})
        if found is None:
            start_afresh(checkpoints, metrics)
            rollouts.forget(self.folder)
            remove(self.folder / "policy")
        else:
            go_back_to(at, metrics)
            rollouts.go_back_to(self.folder, drawn * updates)
        return history

    def _discard(self, metrics: Path, at: int) -> None:
        cut_jsonl(self.folder / DISCARDED, lambda row: row["attempt"] < self.attempt)
        with MetricsWriter(self.folder / DISCARDED) as discarded:
            discarded.extend({"attempt": self.attempt, **row} for row in read_jsonl(metrics) if row["step"] > at)


def _whole_rollouts(steps: int, updates: int) -> int:
    """Return the rollouts that so many optimizer steps take; one that is not used up counts."""
    return -(-steps // updates)
