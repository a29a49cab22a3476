"""What all sections of a recipe share: unknown keys are refused, and values do not change."""

from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from ringlite_cli.errors import RecipeErrors
from ringlite_cli.problems import DOMAINS
from ringlite_cli.recipe.fault_messages import fault_message


def _known_domain(name: str) -> str:
    if name not in DOMAINS:
        raise ValueError(f"{name!r} is not a domain; domains are {', '.join(DOMAINS)}")
    return name


def _known_part(name: str) -> str:
    return name if "=" in name.strip("= ") else _known_domain(name)


Domain = Annotated[str, AfterValidator(_known_domain)]
Part = Annotated[str, AfterValidator(_known_part)]
"""A part of a mix: a domain, or a label and its value ("level=5")."""
Condition = list[bool | str | float] | bool | str | float
"""What a label must be: a value, several, or [low, high] of a number."""
Positive = Annotated[int, Field(gt=0)]
Probability = Annotated[float, Field(gt=0, le=1)]


class Section(BaseModel):
    """A part of a recipe."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @classmethod
    def made(cls, **keys: Any) -> Self:
        """Return the section with these keys. Raises RecipeErrors (a UserError) with every fault of them."""
        try:
            return cls(**keys)
        except ValidationError as error:
            raise RecipeErrors([fault_message(each, cls) for each in error.errors()]) from None
