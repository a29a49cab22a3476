"""What a stage is: its kind, what it reads and leaves, the code it depends on, and the function that does the work."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ringlite_cli.console import Console
from ringlite_cli.errors import UserError
from ringlite_cli.presence import is_there
from ringlite_cli.problems import Problem, Verify, read_problems
from ringlite_cli.recipe.composition import COMPOSED
from ringlite_cli.recipe.graph import parents
from ringlite_cli.recipe.schema import Recipe, Rewards, Stage
from ringlite_cli.recipe.scoring import OUTPUT, trained_scorer
from ringlite_cli.runs.manifest import Manifest, read_manifest
from ringlite_cli.runs.ranks import world_size


@dataclass
class StageResult:
    """What a stage leaves: files by name (with row counts where they have rows), and what it counted.

    summary: one line for the user. warning: something that the user must not miss. when_done: removes what the work was
    remembered by; called once the manifest says that it is done.
    """

    outputs: dict[str, Path]
    rows: dict[str, int] = field(default_factory=dict)
    tokens: dict[str, int] = field(default_factory=dict)
    metrics: dict[str, Any] = field(default_factory=dict)
    summary: str = ""
    warning: str = ""
    when_done: Callable[[], None] = lambda: None


@dataclass(frozen=True)
class Context:
    """What a stage's runner gets: its section, its folder, and what the stages before it left.

    pending: stages that are about to be made, again or for the first time; what lies there counts for nothing.
    """

    recipe: Recipe
    name: str
    run: Path
    console: Console
    pending: frozenset[str] = frozenset()

    @property
    def section(self) -> Any:
        return self.recipe.stages[self.name]

    @property
    def folder(self) -> Path:
        return self.run / self.name

    def output(self, stage: str, artifact: str) -> Path:
        """An output of another stage. Raises UserError where the stage is not done or the file is gone."""
        manifest = self.done(stage)
        if artifact not in manifest.outputs:
            raise UserError(f"stage {stage!r} has no output {artifact!r}", where=str(self.run / stage))
        path = self.run / manifest.outputs[artifact]["path"]
        if not is_there(path):
            raise UserError(
                f"{artifact} of stage {stage!r} is gone", where=str(path), hint=f"rerun it with --from {stage} --fresh"
            )
        return path

    def done(self, stage: str) -> Manifest:
        manifest = read_manifest(self.run / stage)
        if manifest is None or manifest.status != "done":
            state = f"is {manifest.status}" if manifest else "has not been run"
            raise UserError(
                f"stage {self.name!r} needs {stage!r}, which {state}",
                where=str(self.run),
                hint=f"`ringlite run RECIPE --to {stage}` runs it",
            )
        return manifest

    def problems(self, reference: str) -> list[Problem]:
        """The problems of a set such as `curate.traces`; a set without rows is a UserError."""
        stage, _, artifact = reference.partition(".")
        path = self.output(stage, artifact)
        problems = read_problems(path)
        if not problems:
            raise UserError(
                f"the set {reference} is empty", where=str(path), hint=f"{self.run / stage / 'funnel.json'} says why"
            )
        return problems

    def policy(self, stage: str) -> Path:
        """The HF folder that a stage hands on; `base` is the model before SFT."""
        if stage == "base":
            bases = [n for n, s in self.recipe.stages.items() if s.kind == "sft" and not s.policy]
            return self.output(bases[0], "base")
        return self.output(stage, "policy")

    def verifiers(self, *, partial_scores: bool = False) -> AbstractContextManager[Verify]:
        """The reward verifiers of the recipe, alive for the block. partial_scores: see `open_verifiers`."""
        ranks = world_size() if self.section.kind == "rl" else 1
        return open_verifiers(self.rewards, self.folder, ranks=ranks, partial_scores=partial_scores)

    @property
    def rewards(self) -> Rewards:
        """The recipe's rewards, with the folder of a reward model that a stage before this one has trained."""
        rewards, scorer = self.recipe.rewards, trained_scorer(self.recipe)
        if scorer is None:
            return rewards
        reads = scorer in parents(self.recipe, self.name)
        return rewards.model_copy(update={"reward_model": str(self.output(scorer, OUTPUT)) if reads else ""})


def with_trained_model(run: Path, rewards: Rewards) -> Rewards:
    """Return a run's rewards with the folder of the reward model, where they name a stage of the run that made one."""
    manifest = read_manifest(run / rewards.reward_model) if rewards.reward_model else None
    entry = manifest.outputs.get(OUTPUT) if manifest else None
    return rewards.model_copy(update={"reward_model": str(run / entry["path"])}) if entry else rewards


