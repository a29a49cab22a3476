"""What all ranks of a training must hold to be the same: one of them reads it, the others are told."""

from collections.abc import Callable
from typing import Any, TypeVar

from ringlite_cli.errors import RingliteError

Read = TypeVar("Read")


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


def _parts(error: RingliteError) -> tuple[type[RingliteError], tuple[Any, ...], dict[str, Any]]:
    """What an error is made again from; its own pickling would call __init__ without its named arguments."""
    return type(error), error.args, dict(error.__dict__)
