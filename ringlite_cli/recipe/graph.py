"""References between stages as edges: which stage needs which, in what order they run, and what can't be."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ringlite_cli.errors import near
from ringlite_cli.own_code import is_own
from ringlite_cli.recipe.guard import Guard, HeldOut
from ringlite_cli.recipe.reward_model import MadePairs
from ringlite_cli.recipe.schema import (
    CurateStage,
    EvalStage,
    Recipe,
    RewardModelStage,
    RlProbe,
    RlStage,
    SelectStage,
    SftStage,
    Stage,
)
from ringlite_cli.recipe.scoring import OUTPUT, scoring_stage, trained_scorer

BASE = "base"
"""The policy before any training, as eval names it."""

FILES = ("jsonl", "json", "csv", "parquet", "arrow", "gz")
"""How the names of files end that a set's name is taken for by mistake."""
HELD_OUT = "guard.held_out.data"
"""The key of a set that is measured; the result depends on it only where the guard rolls back by it."""
HARNESS = "lm-eval:"
"""What the names of lm-evaluation-harness's tasks begin with."""


def is_set(task: str) -> bool:
    """Return whether a task of eval is a curated set (`curate.eval`), not a benchmark's name."""
    return "." in task and not task.startswith(HARNESS) and not is_own(task)


@dataclass(frozen=True)
class Reference:
    """A key of a stage that names another stage, or one artifact of it (`curate.traces`)."""

    key: str
    stage: str
    artifact: str | None
    kinds: tuple[str, ...]


def references(stage: Stage) -> Iterator[Reference]:
    """Return the references that a stage's section makes; the name of a benchmark is not one."""
    if isinstance(stage, SftStage):
        yield from _set_references("data", stage.data)
        if isinstance(stage.policy, str) and stage.policy:
            yield Reference("policy", stage.policy, None, ("sft", "select", "rl"))
    elif isinstance(stage, SelectStage):
        if isinstance(stage.candidates, str) and stage.candidates:
            yield Reference("candidates", stage.candidates, None, ("sft",))
        yield from _set_references("data", stage.data)
        if isinstance(stage.rl_probe, RlProbe):
            yield from _set_references("rl_probe.data", stage.rl_probe.data)
    elif isinstance(stage, RewardModelStage):
        yield from _references_of_reward_model(stage)
    elif isinstance(stage, RlStage):
        if isinstance(stage.policy, str) and stage.policy:
            yield Reference("policy", stage.policy, None, ("sft", "select", "rl"))
        yield from _set_references("data", stage.data)
        if isinstance(stage.guard, Guard) and isinstance(stage.guard.held_out, HeldOut):
            yield from _set_references(HELD_OUT, stage.guard.held_out.data)
    elif isinstance(stage, CurateStage):
        yield from _asked_policies(stage)
    elif isinstance(stage, EvalStage):
        for policy in _texts(stage.policies):
            if policy != BASE:
                yield Reference("policies", policy, None, ("sft", "select", "rl"))
        yield from _set_references("tasks", *filter(is_set, _texts(stage.tasks)))


def _asked_policies(stage: CurateStage) -> Iterator[Reference]:
    asked = {key: responder.policy for key, responder in stage.asked().items() if responder.policy}
    yield from (Reference(f"{key}.policy", policy, None, ("sft", "select", "rl")) for key, policy in asked.items())


def _references_of_reward_model(stage: RewardModelStage) -> Iterator[Reference]:
    if isinstance(stage.policy, str) and stage.policy:
        yield Reference("policy", stage.policy, None, ("sft", "select", "rl"))
    if isinstance(stage.pairs, MadePairs):
        for policy in _texts(stage.pairs.policies):
            if policy != BASE:
                yield Reference("pairs.policies", policy, None, ("sft", "select", "rl"))
        yield from _set_references("pairs.data", stage.pairs.data)


@dataclass(frozen=True)
class Needed:
    """An output of another stage that a stage reads. stage: None stands for any. many: all that begin with it."""

    stage: str | None
    artifact: str
    many: bool = False

    def is_met_by(self, stage: str, artifact: str) -> bool:
        """Return whether an output of a stage is this one."""
        fits = artifact.startswith(self.artifact) if self.many else artifact == self.artifact
        return fits and self.stage in (None, stage)


