"""Starting a jail's warm process: bubblewrap's command around it, and the user id that its runs get."""

import json
import os
import select
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ringlite_cli.sandbox.view import (
    ENVIRONMENT,
    GUEST,
    SUBMISSION_UID,
    Isolation,
    find_bwrap,
    inside,
    jail_arguments,
    open_to_others,
    python,
)

_ENTER = """
import os, sys
register, os.register_at_fork = os.register_at_fork, lambda **_: None
sys.path.insert(0, {root!r})
sys.path.append({site!r})
from guest import zygote
zygote.main(register)
"""
START_SECONDS = 20.0
_FIRST_FREE_UID = 2_000_000


@dataclass(frozen=True, slots=True)
class Place:
    """What a jail starts with.

    slot: its number in this process. site: the folder of packages, inside. scratch: the folder for runs, "" in a jail
    that mounts its own. packages: name -> path of what programs may import. joining: the start of a command line that
    joins a control group. scorers: load reasoning-gym's.
    """

    slot: int
    files_mb: int
    site: str
    scratch: str
    packages: Mapping[str, str]
    joining: list[str]
    scorers: bool = False


def start(isolation: Isolation, place: Place, control: int, common: dict[str, Any]) -> "subprocess.Popen[bytes]":
    """Start the warm process, its end of the socket being `control`. Raises OSError.

    common: arguments of Popen.
    """
    jailed = isolation.level != "none"
    free = _free_uid(place.slot)
    uid = str(SUBMISSION_UID if jailed else free) if isolation.user_ids else "-"
    root = "/ringlite" if jailed else str(GUEST.parent)
    interpreter = inside(python()[0]) if jailed else python()[0]
    inner = [interpreter, "-s", "-S", "-P", "-B", "-c", _ENTER.format(root=root, site=place.site)]
    inner += [str(control), uid, str(place.files_mb << 20), place.scratch or "/tmp"]
    inner += [str(int(not jailed and not open_to_others(interpreter))), *(["scorers"] if place.scorers else [])]
    if not jailed:
        outside: dict[str, Any] = {"env": ENVIRONMENT, "cwd": "/", "start_new_session": True}
        return subprocess.Popen([*place.joining, *inner], pass_fds=[control], **outside, **common)
    outer = jail_arguments(str(find_bwrap()), isolation, place.packages)
    if not isolation.user_ids:
        return subprocess.Popen([*place.joining, *outer, *inner], pass_fds=[control], **common)
    return _start_with_user_ids([*place.joining, *outer], inner, control, free, common)


def _free_uid(slot: int) -> int:
    """A user id that is nobody's on the host, and no other jail's."""
    return _FIRST_FREE_UID + (os.getpid() * 64 + slot) % 1_000_000


def _start_with_user_ids(
    outer: list[str], inner: list[str], control: int, free: int, common: dict[str, Any]
) -> "subprocess.Popen[bytes]":
    """As root: maps a second user id, nobody's on the host, into the jail for the submissions."""
    info_read, info_write = os.pipe()
    go_read, go_write = os.pipe()
    command = [*outer[:-1], "--info-fd", str(info_write), "--userns-block-fd", str(go_read), "--", *inner]
    process = subprocess.Popen(command, pass_fds=[control, info_write, go_read], **common)
    os.close(info_write)
    os.close(go_read)
    try:
        child = _child_pid(info_read)
        if child is not None:
            for kind in ("uid_map", "gid_map"):
                Path(f"/proc/{child}/{kind}").write_text(f"0 0 1\n{SUBMISSION_UID} {free} 1\n")
            os.write(go_write, b"1")
        return process
    except OSError:
        process.kill()
        process.wait()
        raise
    finally:
        os.close(info_read)
        os.close(go_write)


def _child_pid(info: int) -> int | None:
    """The pid that bubblewrap reports on its info pipe; None when it ended without one.

    Reads to the end of the report: bubblewrap dies of a pipe that closes on it, and leaves its child waiting.
    """
    text = b""
    while b"}" not in text:
        part = os.read(info, 4096) if select.select([info], [], [], START_SECONDS)[0] else b""
        if not part:
            return None
        text += part
    return int(json.loads(text)["child-pid"])
