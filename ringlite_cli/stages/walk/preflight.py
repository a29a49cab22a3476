"""Makes the checks of all stages that are about to work, and reports every fault in one message."""

import logging
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from ringlite_cli.console import Console
from ringlite_cli.errors import RecipeErrors, UserError, WorkFailed
from ringlite_cli.recipe.schema import Recipe
from ringlite_cli.runs.provenance import untested
from ringlite_cli.runs.sharding import launched_sharded
from ringlite_cli.stages.base import Check, Context, Finding
from ringlite_cli.stages.kinds import KINDS
from ringlite_cli.stages.walk.failures import as_failure

log = logging.getLogger(__name__)


def findings(recipe: Recipe, run: Path, stages: Collection[str], console: Console) -> list[Finding]:
    """Return what the checks of these stages find, each once. Nothing on disk is changed.

    run: the run's folder, where finished stages may lie; it need not exist.
    """
    found: dict[str, Finding] = {}
    for stage in stages:
        context = Context(recipe, stage, run, console, frozenset(stages))
        for check in KINDS[context.section.kind].preflight():
            for finding in _made(check, context):
                found.setdefault(str(finding), finding)
    return list(found.values())


def check_before(
    recipe: Recipe, run: Path, stages: Collection[str], console: Console, refusals: Sequence[UserError] = ()
) -> None:
    """Warn of what the user should know. Raises RecipeErrors (a UserError) with all that would stop these stages.

    refusals: what is known already to stop them.
    """
    launched_sharded()  # raises for a launcher's configuration that cannot work
    for package, text in untested().items():
        console.warn(f"{package} {text} was never run with this ringlite; `ringlite doctor` says what to do")
    found = findings(recipe, run, stages, console)
    for finding in found:
        if not finding.fatal:
            console.warn(str(finding))
    fatal = [str(finding) for finding in found if finding.fatal] + [str(refusal) for refusal in refusals]
    if fatal:
        raise RecipeErrors(fatal)


def _made(check: Check, context: Context) -> Iterator[Finding]:
    """The findings of a check; a fault that it raises is one too, and a bug in it stops no run."""
    where = f"stages.{context.name}"
    try:
        yield from check(context)
    except (UserError, WorkFailed) as error:
        yield Finding(where, str(error))
    except OSError as error:
        yield Finding(where, str(as_failure(error, context.run) or error), of_machine=True)
    except Exception as error:
        log.debug("%s failed", check.__name__, exc_info=True)
        what = f"the check {check.__name__} could not be made ({type(error).__name__}: {error})"
        yield Finding(where, what, fatal=False)