def needed_outputs(stage: Stage) -> Iterator[Needed]:
    """Yield what a stage reads of others: sets one by one, policies, and for select all that SFT left."""
    for reference in references(stage):
        if (
            reference.key == HELD_OUT
            and isinstance(stage, RlStage)
            and stage.guard
            and not stage.guard.held_out_decides
        ):
            continue
        if reference.artifact is not None:
            yield Needed(reference.stage, reference.artifact)
        elif reference.key == "candidates":
            yield Needed(reference.stage, "", many=True)
        else:
            yield Needed(reference.stage, "policy")
    if asks_base(stage):
        yield Needed(None, "base")
    yield Needed(None, OUTPUT)  # of the stage whose scores reward it, where it has one among its parents


def asks_base(stage: Stage) -> bool:
    """Return whether a stage draws from the model before SFT."""
    pairs = stage.pairs if isinstance(stage, RewardModelStage) else None
    named = stage if isinstance(stage, EvalStage) else pairs if isinstance(pairs, MadePairs) else None
    return named is not None and BASE in _texts(named.policies)


def _decides(stage: Any) -> bool:
    """Return whether a stage that has something held out is rolled back by its score."""
    return bool(stage.guard.held_out_decides)


def _texts(values: Any) -> list[str]:
    """The names in a list; of a stage with faults, the list may be something else."""
    return [value for value in values if isinstance(value, str)] if isinstance(values, list | tuple) else []


def _set_references(key: str, *names: Any) -> Iterator[Reference]:
    """References to sets; a name may be None, of a stage with faults, or a source outside the run."""
    for text in filter(None, _texts(names)):
        stage, _, artifact = text.partition(".")
        yield Reference(key, stage, artifact, ("curate",))


def parents(recipe: Recipe, name: str) -> list[str]:
    """The stages whose outputs a stage reads, in the recipe's order."""
    named = set(_read_by_keys(recipe, name))
    if trained_scorer(recipe):
        needs = {other: _read_by_keys(recipe, other) for other in recipe.stages}
        named |= {scorer} if (scorer := scoring_stage(recipe, name, needs)) else set()
    return [other for other in recipe.stages if other in named]


def _read_by_keys(recipe: Recipe, name: str) -> list[str]:
    """The stages that a stage's own keys name."""
    stage = recipe.stages[name]
    named = {reference.stage for reference in references(stage)}
    if asks_base(stage):
        named |= {other for other, section in recipe.stages.items() if section.kind == "sft" and not section.policy}
    return list(named)


def run_order(recipe: Recipe) -> list[str]:
    """Stages so that each comes after those it reads, otherwise in the recipe's order."""
    order: list[str] = []
    waiting = list(recipe.stages)
    while waiting:
        ready = next((n for n in waiting if all(p in order for p in parents(recipe, n))), None)
        if ready is None:
            return order
        order.append(ready)
        waiting.remove(ready)
    return order


def graph_faults(recipe: Recipe, *, unsound: Collection[str] = (), unknown: Collection[str] = ()) -> list[str]:
    """Return every reference that leads nowhere, to the wrong kind, or in a circle.

    unsound: stages of which only the sound part is there. unknown: names of stages whose kind is not known; what
    refers to them is left alone.
    """
    faults = []
    stuck = _in_a_circle(recipe)
    for name, stage in recipe.stages.items():
        for reference in references(stage):
            fault = "" if reference.stage in unknown else _reference_fault(recipe, name, reference)
            if fault:
                faults.append(f"stages.{name}.{reference.key}: {fault}")
        if isinstance(stage, CurateStage) and name not in unsound:
            faults += [f"stages.{name}.{fault}" for fault in _set_faults(stage)]
        if asks_base(stage) and not unknown and not stuck and not _has_base(recipe):
            key = "policies" if isinstance(stage, EvalStage) else "pairs.policies"
            faults.append(f"stages.{name}.{key}: {BASE!r} is the model before SFT, but no sft stage prepares it")
    scorer = getattr(getattr(recipe, "rewards", None), "reward_model", None)
    if scorer in recipe.stages and trained_scorer(recipe) is None:
        kind = recipe.stages[scorer].kind
        faults.append(f"rewards.reward_model: {scorer!r} is {_a(kind)} stage; this key takes a reward-model stage")
    if stuck:
        circle = _circle(recipe, stuck)
        faults.append(
            f"stages: {' -> '.join(circle)} is a circle: each is made from the next; let one of them start from "
            f"something else{_way_out(recipe, circle)}"
        )
    return faults


def _in_a_circle(recipe: Recipe) -> list[str]:
    """The stages that wait for each other, or for such; those that name themselves have a message of their own."""
    order = run_order(recipe)
    stuck = [name for name in recipe.stages if name not in order]
    alone = any(name in parents(recipe, name) for name in stuck)
    return [] if alone else stuck


