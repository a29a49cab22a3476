"""Going on from a checkpoint: finding the last whole one, loading all of its weights, taking the logs back to it."""

import json
import shutil
from pathlib import Path
from typing import Any

from ringlite_cli.runs.files import cut_jsonl


def last_checkpoint(folder: Path) -> tuple[Path, int] | None:
    """The newest checkpoint-<step> that was written to its end, with its step; None where there is none.

    The trainer's state is the last file that transformers writes, so a checkpoint without a readable one (a process
    killed while saving) is passed over.
    """
    found = []
    for path in folder.glob("checkpoint-*"):
        try:
            state = json.loads((path / "trainer_state.json").read_text(encoding="utf-8"))
            found.append((int(state["global_step"]), path))
        except (OSError, ValueError, KeyError, TypeError):
            continue
    if not found:
        return None
    step, path = max(found)
    return path, step


def load_weights(model: Any, checkpoint: Path | str) -> None:
    """Puts a checkpoint's weights into a model, all of them.

    transformers 5 saves a mixture's experts one by one and holds them fused; its Trainer loads a checkpoint without
    that conversion and not strictly, so that the experts would silently stay as they were. `from_pretrained` converts.
    """
    saved = type(model).from_pretrained(checkpoint, dtype=model.dtype)
    model.load_state_dict(saved.state_dict(), strict=True)


def go_back_to(step: int, *logs: Path) -> None:
    """Cuts JSONL logs back to the rows of steps up to this one, so that no row stands twice after a resume."""
    for log in logs:
        cut_jsonl(log, lambda row: row["step"] <= step)


def start_afresh(checkpoints: Path, *logs: Path) -> None:
    """Removes an earlier run's checkpoints and logs."""
    if checkpoints.exists():
        shutil.rmtree(checkpoints)
    for log in logs:
        log.unlink(missing_ok=True)
