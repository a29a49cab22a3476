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

from ringlite_cli.runs.files import read_json, write_json

_SEPARATOR = "/"


def save_in_hand(trainer: Any, folder: Path) -> None:
    """Writes what a C3POTrainer holds of the rollout under way, where a checkpoint falls between its updates."""
    if trainer.state.global_step % trainer.args.updates_per_rollout:
        save_updates(folder, trainer.accelerator.process_index, trainer._updates)


def load_in_hand(trainer: Any, folder: Path, step: int) -> None:
    """Sets a C3POTrainer to the position of a checkpoint, with the updates that were in hand there."""
    from ringlite_cli.train.rl.updates import Update

    trainer._step = step * trainer.args.gradient_accumulation_steps
    trainer._updates = load_updates(folder, trainer.accelerator.process_index, trainer.accelerator.device, Update)


def save_updates(folder: Path, rank: int, updates: Sequence[Any]) -> None:
    """Writes this rank's updates (dataclasses with `rows`: nested mappings of tensors and numbers) into a folder."""
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
    """The updates that `save_updates` wrote, as make(rows=..., **fields); [] where there are none."""
    if not _rest(folder, rank).exists():
        return []
    tensors = load_file(_tensors(folder, rank), device=str(device))
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
