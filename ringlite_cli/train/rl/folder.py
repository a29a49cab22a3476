"""The folder of an RL run before an attempt: taken back to its last whole checkpoint, or set aside to start afresh."""

from pathlib import Path

from ringlite_cli.runs import rollouts
from ringlite_cli.train.guard.history import History
from ringlite_cli.train.resume.checkpoints import go_back_to, last_or_afresh


def prepare_folder(
    history: History, resume: bool, steps: int, updates_per_rollout: int, ranks: int
) -> tuple[Path, int] | None:
    """Take the logs back to the last whole checkpoint, and return it; or set an earlier run aside, and return None.

    Raises UserError where that checkpoint is past the last step, for nothing would be trained, or of other ranks.
    """
    folder = history.folder
    checkpoints, metrics = folder / "checkpoints", folder / "metrics.jsonl"
    checkpoints.mkdir(parents=True, exist_ok=True)
    found = last_or_afresh(checkpoints, metrics, resume=resume, ranks=ranks, steps=steps, more="steps")
    if found is None:
        rollouts.forget(folder)
        history.go_on_from(0)
        return None
    step = found[1]
    history.go_on_from(step)
    go_back_to(step, metrics)
    rollouts.go_back_to(folder, -(-step // updates_per_rollout) * updates_per_rollout)  # logged when planned
    return found