@contextmanager
def open_verifiers(
    rewards: Rewards, folder: Path | None = None, *, ranks: int = 1, partial_scores: bool = False
) -> Iterator[Verify]:
    """The reward verifiers with a recipe's settings, alive for the block.

    folder: where a judge's grades are kept; None for nowhere. ranks: that share its budget. partial_scores: an
    answer to a logic game that is right in part is rewarded in part, as an RL stage may want it.
    """
    from ringlite_cli.rewards.verifiers import Verifiers, VerifierSettings

    given = rewards.model_dump(exclude=set(COMPOSED)) | {"judge_folder": folder, "partial_scores": partial_scores}
    for name in ("judge_budget", "judge_max_cost"):
        if given[name] is not None:
            given[name] = type(given[name])(given[name] / ranks)
    with Verifiers(VerifierSettings(**given)) as verify:
        yield verify


@dataclass(frozen=True)
class Finding:
    """Something that would stop a stage, or that the user should know, found before any work.

    where: the key, with its dots from the recipe's top. of_machine: this machine lacks something, and the recipe is
    sound. fatal: False for a warning.
    """

    where: str
    what: str
    hint: str = ""
    of_machine: bool = False
    fatal: bool = True

    def __str__(self) -> str:
        return f"{self.where}: {self.what}" + (f"; {self.hint}" if self.hint else "")


Check = Callable[[Context], Iterable[Finding]]
"""A check of a stage before any stage runs: it reads the recipe, the data and the machine, and changes nothing."""


@dataclass(frozen=True)
class StageKind:
    """The one definition of a kind of stage, which the CLI, the pipeline, the manifests and the docs read.

    artifacts: output name -> what it is.   code: the rooms that do its work; their digest is kept with the result.
    uses:      keys of the recipe's head that its result depends on, besides its own section and the seed.
    draws:     whether, by its section, models are drawn from by the recipe's engine; its result then depends on that.
    goes_on_with_engine: whether, by its section, it may take over the vLLM engine that the run has without drawing by
               the recipe's; that engine ends before other stages.
    revisions: in words, each change of its results that a release made on purpose, the oldest first.
    step_of:   for a stage that trains, the step of its last checkpoint, by its folder; 0 or None where there is none.
    steps_of:  how many steps it trains, by its section and its folder; None where that depends on data not seen yet.
    ranks_of:  how many ranks saved its last checkpoint, by its folder; None where there is none.
    note_of:   what the user should know of going on with changed keys (key -> before and after); '' for nothing.
    files:     files outside the run that it reads (they count as inputs); None for one that stands in for a hub id
               and is not here.
    models:    local models that it reads, folders or files of weights, likewise.
    more_code: further rooms that its section makes it depend on.
    faults:    what is wrong with the section beyond its schema, each as `key: what; what next`.
    preflight: gives the checks that need torch, the model's files or the data, which are imported then; `run` makes
               them before anything moves on disk.
    """

    kind: str
    summary: str
    section: type[Stage]
    artifacts: dict[str, str]
    code: tuple[str, ...]
    uses: tuple[str, ...]
    run: Callable[[Context], StageResult]
    files: Callable[[Context], dict[str, Path | None]] = lambda context: {}
    models: Callable[[Context], dict[str, Path]] = lambda context: {}
    faults: Callable[[Recipe, str], list[str]] = lambda recipe, name: []
    more_code: Callable[[Any], tuple[str, ...]] = lambda section: ()
    preflight: Callable[[], tuple[Check, ...]] = tuple
    draws: Callable[[Any], bool] = lambda section: False
    goes_on_with_engine: Callable[[Any], bool] = lambda section: False
    revisions: tuple[str, ...] = ()
    step_of: Callable[[Path], int | None] | None = None
    steps_of: Callable[[Any, Path], int | None] = lambda section, folder: None
    ranks_of: Callable[[Path], int | None] = lambda folder: None
    note_of: Callable[[Any, Mapping[str, Any]], str] | None = None

    @property
    def revision(self) -> int:
        """Return the number of the stage's results: 1, and one more for each change on purpose."""
        return 1 + len(self.revisions)

    def uses_of(self, section: Any) -> tuple[str, ...]:
        """Return the keys of the recipe's head that a stage with this section depends on."""
        return (*self.uses, *(("engine",) if self.draws(section) else ()))
