"""What a walk is about to do, decided before any stage works: what would be refused later is refused at once."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from ringlite_cli.errors import UserError
from ringlite_cli.recipe.graph import parents
from ringlite_cli.runs.manifest import Manifest, read_manifest
from ringlite_cli.runs.previous import kept_results
from ringlite_cli.stages.base import Context
from ringlite_cli.stages.kinds import KINDS
from ringlite_cli.stages.walk.decide import (
    Walk,
    are_of_parents,
    decide,
    is_at_work,
    refusal,
    refuse_in_the_way,
    refuse_nameless,
    refuse_past_the_end,
)
from ringlite_cli.stages.walk.making import Comparison, manifest_by, outside_inputs


@dataclass
class Foreseen:
    """What a walk is about to do.

    at_work: the stages that have to work, as far as is known. refusals: of interrupted stages that can't go on.
    """

    at_work: list[str] = field(default_factory=list)
    refusals: list[UserError] = field(default_factory=list)


def foresee(context_of: Mapping[str, Context], walk: Walk) -> Foreseen:
    """Decide about all stages of a walk as far as that is possible before any of them works.

    A stage that reads one which has to work is at work too. Raises UserError where a stage reads one that is neither
    done nor in the walk.
    """
    found, made = Foreseen(), dict[str, Manifest]()
    for name in walk.stages:
        context = context_of[name]
        above = parents(context.recipe, name)
        for parent in above:
            if parent not in made and parent not in found.at_work:
                made[parent] = context.done(parent)
        try:
            if any(parent in found.at_work for parent in above):
                _check_pending(context, walk)
                standing = None
            else:
                standing = decide(context, walk, made).standing
        except UserError as refused:
            found.refusals.append(refused)
            standing = None
        if standing:
            made[name] = standing
        else:
            found.at_work.append(name)
    return found


def _check_pending(context: Context, walk: Walk) -> None:
    """Raise UserError as `decide` does for a stage whose inputs are still to be made, by its keys alone."""
    refuse_in_the_way(context.folder)
    kind, before = KINDS[context.section.kind], read_manifest(context.folder)
    if before is None and not walk.fresh:
        refuse_nameless(context)
    if before is None or walk.fresh or not is_at_work(kind, before, context.folder):
        return
    refuse_past_the_end(context, kind)
    above = {name: entry for name, entry in before.inputs.items() if are_of_parents([name], before.parent)}
    manifest, now = manifest_by(context, kind, above | outside_inputs(context, kind, before))
    same = Comparison.of(context, kind, manifest)
    changes = same.identity_of(before).changes_to(now)
    differs = changes.keys or not are_of_parents(changes.inputs, manifest.parent)
    if differs and not changes.only_length and not (walk.go_on and not changes.fixed):
        if any(same.is_as(now, old) for old in kept_results(context.run, context.name)):
            return
        raise refusal(context, kind, changes, walk)
