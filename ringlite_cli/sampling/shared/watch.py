"""How the first rank sees that the helpers of other ranks live, and that they have ended."""

import time
from pathlib import Path

from ringlite_cli.errors import WorkFailed
from ringlite_cli.runs.ranks import Listener
from ringlite_cli.sampling.shared.helper import alive_file

LOST = 180.0
"""Seconds without a sign of life after which a helper counts as gone."""
_LOOK = 2.0
_POLL = 0.1


class Watch:
    """Listens to the helpers that have been heard once; a rank that comes late is no fault."""

    def __init__(self, session: Path, lost: float = LOST) -> None:
        self._session, self._lost = session, lost
        self._heard: dict[Path, Listener] = {}
        self._looked = 0.0

    def check(self) -> None:
        """Raise WorkFailed where a helper is silent for too long."""
        if time.monotonic() - self._looked < _LOOK:
            return
        self._looked = time.monotonic()
        for file in self._session.glob(alive_file(self._session, None).name):
            self._heard.setdefault(file, Listener(file, self._lost))
        for file, listener in self._heard.items():
            if listener.is_silent():
                number = file.name.partition("-")[2]
                raise WorkFailed(
                    f"rank {number} has given no sign of life for {self._lost:.0f} s while responses were drawn",
                    where=str(self._session.parent.parent),
                    hint="its own output may say why; the same command goes on with what was drawn by any rank",
                )

    def wait_for_ends(self, seconds: float) -> None:
        """Wait until no helper has a file by which it says that it lives."""
        until = time.monotonic() + seconds
        while any(self._session.glob(alive_file(self._session, None).name)) and time.monotonic() < until:
            time.sleep(_POLL)
