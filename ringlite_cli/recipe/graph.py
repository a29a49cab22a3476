"""References between stages as edges: which stage needs which, in what order they run, and what can't be."""

import difflib
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

from ringlite_cli.own_code import is_own
from ringlite_cli.recipe.schema import CurateStage, EvalStage, Recipe, RlProbe, RlStage, SelectStage, SftStage, Stage

BASE = "base"
"""The policy before any training, as eval names it."""

HARNESS = "lm-eval:"
"""What the names of lm-evaluation-harness's tasks begin with."""


def is_set(task: str) -> bool:
    """Whether a task of eval is a curated set (`curate.eval`), not a benchmark's name."""
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
    elif isinstance(stage, RlStage):
        if isinstance(stage.policy, str) and stage.policy:
            yield Reference("policy", stage.policy, None, ("sft", "select", "rl"))
        yield from _set_references("data", stage.data)
    elif isinstance(stage, EvalStage):
        for policy in _texts(stage.policies):
            if policy != BASE:
                yield Reference("policies", policy, None, ("sft", "select", "rl"))
        yield from _set_references("tasks", *filter(is_set, _texts(stage.tasks)))


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
        if reference.artifact is not None:
            yield Needed(reference.stage, reference.artifact)
        elif reference.key == "candidates":
            yield Needed(reference.stage, "", many=True)
        else:
            yield Needed(reference.stage, "policy")
    if isinstance(stage, EvalStage) and BASE in _texts(stage.policies):
        yield Needed(None, "base")


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
    named = {reference.stage for reference in references(recipe.stages[name])}
    stage = recipe.stages[name]
    if isinstance(stage, EvalStage) and BASE in _texts(stage.policies):
        named |= {other for other, section in recipe.stages.items() if section.kind == "sft" and not section.policy}
    return [other for other in recipe.stages if other in named]


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
    for name, stage in recipe.stages.items():
        for reference in references(stage):
            fault = "" if reference.stage in unknown else _reference_fault(recipe, name, reference)
            if fault:
                faults.append(f"stages.{name}.{reference.key}: {fault}")
        if isinstance(stage, CurateStage) and name not in unsound:
            faults += [f"stages.{name}.{fault}" for fault in _set_faults(stage)]
        if isinstance(stage, EvalStage) and BASE in _texts(stage.policies) and not unknown and not _has_base(recipe):
            faults.append(f"stages.{name}.policies: {BASE!r} is the model before SFT, but no sft stage prepares it")
    if not faults:
        stuck = [n for n in recipe.stages if n not in run_order(recipe)]
        if stuck:
            faults.append(f"stages: {' -> '.join(_circle(recipe, stuck))} is a circle; break one reference")
    return faults


def _has_base(recipe: Recipe) -> bool:
    return any(isinstance(s, SftStage) and not s.policy for s in recipe.stages.values())


def _reference_fault(recipe: Recipe, name: str, reference: Reference) -> str | None:
    target = recipe.stages.get(reference.stage)
    if reference.stage == name:
        return "a stage can't refer to itself"
    if target is None:
        near = difflib.get_close_matches(reference.stage, recipe.stages, 1)
        known = f"did you mean {near[0]!r}?" if near else f"stages are {', '.join(recipe.stages)}"
        return f"no stage {reference.stage!r}; {known}"
    if target.kind not in reference.kinds:
        return f"{reference.stage!r} is a {target.kind} stage; this key takes {' or '.join(reference.kinds)}"
    if isinstance(target, CurateStage):
        if not reference.artifact:
            return f"name one of its sets, as in {reference.stage}.{next(iter(target.sets or ('math',)))}"
        if target.sets and reference.artifact not in target.sets:
            near = difflib.get_close_matches(reference.artifact, target.sets, 1)
            known = f"did you mean {near[0]!r}?" if near else f"its sets are {', '.join(target.sets)}"
            return f"{reference.stage!r} makes no set {reference.artifact!r}; {known}"
    elif reference.artifact:
        return f"{reference.stage!r} is named without '.{reference.artifact}'"
    return None


def _set_faults(stage: CurateStage) -> Iterator[str]:
    splits = {split for source in stage.sources for split in source.splits}
    earlier: list[str] = []
    for name, wanted in stage.sets.items():
        if wanted.split not in splits:
            yield f"sets.{name}.split: no source has split {wanted.split!r}"
        for other in wanted.disjoint_from:
            if other not in earlier:
                yield f"sets.{name}.disjoint_from: {other!r} is not a set above it"
        earlier.append(name)


def _circle(recipe: Recipe, stuck: list[str]) -> list[str]:
    """A closed walk along references among stages that wait for each other."""
    walk = [stuck[0]]
    while walk.count(walk[-1]) < 2:
        walk.append(next(p for p in parents(recipe, walk[-1]) if p in stuck))
    return walk[walk.index(walk[-1]) :]
