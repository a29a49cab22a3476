"""A rule of the guard that is broken."""

from dataclasses import asdict, dataclass
from typing import Any

from ringlite_cli.recipe.guard import Action


@dataclass(frozen=True, slots=True)
class Alarm:
    """A broken rule. words: the sentence for the user, with the value and the limit in it."""

    step: int
    rule: str
    action: Action
    value: float | None
    limit: float | None
    words: str

    def row(self) -> dict[str, Any]:
        return asdict(self)
