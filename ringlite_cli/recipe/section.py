"""What all sections of a recipe share: unknown keys are refused, and values do not change."""

from collections.abc import Iterator
from functools import cache
from typing import Annotated, Any, Self, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic.fields import FieldInfo

from ringlite_cli.errors import RecipeErrors, near
from ringlite_cli.problems import DOMAINS
from ringlite_cli.recipe.fault_messages import fault_messages
from ringlite_cli.recipe.key_classes import key_class, trl_class
from ringlite_cli.recipe.other_names import DOMAIN_SAID
from ringlite_cli.recipe.renamed import renamed


def _known_domain(name: str) -> str:
    if name not in DOMAINS:
        meant = DOMAIN_SAID.get(name.lower())
        hint = f"did you mean {meant!r}?" if meant else near(name.lower(), DOMAINS)
        raise ValueError(f"{name!r} is not a domain; {hint}{' ' * bool(hint)}domains are {', '.join(DOMAINS)}")
    return name


def several(given: list[str]) -> str:
    """Return the end of a message that asks for one of some keys: which are given; "" where none is."""
    return f"; {' and '.join(given)} are given" if given else ""


def _known_part(name: str) -> str:
    return name if "=" in name.strip("= ") else _known_domain(name)


def whole(shares: dict[Any, float]) -> dict[Any, float]:
    """Return shares that come to 1. Raises ValueError for others, and for none."""
    total = sum(shares.values())
    if abs(total - 1) > _ROUNDED:
        listed = " + ".join(f"{share:g}" for share in shares.values()) or "nothing"
        raise ValueError(f"the shares come to {total:g}, not to 1 ({listed})")
    return shares


_ROUNDED = 0.01  # what shares may miss 1 by, written with two or three digits
Domain = Annotated[str, AfterValidator(_known_domain)]
Part = Annotated[str, AfterValidator(_known_part)]
"""A part of a mix: a domain, or a label and its value ("level=5")."""
Condition = list[bool | str | float] | bool | str | float
"""What a label must be: a value, several, or [low, high] of a number."""
Positive = Annotated[int, Field(gt=0)]
Probability = Annotated[float, Field(gt=0, le=1)]
Seconds = Annotated[float, Field(gt=0, le=1e9)]
"""A time limit; clocks and sockets hold no more than some times that."""
Shares = Annotated[dict[Part, Probability], AfterValidator(whole)]
"""Part -> its share; they come to 1."""


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


LARGEST = 10**15
"""No number of a recipe is beyond it: what counts with one may hold it."""


@cache
def _is_of_numbers(annotation: Any) -> bool:
    """Return whether what stands there is a number, or holds numbers, and no truth value."""
    kinds = set(_kinds(annotation))
    return bool(kinds & {int, float}) and not kinds & {bool, Any}


def _kinds(annotation: Any) -> Iterator[Any]:
    yield annotation
    for part in get_args(annotation):
        yield from _kinds(part)


def _holds_truth(value: Any) -> bool:
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return isinstance(value, bool) or any(map(_holds_truth, parts))


class Section(BaseModel):
    """A part of a recipe."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _true_is_no_number(cls, value: Any, key: ValidationInfo) -> Any:
        annotation: Any = cls.model_fields[str(key.field_name)].annotation
        if _holds_truth(value) and _is_of_numbers(annotation):
            shown = str(value).lower() if isinstance(value, bool) else "true or false"
            raise ValueError(f"a number is needed, not {shown}")
        return value

    @field_validator("*")
    @classmethod
    def _no_number_is_beyond_counting(cls, value: Any) -> Any:
        if isinstance(value, int) and abs(value) > LARGEST:
            raise ValueError(f"{value} is too large; no number of a recipe is above {LARGEST}")
        return value

    @model_validator(mode="before")
    @classmethod
    def _old_names(cls, keys: Any) -> Any:
        return renamed(keys, cls.model_fields, cls.__name__)

    def objective(self) -> dict[str, Any]:
        """Return the keys that decide what is computed, in JSON's types; sections in it likewise."""
        values = {name: getattr(self, name) for name, key in type(self).model_fields.items() if _decides(key)}
        if "trl" in values:
            values["trl"] = self.unusual_trl()
        return {name: _objective(name, value) for name, value in values.items()}

    def unusual_trl(self) -> dict[str, Any]:
        """Return what stands under `trl`, but for fields that are given the value which they have anyway."""
        return dict(getattr(self, "trl", {}))

    @classmethod
    def made(cls, **keys: Any) -> Self:
        """Return the section with these keys. Raises RecipeErrors (a UserError) with every fault of them."""
        try:
            return cls(**keys)
        except ValidationError as error:
            raise RecipeErrors(fault_messages(error.errors(), cls)) from None
