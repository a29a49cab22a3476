"""The logic games that a curate stage is about to make: whether they can be made, in such numbers, and scored."""

from collections.abc import Iterator

from ringlite_cli.errors import UserError
from ringlite_cli.recipe.schema import CurateStage
from ringlite_cli.stages.base import Context, Finding

_SECONDS = 0.5
"""How long problems of a source are made for a look, beyond one of each game; the stage goes on with these.

A difficulty that cannot be made shows in the first problems. This long finds games that have no more than a few
hundred different ones, unless they are slow to make; of larger ones the stage itself says what is lacking.
"""


def games_can_be_made(context: Context) -> Iterator[Finding]:
    """Make a few problems of every gym source, and look for a jail where scorers evaluate answers."""
    from ringlite_cli.data.games.making import Maker
    from ringlite_cli.data.sources import draw
    from ringlite_cli.rewards.gym import is_installed, require_gym, require_jail

    section: CurateStage = context.section
    key = f"stages.{context.name}.sources"
    sources = {number: source for number, source in enumerate(section.sources) if source.gym is not None}
    if sources and not is_installed():
        try:
            require_gym()
        except UserError as error:
            yield Finding(f"{key}.{min(sources)}.gym", error.what, error.hint, of_machine=True)
        return
    with Maker() as maker:
        for number, source in sources.items():
            try:
                require_jail(source.gym or ())
            except UserError as error:
                yield Finding(f"{key}.{number}.gym", error.what, error.hint, of_machine=True)
            try:
                draw(source, context.recipe.seed, maker).look(source.rows or 0, _SECONDS)
            except UserError as error:
                yield Finding(f"{key}.{number}.{error.where}", error.what, error.hint)
