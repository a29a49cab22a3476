"""The pool in a checkpoint: tokens, log-probabilities and versions as safetensors, the groups as JSON."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from transformers import TrainerCallback

from ringlite_cli.errors import UserError
from ringlite_cli.runs.files import read_json, write_json
from ringlite_cli.train.resume.keeper import checkpoint_folder
from ringlite_cli.train.rl.carry.pool import Counted, Group, Pool, Response


class CarriedPool(TrainerCallback):
    """Keeps the pool of a C3POTrainer in its checkpoints, and puts it back on a resume."""

    def __init__(self, trainer: Any, carried: Any) -> None:
        self._trainer, self._carried = trainer, carried

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        accelerator, prompts = self._trainer.accelerator, self._trainer.prompts
        drawn = prompts.state() if accelerator.num_processes > 1 else None
        with self._carried.lock:
            save_pool(checkpoint_folder(args, state), accelerator.process_index, self._carried.pool, drawn)

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.global_step:
            folder = self._trainer.resumed_from or checkpoint_folder(args, state)
            accelerator = self._trainer.accelerator
            self._carried.pool, drawn = load_pool(folder, accelerator.process_index, accelerator.num_processes)
            if drawn is not None:
                self._trainer.prompts.restore(drawn)


def save_pool(folder: Path, rank: int, pool: Pool, drawn: dict[str, Any] | None = None) -> None:
    """Write a rank's pool into a folder. drawn: the state of its prompts; each of several ranks has its own."""
    responses = [response for group in pool.groups for response in group.responses]
    columns = {
        "tokens": torch.tensor([t for r in responses for t in r.tokens], dtype=torch.int64),
        "log_probs": torch.tensor([p for r in responses for p in r.log_probs], dtype=torch.float64),
        "versions": torch.tensor([v for r in responses for v in r.versions], dtype=torch.int64),
        "lengths": torch.tensor([len(r.tokens) for r in responses], dtype=torch.int64),
        "ended": torch.tensor([r.ended for r in responses], dtype=torch.bool),
    }
    save_file(columns, _columns(folder, rank))
    groups = [
        {"number": g.number, "row": g.row, "prompt": g.prompt, "retention": g.retention, "responses": len(g.responses)}
        for g in pool.groups
    ]
    rest = {"groups": groups, "waiting": pool.waiting, "version": pool.version, "launched": pool.launched}
    rest |= {"taken": pool.taken, "prompts": drawn, "begun": None if pool.begun is None else asdict(pool.begun)}
    write_json(_rest(folder, rank), rest)


def load_pool(folder: Path, rank: int, ranks: int = 1) -> tuple[Pool, dict[str, Any] | None]:
    """Return the pool and the state of prompts that `save_pool` wrote. Raises UserError where there is none for a rank.

    ranks: how many there are now.
    """
    saved = len(list(folder.glob("pool_*.json")))
    if saved and saved != ranks:
        raise UserError(
            f"the checkpoint holds the carried responses of {saved} processes, and {ranks} train now",
            where=str(folder),
            hint=f"go on with {saved}, or start afresh (--fresh)",
        )
    if not _rest(folder, rank).exists():
        raise UserError(
            "the checkpoint holds no pool of responses, of which rollouts of mode carry and those drawn ahead are made",
            where=str(folder),
            hint="go on with rollouts: {mode: wait} without ahead, or start afresh (--fresh)",
        )
    columns = {name: column.tolist() for name, column in load_file(_columns(folder, rank)).items()}
    rest = read_json(_rest(folder, rank))
    responses, place = [], 0
    for length, ended in zip(columns["lengths"], columns["ended"], strict=True):
        parts = [columns[name][place : place + length] for name in ("tokens", "log_probs", "versions")]
        responses.append(Response(parts[0], parts[1], parts[2], ended))
        place += length
    waiting = iter(responses)
    groups = [
        Group(g["number"], g["row"], g["prompt"], [next(waiting) for _ in range(g["responses"])], g["retention"])
        for g in rest["groups"]
    ]
    numbers = {name: rest[name] for name in ("version", "launched", "taken")}
    begun = rest.get("begun")
    pool = Pool(groups, rest["waiting"], **numbers, begun=None if begun is None else Counted(**begun))
    return pool, rest.get("prompts")


def _columns(folder: Path, rank: int) -> Path:
    return folder / f"pool_{rank}.safetensors"


def _rest(folder: Path, rank: int) -> Path:
    return folder / f"pool_{rank}.json"
