"""Later Bailing architectures, known only to be refused by name."""

from typing import Any

from transformers import PreTrainedConfig

from ringlite_cli.errors import UserError
from ringlite_cli.models.bailing_moe.configuration import SUPPORTED


def _relative(kind: str, models: str) -> type[PreTrainedConfig]:
    def refuse(self: PreTrainedConfig, *_: Any, **__: Any) -> None:
        raise UserError(f"{kind} ({models}) is not supported", where="config.json: model_type", hint=SUPPORTED)

    return type(kind, (PreTrainedConfig,), {"model_type": kind, "__init__": refuse, "__module__": __name__})


RELATIVES = (
    _relative("bailing_moe_v2", "Ling 2.0 and Ring 2.0: sigmoid routing in expert groups"),
    _relative("bailing_moe_linear", "Ring-linear 2.0: linear attention"),
    _relative("bailing_moe_linear_v2", "Ring-linear 2.0: linear attention"),
    _relative("bailing_hybrid", "Ling 2.5 and Ring 2.5: linear attention"),
)
