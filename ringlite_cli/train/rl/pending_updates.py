"""The updates of a rollout that are still to be trained, kept in a checkpoint: rows as safetensors, the rest JSON.

A rollout may serve several optimizer steps (`updates_per_rollout`). A checkpoint between two of them would otherwise
lose the responses in hand, and the run that goes on would be another one.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from transformers import TrainerCallback

from ringlite_cli.errors import UserError
from ringlite_cli.presence import is_there
from ringlite_cli.runs.files import read_json, write_json
from ringlite_cli.train.resume.keeper import checkpoint_folder

_SEPARATOR = "/"


class PendingUpdates(TrainerCallback):
    """Keeps what a C3POTrainer holds of the rollout under way in its checkpoints, and puts it back on a resume."""

    def __init__(self, trainer: Any) -> None:
        self._trainer = trainer

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.global_step % args.updates_per_rollout:
            rank = self._trainer.accelerator.process_index
            save_updates(checkpoint_folder(args, state), rank, self._trainer.pending_updates)

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if not state.global_step:
            return
        from ringlite_cli.train.rl.updates import Update

        folder = self._trainer.resumed_from or checkpoint_folder(args, state)
        accelerator = self._trainer.accelerator
        updates = load_updates(folder, accelerator.process_index, accelerator.device, Update)
        if state.global_step % args.updates_per_rollout and not updates:
            raise UserError(
                "the checkpoint was saved between two updates of a rollout, and lacks the updates still to come",
                where=str(folder),
                hint="resume from another checkpoint",
            )
        for update in updates:  # row_tokens, the budget or the device's memory may be others now, and so are the rows
            update.spread(args.gradient_accumulation_steps, accelerator)
        self._trainer.go_on_from(state.global_step, updates)


def save_updates(folder: Path, rank: int, updates: Sequence[Any]) -> None:
    """Write this rank's updates (dataclasses with `rows`: nested mappings of tensors and numbers) into a folder."""
    tensors: dict[str, torch.Tensor] = {}
    rest: list[dict[str, Any]] = []
    for number, update in enumerate(updates):
        others = {field.name: getattr(update, field.name) for field in fields(update) if field.name != "rows"}
        plain: list[dict[str, Any]] = []
        for place, row in enumerate(update.rows):
            leaves = dict(_leaves(row))
            tensors |= {
                _SEPARATOR.join((str(number), str(place), name)): value.contiguous().cpu()
                for name, value in leaves.items()
                if isinstance(value, torch.Tensor)
            }
            plain.append({name: value for name, value in leaves.items() if not isinstance(value, torch.Tensor)})
        rest.append({"fields": others, "rows": plain})
    save_file({name: tensor.clone() for name, tensor in tensors.items()}, _tensors(folder, rank))
    write_json(_rest(folder, rank), rest)


def load_updates(folder: Path, rank: int, device: Any, make: Any) -> list[Any]:
    """Read the updates that `save_updates` wrote, as make(rows=..., **fields); [] if there are none."""
    if not is_there(_rest(folder, rank)):
        return []
    tensors = {name: x.to(device) for name, x in load_file(_tensors(folder, rank)).items()}
    rest = read_json(_rest(folder, rank))
    rows: list[list[dict[str, Any]]] = [[dict(row) for row in update["rows"]] for update in rest]
    for name, tensor in tensors.items():
        number, place, leaf = name.split(_SEPARATOR, 2)
        rows[int(number)][int(place)][leaf] = tensor
    return [
        make(rows=[_nested(row) for row in of_update], **update["fields"])
        for of_update, update in zip(rows, rest, strict=True)
    ]


def _leaves(row: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in row.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{above}{name}{_SEPARATOR}")
        else:
            yield above + name, value


def _nested(leaves: Mapping[str, Any]) -> dict[str, Any]:
    row: dict[str, Any] = {}
    for path, value in leaves.items():
        *above, name = path.split(_SEPARATOR)
        target = row
        for part in above:
            target = target.setdefault(part, {})
        target[name] = value
    return row


def _tensors(folder: Path, rank: int) -> Path:
    return folder / f"updates_{rank}.safetensors"


def _rest(folder: Path, rank: int) -> Path:
    return folder / f"updates_{rank}.json"
