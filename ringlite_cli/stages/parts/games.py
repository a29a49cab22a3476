"""Problems of games: whether the installed reasoning-gym has the scorers that verify them."""

from collections.abc import Sequence

from ringlite_cli.errors import UserError
from ringlite_cli.problems import Problem
from ringlite_cli.runs.ranks import is_follower


def require_games(problems: Sequence[Problem]) -> None:
    """Raise UserError where problems of verifier `logic-gym` cannot be verified here.

    Each response to a game of another version would be without a verdict. The first rank asks for all of them.
    """
    from ringlite_cli.data.games.making import Maker, installed_version
    from ringlite_cli.rewards.gym import games_of, require_scorers

    require_scorers(problems)
    games = games_of(problems)
    if not games or is_follower():
        return
    with Maker() as maker:
        lacking = sorted(set(games) - set(maker.games()))
    if lacking:
        count = sum(games[name] for name in lacking)
        raise UserError(
            f"reasoning-gym {installed_version()} has no game {', '.join(lacking)}, whose scorer verifies {count:,} of "
            f"{len(problems):,} problems",
            where="verifier logic-gym",
            hint="pip install -U reasoning-gym, or make the set again without these games",
        )
