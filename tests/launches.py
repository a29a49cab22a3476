"""Ranks as a launcher starts them, without one that ends the others: each has to end by itself."""

import os
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import warm

from ringlite_cli.runs.launcher import without_rank

RINGLITE = [sys.executable, "-m", "ringlite_cli"]


@dataclass
class Ended:
    """How a rank ended."""

    code: int
    out: str
    err: str


class Launch:
    """Ranks of one command that run side by side. cwds: a folder of its own for each rank."""

    def __init__(self, ranks: int, command: Sequence[str], cwds: Sequence[Path | None] = ()) -> None:
        common = without_rank(os.environ) | {"OMP_NUM_THREADS": "1", "TRL_EXPERIMENTAL_SILENCE": "1"}
        common |= {"PYTHONPATH": str(Path(__file__).parents[1])}
        if ranks > 1:
            common |= {"WORLD_SIZE": str(ranks), "LOCAL_WORLD_SIZE": str(ranks)}
            common |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
        self._files = [(tempfile.TemporaryFile(), tempfile.TemporaryFile()) for _ in range(ranks)]  # noqa: SIM115
        self.processes = [
            warm.Popen(
                command,
                env=common | ({"RANK": str(rank), "LOCAL_RANK": str(rank)} if ranks > 1 else {}),
                cwd=cwds[rank] if cwds else None,
                stdout=out,
                stderr=err,
            )
            for rank, (out, err) in enumerate(self._files)
        ]

    def wait(self, seconds: float = 900) -> list[Ended]:
        """Wait for all ranks; one that goes on is killed, and the test fails."""
        try:
            codes = [process.wait(seconds) for process in self.processes]
            return [Ended(code, *map(warm.text_of, both)) for code, both in zip(codes, self._files, strict=True)]
        finally:
            for process, both in zip(self.processes, self._files, strict=True):
                process.kill()
                for file in both:
                    file.close()


def free_port() -> int:
    """Return one that nobody listens on now."""
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
