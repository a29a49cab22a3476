"""What all sections of a recipe share: unknown keys are refused, and values do not change."""

from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from pydantic.fields import FieldInfo

from ringlite_cli.errors import RecipeErrors
from ringlite_cli.problems import DOMAINS
from ringlite_cli.recipe.fault_messages import fault_message
from ringlite_cli.recipe.key_classes import key_class, trl_class


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


def _decides(key: FieldInfo) -> bool:
    return key_class(key) != "operational"


def _objective(name: str, value: Any) -> Any:
    if isinstance(value, Section):
        return value.objective() or None  # a section that decides nothing is as good as none
    if isinstance(value, dict):
        kept = {k: v for k, v in value.items() if name != "trl" or trl_class(str(k)) != "operational"}
        return {str(k): _objective("", v) for k, v in kept.items()}
    if isinstance(value, list | tuple):
        return [_objective("", each) for each in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


class Section(BaseModel):
    """A part of a recipe."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    def objective(self) -> dict[str, Any]:
        """Return the keys that decide what is computed, in JSON's types; sections in it likewise."""
        values = {name: getattr(self, name) for name, key in type(self).model_fields.items() if _decides(key)}
        return {name: _objective(name, value) for name, value in values.items()}

    @classmethod
    def made(cls, **keys: Any) -> Self:
        """Return the section with these keys. Raises RecipeErrors (a UserError) with every fault of them."""
        try:
            return cls(**keys)
        except ValidationError as error:
            raise RecipeErrors([fault_message(each, cls) for each in error.errors()]) from None
