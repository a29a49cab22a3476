"""The vLLM server of a trainer's ranks: joined, and if it is the run's own, started again once.

The first rank alone talks with the server. What fails there it notes (noting_client.py) and goes on to the end of the
gathering or waiting in which the other ranks are; then it tells all of them what to do next: go on, sync the weights
again to a server that it has started meanwhile, or stop. The last is an error, the same one on every rank.
"""

import logging
import os
from contextlib import AbstractContextManager
from typing import Any

from ringlite_cli.errors import RingliteError, WorkFailed
from ringlite_cli.train.engine.external_server import COMMAND
from ringlite_cli.train.engine.noting_client import NotingClient
from ringlite_cli.train.engine.own_server import ServerProcess, free_port
from ringlite_cli.train.engine.start import Watch
from ringlite_cli.train.engine.time_limit import EngineHung, time_limit
from ringlite_cli.train.resume.agreed import read_by_one

log = logging.getLogger(__name__)

_GO_ON, _SYNC_AGAIN = "go on", "sync again"
_JOINING = 300.0
"""Seconds in which server and trainer have to form the group for the weights: NCCL waits for ever."""


class ServerRestart:
    """Mixed into TRL's generation. `restarts` is counted where it is decided: on the first rank."""

    watch: Watch
    config: Any
    accelerator: Any
    mode: str
    server_base_url: str | None
    server_host: str
    server_port: int
    server_timeout: float
    group_port: int
    vllm_client: Any  # a NotingClient
    server: ServerProcess | None
    restarts: int
    end: Any
    sync_weights: Any

    def _init_client(self) -> None:
        """Join the server that the recipe names, or start the run's own and join that. Raises alike on all ranks."""
        read_by_one(self._join_server, self.accelerator)

    def _started_again(self) -> bool:
        """Return whether the server had failed, and another has the weights by now. All ranks have to call it.

        Raises WorkFailed on all ranks where the server is not started again.
        """
        if read_by_one(self._next, self.accelerator) == _GO_ON:
            return False
        self.sync_weights()
        return True

    def _next(self) -> str:
        """Return what the ranks do next, with a server in place of one that failed. Raises RingliteError: to stop."""
        fault = self.vllm_client.take_fault()
        if fault is None:
            return _GO_ON
        self.end()  # before the others hear of it: one that ends has its launcher end this rank too
        if isinstance(fault, RingliteError):
            raise fault
        self._count_restart(fault)
        self._join_server()
        return _SYNC_AGAIN

    def _join_server(self) -> None:
        url = self.server_base_url or f"http://{self.server_host}:{self.server_port}"
        port = self.group_port
        if self.watch.server is not None:
            os.environ.setdefault("VLLM_HOST_IP", "127.0.0.1")  # both ends of the weights' way are on this machine
            self.server = self.watch.start_server(self.config)
            url, port = self.server.url, free_port()
        is_gone = self.server.is_gone if self.server else None
        try:
            client = NotingClient(url, port, wait=self.server_timeout, limit=self._in_time, is_gone=is_gone)
            with time_limit(max(_JOINING, self.server_timeout), wake=self.end if is_gone else None):
                client.init_communicator(device=self.accelerator.device)
        except Exception as error:
            self.end()
            start_it = f"start it with `{COMMAND.format(policy=self.watch.policy)}`"
            hint = f"{self.watch.log} has all that it said" if is_gone else start_it
            raise WorkFailed(f"the trainer can't join the vLLM server ({said(error)})", where=url, hint=hint) from error
        except BaseException:
            self.end()
            raise
        self.vllm_client = client

    def _count_restart(self, error: Exception) -> None:
        """Count that the engine is started again. Raises WorkFailed where it is not."""
        what = f"no answer in {self.watch.timeout:g} s" if isinstance(error, EngineHung) else said(error)
        if self.mode == "colocate":
            impossible = self.accelerator.num_processes > 1  # the others are in the middle of something
        else:
            impossible = self.watch.server is None
        if self.restarts or impossible:
            again = "again, after it was started anew" if self.restarts else "in mid-step"
            raise WorkFailed(
                f"the vLLM engine failed {again} ({what})",
                hint="the same command goes on from the last checkpoint; set use_vllm: false to go on without it",
            ) from error
        self.restarts += 1
        log.warning("the vLLM engine failed (%s); it is started again", what)

    def _in_time(self) -> AbstractContextManager[None]:
        """Allow the block `engine_timeout` seconds; past them, end the run's own server."""
        return time_limit(self.watch.timeout, wake=self.end if self.server else None)


def said(error: Exception) -> str:
    """Return kind and words of an error in one line, 200 characters of them at most."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
