"""Whether ranks of a launch can meet, and all run one recipe into one folder, asked as they start.

torchrun and `accelerate launch` keep a store for their ranks, where each of them says what it runs. Ranks that srun or
mpirun starts have none before a process group is open: they find out by the first rank's silence in their run folder.
"""

import json
import logging
import os
import socket
import time
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

from ringlite_cli.errors import FirstRankEnded, UserError, one_line
from ringlite_cli.runs.ranks import rank, speaks_for_its_machine, world_size

log = logging.getLogger(__name__)
NAME_WAIT = 120.0
"""Seconds in which a name may come up, as that of a container that starts beside this one."""
LOOKS = 1.0
"""Seconds between two looks."""
WAIT = 60.0
"""Seconds that the first rank waits for what the others say; who is later than that is not asked."""


def find_meeting_place() -> None:
    """Wait until the machine where ranks meet has an address. Raises UserError where none comes.

    torch would look for it much longer, in which no signal stops it.
    """
    address = os.environ.get("MASTER_ADDR", "")
    if world_size() == 1 or not address:
        return
    until, told = time.monotonic() + NAME_WAIT, False
    while True:
        try:
            socket.getaddrinfo(address, None)
            return
        except (OSError, UnicodeError) as error:
            if time.monotonic() > until:
                what = f"{address!r}, the machine where ranks meet, has no address here ({one_line(error)})"
                if not speaks_for_its_machine():
                    raise FirstRankEnded(what) from None
                raise UserError(what, where="MASTER_ADDR", hint="give the first node's name or address") from None
            if not told:
                log.warning("waiting for the address of %s, where ranks meet", address)
            told = True
        time.sleep(LOOKS)


def check_same_run(name: str, folder: Path) -> None:
    """Raise UserError on the first rank where another one has a recipe of another name, or another folder.

    Folders are compared on one machine alone: paths of another may lead to the same place by other names.
    """
    if world_size() == 1 or os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True":
        return
    own = {"name": name, "host": socket.gethostname(), "folder": str(folder.resolve())}
    fault = ""
    with suppress(RuntimeError):  # a store that is not reached, or a rank that is late: what follows says so
        store, found = _store(), _key("found")
        if rank() == 0:
            fault = _difference(own, store)
            store.set(found, fault)
        else:
            store.set(_key(rank()), json.dumps(own))
            store.wait([found], timedelta(seconds=WAIT))
            fault = store.get(found).decode()
    if fault and rank() == 0:
        raise UserError(fault, where="the ranks of this launch", hint="give all the same recipe, --set and --runs-dir")
    if fault:
        raise FirstRankEnded(fault)


def _difference(own: dict[str, str], store: Any) -> str:
    """Return which other rank runs something else than the first one; "" where none does, or some are late."""
    until = time.monotonic() + WAIT
    with suppress(RuntimeError):
        for number in range(1, world_size()):
            store.wait([_key(number)], timedelta(seconds=max(0.1, until - time.monotonic())))
            other = json.loads(store.get(_key(number)))
            is_here = other["host"] == own["host"]
            if other["name"] != own["name"] or (is_here and other["folder"] != own["folder"]):
                said = f"rank {number} runs {other['name']!r} in {other['folder']}"
                return f"{said}, and the first rank {own['name']!r} in {own['folder']}"
    return ""


def _store() -> Any:
    from torch.distributed import TCPStore

    port = int(os.environ["MASTER_PORT"])
    return TCPStore(os.environ["MASTER_ADDR"], port, is_master=False, timeout=timedelta(seconds=WAIT))


def _key(name: int | str) -> str:
    """Return a key of this attempt of the launcher, which may start its ranks again."""
    return f"ringlite/{os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}/{name}"
