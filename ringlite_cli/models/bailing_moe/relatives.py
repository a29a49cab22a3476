"""Later Bailing architectures, known only to be refused by name."""

from typing import Any

from transformers import PreTrainedConfig

from ringlite_cli.errors import UserError
from ringlite_cli.models import refused


def _relative(kind: str, models: str) -> type[PreTrainedConfig]:
    def refuse(self: PreTrainedConfig, *_: Any, **__: Any) -> None:
        raise UserError(f"{kind} ({models}) is not supported", where="config.json: model_type", hint=refused.SUPPORTED)

    return type(kind, (PreTrainedConfig,), {"model_type": kind, "__init__": refuse, "__module__": __name__})


RELATIVES: tuple[type[PreTrainedConfig], ...] = tuple(
    _relative(kind, models) for kind, models in refused.RELATIVES.items()
)