def _way_out(recipe: Recipe, circle: list[str]) -> str:
    """What to change, where an sft stage of the circle trains on from a stage that needs it."""
    first = next((n for n in circle if isinstance(recipe.stages[n], SftStage)), None)
    return f", as stages.{first} does from the model where its key `policy` is left out" if first else ""


def _has_base(recipe: Recipe) -> bool:
    return any(isinstance(s, SftStage) and not s.policy for s in recipe.stages.values())


def _reference_fault(recipe: Recipe, name: str, reference: Reference) -> str | None:
    target = recipe.stages.get(reference.stage)
    if reference.stage == name:
        return "a stage can't refer to itself"
    if target is None:
        return f"no stage {reference.stage!r}; {_meant(recipe, name, reference)}"
    if target.kind not in reference.kinds:
        return f"{reference.stage!r} is {_a(target.kind)} stage; this key takes {' or '.join(reference.kinds)}"
    if isinstance(target, CurateStage):
        if not reference.artifact:
            return f"name one of its sets, as in {reference.stage}.{next(iter(target.sets or ('math',)))}"
        if target.sets and reference.artifact not in target.sets:
            hint = near(reference.artifact, target.sets, f"its sets are {', '.join(target.sets)}")
            return f"{reference.stage!r} makes no set {reference.artifact!r}; {hint}"
    elif reference.artifact:
        return f"{reference.stage!r} is named without '.{reference.artifact}'"
    return None


def _meant(recipe: Recipe, name: str, reference: Reference) -> str:
    """What a reference to no stage may be meant for: a set without its stage, a file, the base model, a slip."""
    curates = {n: stage.sets for n, stage in recipe.stages.items() if isinstance(stage, CurateStage) and stage.sets}
    if reference.artifact is not None and "curate" in reference.kinds:
        if stage := next((n for n, sets in curates.items() if reference.stage in sets), None):
            return f"did you mean '{stage}.{reference.stage}'?"
        given = f"{reference.stage}.{reference.artifact}"
        if reference.artifact in FILES:
            if isinstance(recipe.stages[name], SftStage):
                return f"a file of traces is written {{path: {given}}}"
            return f"a file is a source of a curate stage; this key takes one of its sets, as {_some_set(curates)}"
    if reference.stage == BASE:
        return "base is for eval and pairs alone; training starts from an sft, select or rl stage"
    fitting = [other for other, stage in recipe.stages.items() if stage.kind in reference.kinds and other != name]
    if reference.artifact is not None and "curate" in reference.kinds:
        given = f"{reference.stage}.{reference.artifact}".strip(".")
        if close := near(given, [f"{stage}.{made}" for stage, sets in curates.items() for made in sets]):
            return close
    these = f": {', '.join(fitting)}" if fitting else ", and the recipe has none"
    *most, last = reference.kinds
    kinds = f"{', '.join(most)} or {last}" if most else last
    folder = "a model's folder or hub id stands under model.path; " if "/" in reference.stage else ""
    known = [*fitting, BASE] if reference.key.endswith("policies") else fitting
    return folder + near(reference.stage, known, f"this key takes {_a(kinds)} stage{these}")


def _a(kind: str) -> str:
    """The kind with its article."""
    return f"{'an' if kind.startswith(('sft', 'rl', 'eval')) else 'a'} {kind}"


def _some_set(curates: Mapping[str, Mapping[str, Any]]) -> str:
    return next((f"{stage}.{name}" for stage, sets in curates.items() for name in sets), "curate.math")


def _set_faults(stage: CurateStage) -> Iterator[str]:
    splits = {split for source in stage.sources for split in source.splits}
    earlier: list[str] = []
    for name, wanted in stage.sets.items():
        if wanted.split not in splits:
            yield f"sets.{name}.split: no source has split {wanted.split!r}"
        for other in wanted.disjoint_from:
            if other not in earlier:
                hint = near(other, earlier, f"those are {', '.join(earlier)}" if earlier else "it is the first one")
                yield f"sets.{name}.disjoint_from: {other!r} is not a set above it; {hint}"
        earlier.append(name)


def _circle(recipe: Recipe, stuck: list[str]) -> list[str]:
    """A closed walk along references among stages that wait for each other."""
    walk = [stuck[0]]
    while walk.count(walk[-1]) < 2:
        walk.append(next(p for p in parents(recipe, walk[-1]) if p in stuck))
    return walk[walk.index(walk[-1]) :]
