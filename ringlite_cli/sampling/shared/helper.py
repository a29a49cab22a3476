"""A helper process: `python -m ringlite_cli.sampling.shared.helper SESSION RANK`, started by a rank.

It works apart from the rank's process: no process group of a trainer is open in it, its GPUs are the first ones that it
sees, and all its memory is free when it ends. It ends with the session, or when the rank is gone, even by SIGKILL.
"""

import os
import sys
import threading
import time
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

from ringlite_cli.recipe.engine import Engine
from ringlite_cli.runs.files import read_json
from ringlite_cli.runs.ranks import signs_of_life
from ringlite_cli.samples import Sampler
from ringlite_cli.sampling.opening import MakeSampler, open_samplers
from ringlite_cli.sampling.shared.answers import AnswerWriter
from ringlite_cli.sampling.shared.failures import OtherFiles, write_failure
from ringlite_cli.sampling.shared.files import files_digest
from ringlite_cli.sampling.shared.job import JOB, Job, JobHead
from ringlite_cli.sampling.shared.work import JobOver, work

SESSION, ENDED = "session.json", "ended"
POLL = 0.1  # seconds


def main() -> int:
    folder, rank = Path(sys.argv[1]), int(sys.argv[2])
    threading.Thread(target=_end_with_parent, args=(os.getppid(),), name="leash", daemon=True).start()
    with signs_of_life(alive_file(folder, rank)):
        Helper(folder, rank).run()
    return 0


def alive_file(session: Path, rank: int | None) -> Path:
    """Return the file by which a helper says that it lives; None: the pattern of all."""
    return session / f"alive-{'*' if rank is None else rank}"


def job_folder(session: Path, number: int) -> Path:
    """Return the folder of a session's job, from 1."""
    return session / f"{number:04d}"


def _end_with_parent(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(POLL)
    os._exit(1)  # what was drawn is on disk, and an engine in mid-step hears nothing softer


class Helper:
    """Takes part in the jobs of a session, one after the other."""

    def __init__(self, session: Path, rank: int) -> None:
        settings = read_json(session / SESSION)
        self.session, self.rank, self.ranks = session, rank, int(settings["ranks"])
        self.engine = Engine(**settings["engine"])
        self._policies = _Policies(self.engine)

    def run(self) -> None:
        """Works until the session ends."""
        number = 1
        with self._policies:
            while True:
                over, folder = self._is_over(), job_folder(self.session, number)
                if (folder / JOB).exists():
                    self._take_part(folder)
                    number += 1
                elif over:
                    return
                else:
                    time.sleep(POLL)

    def _is_over(self) -> bool:
        return (self.session / ENDED).exists() or not self.session.exists()

    def _take_part(self, folder: Path) -> None:
        """Work on a job; a failure is written into its folder, and the next job may go better."""
        try:
            check_files(JobHead.read(folder), self.rank)  # also where others have done it all
            job = Job(folder)
            if job.is_over:
                return
            with closing(AnswerWriter(folder, self.rank)) as answers:
                work(job, self._policies.sampler(job.head), answers, self.ranks)
        except JobOver:
            pass
        except Exception as error:  # engines' errors share no base class; the first rank raises it
            self._policies.close()
            if folder.exists():
                write_failure(folder, self.rank, error)


class _Policies:
    """The policy that is loaded, kept for the next job where that asks for the same."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._stack, self._dtype = ExitStack(), ""
        self._make: MakeSampler | None = None
        self._loaded: tuple[Any, Sampler] | None = None

    def __enter__(self) -> "_Policies":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def sampler(self, head: JobHead) -> Sampler:
        """Return a job's policy, loaded. Raises what its engine raises."""
        wanted = (head.policy, head.dtype, head.settings, head.files)
        if self._loaded is not None and self._loaded[0] == wanted:
            return self._loaded[1]
        self._drop()
        if self._make is None or self._dtype != head.dtype:
            self.close()
            self._make, self._dtype = self._stack.enter_context(open_samplers(self._engine, head.dtype)), head.dtype
        sampler = self._make(head.policy, head.settings)
        self._loaded = (wanted, sampler)
        return sampler

    def close(self) -> None:
        """Free the policy and its engine."""
        self._drop()
        self._make = None
        self._stack.close()

    def _drop(self) -> None:
        loaded, self._loaded = self._loaded, None
        if loaded is not None:
            loaded[1].close()


def check_files(head: JobHead, rank: int) -> None:
    """Raise OtherFiles where a policy's files are others here than on the first rank."""
    if files_digest(head.policy) != head.files:
        raise OtherFiles(
            f"rank {rank} sees other files of this policy than the first rank",
            where=head.policy,
            hint="put the run folder and the models on a file system that all ranks share",
        )


if __name__ == "__main__":
    sys.exit(main())
