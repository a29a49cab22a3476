"""What a launch file of accelerate says that a memory plan depends on: how many GPUs, and what they share."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ringlite_cli.errors import UserError

_WAYS = {"FSDP": True, "MULTI_GPU": False, "NO": False}
"""Ways of distributing (`distributed_type`), and whether GPUs share weights, gradients and optimizer."""


@dataclass(frozen=True, slots=True)
class Launched:
    """How a launch file spreads training. gpus: processes; None where it does not say. The rest: see `Machine`."""

    gpus: int | None = None
    sharded: bool = True
    offload: bool = False
    reshard: bool = True


def read_launch_file(file: Path) -> Launched:
    """Return what a launch file says. Raises UserError for one that cannot be read, or spreads in another way."""
    try:
        fields: Any = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        what = " ".join(str(error).split())
        raise UserError(f"no launch file ({what})", where=str(file), hint="`ringlite launcher` lists some") from None
    way = str(fields.get("distributed_type", "NO")).upper() if isinstance(fields, dict) else ""
    if way not in _WAYS:
        raise UserError(
            f"distributed_type: {way or 'it has no fields'} is not a way that ringlite trains in",
            where=str(file),
            hint="name FSDP or MULTI_GPU, as `ringlite launcher` has files for",
        )
    sharing: Any = fields.get("fsdp_config") or {}
    if not isinstance(sharing, dict):
        raise UserError("fsdp_config: it has no fields", where=str(file), hint="`ringlite launcher fsdp2` has them")
    return Launched(
        gpus=_count(fields.get("num_processes")),
        sharded=_WAYS[way],
        offload=_WAYS[way] and _is(sharing.get("fsdp_offload_params", False)),
        reshard=not _WAYS[way] or _is(sharing.get("fsdp_reshard_after_forward", True)),
    )


def _is(value: Any) -> bool:
    return str(value).lower() in ("true", "yes", "y", "1", "t", "on")


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and value > 0 else None
