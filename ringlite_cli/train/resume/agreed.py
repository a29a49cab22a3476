"""What all ranks of a training must hold to be the same: one of them reads it, the others are told."""

from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

from ringlite_cli.errors import RingliteError, UserError
from ringlite_cli.problems import Problem
from ringlite_cli.runs.model_files import describe_model

Read = TypeVar("Read")
_LIBRARIES = ("torch", "transformers", "trl", "accelerate")


def read_by_one(read: Callable[[], Read], state: Any) -> Read:
    """Return what read() gives on the main rank, on every rank.

    state: accelerate's, which tells the ranks apart. Where read() fails by a RingliteError, every rank raises it: none
    is left waiting. The result must be picklable.
    """
    if state.num_processes == 1:
        return read()
    from accelerate.utils import broadcast_object_list

    told: list[Any] = [None, None]
    if state.is_main_process:
        try:
            told = [read(), None]
        except RingliteError as error:
            told = [None, _parts(error)]
    broadcast_object_list(told, from_process=0)
    found, fault = told
    if fault is not None:
        kind, arguments, attributes = fault
        raised: RingliteError = kind.__new__(kind, *arguments)
        Exception.__init__(raised, *arguments)
        raised.__dict__.update(attributes)
        raise raised
    return found


def check_same(facts: Mapping[str, str], state: Any) -> None:
    """Raise UserError on every rank if one of them sees something else than the first does.

    facts: what is seen, in words -> a digest of it. state: accelerate's. All ranks have to call it.
    """
    if state.num_processes == 1:
        return
    from accelerate.utils import gather_object

    seen = gather_object([dict(facts)])
    for what, first in seen[0].items():
        if others := [rank for rank, each in enumerate(seen) if each.get(what) != first]:
            raise UserError(
                f"rank {others[0]} has different {what} from the first rank",
                where="the ranks' file systems and environments",
                hint="put recipe, data, models and runs where all ranks see the same, and install the same versions",
            )


def seen_here(policy: Path, problems: Sequence[Problem], settings: Any) -> dict[str, str]:
    """Return what this rank trains with, for `check_same`. settings: anything whose JSON or repr tells it whole."""
    rows = sha256("".join(f"{p.id}\0{p.prompt}\0{p.answer}\0{p.trace}\n" for p in problems).encode())
    asked = settings.model_dump_json() if hasattr(settings, "model_dump_json") else repr(settings)
    return {
        "weights of the model": describe_model(Path(policy))["digest"],
        "problems": rows.hexdigest(),
        "settings": sha256(asked.encode()).hexdigest(),
        "versions of libraries": " ".join(f"{name} {version(name)}" for name in _LIBRARIES),
    }


def _parts(error: RingliteError) -> tuple[type[RingliteError], tuple[Any, ...], dict[str, Any]]:
    """Return what an error is made again from; its own pickling would call __init__ without its named arguments."""
    return type(error), error.args, dict(error.__dict__)
