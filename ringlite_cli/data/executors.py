"""The passes of `passes.py` as blocks of datatrove pipelines, for its executors: this machine, Slurm, Ray.

    job = Job(source, folder, parts=64, verify=Verifiers, held=[Path("runs/x/curate/eval.parquet")])
    run_here(job, workers=8)

On a cluster, the same blocks go to another executor, each stage depending on the one before:

    before = None
    for stage in stages(job):
        before = SlurmPipelineExecutor(stage.pipeline, tasks=stage.tasks, depends=before, ...)
    before.run()
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ringlite_cli.data import passes
from ringlite_cli.data.passes import Job
from ringlite_cli.errors import UserError
from ringlite_cli.problems import Problem

try:
    from datatrove.data import Document
    from datatrove.executor import LocalPipelineExecutor
    from datatrove.pipeline.base import PipelineStep
except ImportError as error:
    raise UserError(f"datatrove can't be imported ({error})", hint="pip install 'ringlite[scale]'") from error


class _Block(PipelineStep):
    """A pass that leaves its results in the job's folder and hands no documents on."""

    type = "ringlite"
    sees_all = False

    def __init__(self, job: Job) -> None:
        super().__init__()
        self.job = job

    def work(self, part: int) -> None:
        raise NotImplementedError

    def run(self, data: Any = None, rank: int = 0, world_size: int = 1) -> Iterator[Document]:
        del data
        if world_size != self.tasks:
            raise UserError(f"{self.name} runs as {self.tasks} tasks, not {world_size}", hint="use `stages`")
        with self.track_time():
            self.work(rank)
        yield from ()

    @property
    def tasks(self) -> int:
        """Return the number of tasks that the block runs as."""
        return 1 if self.sees_all else self.job.parts


class SpoolRows(_Block):
    """Read the rows of each part, count them and sample their prompts."""

    name = "spool"

    def work(self, part: int) -> None:
        passes.spool(self.job, part)


class MeasureRows(_Block):
    """Ask the text rules, and make the MinHash bands and 8-grams of each part."""

    name = "measure"

    def work(self, part: int) -> None:
        passes.measure_part(self.job, part)


class FindLeaks(_Block):
    """Decontaminate: compare all rows with the held-out ones, in one task."""

    name = "leaks"
    sees_all = True

    def work(self, part: int) -> None:
        passes.leaks(self.job)


class CheckRows(_Block):
    """Drop what the rules and the verifiers reject, in each part."""

    name = "check"

    def work(self, part: int) -> None:
        passes.check(self.job, part)


class FindCopies(_Block):
    """Drop near-duplicates and conflicting answers, in one task."""

    name = "single"
    sees_all = True

    def work(self, part: int) -> None:
        passes.single(self.job)


class KeptRows(_Block):
    """Write the kept rows of each part as parquet, and hand them on as documents, to any datatrove block."""

    name = "keep"

    def run(self, data: Any = None, rank: int = 0, world_size: int = 1) -> Iterator[Document]:
        yield from super().run(data, rank, world_size)
        for problem in passes.keep(self.job, rank):
            self.stat_update("kept")
            yield as_document(problem)

    def work(self, part: int) -> None:
        """All is done as the documents are asked for."""


BLOCKS = (SpoolRows, MeasureRows, FindLeaks, CheckRows, FindCopies, KeptRows)


@dataclass(frozen=True)
class Stage:
    """One datatrove pipeline, and as how many tasks it runs."""

    name: str
    pipeline: list[Any]
    tasks: int


def stages(job: Job, *after: Any) -> list[Stage]:
    """Return the pipelines in the order in which they must run; `after` are blocks behind the last, as a writer."""
    blocks = [block(job) for block in BLOCKS]
    found = [Stage(block.name, [block], block.tasks) for block in blocks]
    found[-1].pipeline.extend(after)
    return found


def run_here(job: Job, *after: Any, workers: int = 1) -> None:
    """Run all stages on this machine; those that were done before are not run again."""
    for stage in stages(job, *after):
        logs = str(job.folder / "logs" / stage.name)
        LocalPipelineExecutor(stage.pipeline, tasks=stage.tasks, workers=workers, logging_dir=logs).run()


def as_document(problem: Problem) -> Document:
    """The prompt as a document's text; all other fields as its metadata."""
    fields = {name: getattr(problem, name) for name in Problem.__dataclass_fields__ if name not in ("id", "prompt")}
    return Document(text=problem.prompt, id=problem.id, metadata=fields)
