"""The fields of the library's C3POConfig, as source text made from C3POSettings: editors and type checkers see them.

`python -m ringlite_cli.recipe.config_fields` writes them anew into train/rl/config.py; a test holds that they agree.
"""

import types
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel

from ringlite_cli.recipe.c3po import C3POSettings

FILE = Path(__file__).parents[1] / "train" / "rl" / "config.py"
_BEGIN, _END = "    # begin of C3POSettings' fields (made)\n", "    # end of C3POSettings' fields\n"


def fields() -> str:
    """Return a line of source for each key."""
    lines = []
    for name, key in C3POSettings.model_fields.items():
        section = isinstance(key.default, BaseModel)
        default = f"_DEFAULTS.{name}" if section else _literal(key.default)
        lines.append(f"    {name}: {_type(key.annotation)} = {default}\n")
    return "".join(lines)


def with_fields(source: str) -> str:
    """Return the source of config.py with its fields made anew."""
    before, _, rest = source.partition(_BEGIN)
    return before + _BEGIN + fields() + _END + rest.partition(_END)[2]


def _type(annotation: Any) -> str:
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _type(inner[0])
    if origin is Literal:
        return f"Literal[{', '.join(map(_literal, inner))}]"
    if origin in (Union, types.UnionType):
        return " | ".join("None" if part is type(None) else _type(part) for part in inner)
    return str(annotation.__name__)


def _literal(value: Any) -> str:
    if isinstance(value, str):
        return f'"{value}"'
    return f"{value:_}" if isinstance(value, int) and abs(value) >= 10_000 else repr(value)


if __name__ == "__main__":
    FILE.write_text(with_fields(FILE.read_text(encoding="utf-8")), encoding="utf-8")
