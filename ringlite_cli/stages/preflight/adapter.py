"""Whether an adapter that a recipe names is there and belongs to the recipe's model: by names and shapes."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ringlite_cli.errors import UserError, first_line
from ringlite_cli.models.headers import read_tensors
from ringlite_cli.models.pickled import read_pickled_tensors
from ringlite_cli.models.sizes import network_without_weights
from ringlite_cli.recipe.schema import Model
from ringlite_cli.stages.base import Finding

_KEY = "model.adapter"
_WEIGHTS, _PICKLED = "adapter_model.safetensors", "adapter_model.bin"
_HINT = "give the base model that it was trained on as model.path"


def adapter_fits(model: Model) -> Iterator[Finding]:
    """Check the files of `model.adapter`, and put it on the model's architecture without weights."""
    folder = Path(str(model.adapter)).expanduser()
    if not (folder / "adapter_config.json").is_file():
        yield Finding(_KEY, f"no adapter in {str(folder)!r}: adapter_config.json is missing")
        return
    found = next((name for name in (_WEIGHTS, _PICKLED) if (folder / name).is_file()), None)
    if found is None:
        what = f"no weights of an adapter in {str(folder)!r}: {_WEIGHTS} is missing"
        yield Finding(_KEY, what, "it may be half written; save it again")
        return
    try:
        read = read_tensors if found == _WEIGHTS else read_pickled_tensors
        held = {name: stored.shape for name, stored in read(folder / found).items()}
        adapted = _adapted(model, folder, held)
    except UserError as error:
        yield Finding(_KEY, str(error) if error.where else error.what, "" if error.where else error.hint)
        return
    except Exception as error:  # peft raises ValueError, TypeError, KeyError and more
        yield Finding(_KEY, f"the adapter does not fit the model ({first_line(error)})", _HINT)
        return
    if adapted is not None and (why := _difference(held, adapted)):
        yield Finding(_KEY, f"the adapter does not fit the model: {why}", _HINT)


def _adapted(model: Model, folder: Path, held: Iterable[str]) -> Any:
    """The architecture with the adapter on it, without weights; None where the model's config is not here."""
    from peft import PeftConfig

    from ringlite_cli.models.adapter_kinds import check_mergeable
    from ringlite_cli.models.adapters import reads_as_given
    from ringlite_cli.models.lora_targets import with_adapter

    config = PeftConfig.from_pretrained(str(folder))
    check_mergeable(config)
    try:
        network = network_without_weights(model)
    except Exception:
        return None  # what is wrong with the model itself is said elsewhere
    if network is None:
        return None
    return with_adapter(network, config, as_given=reads_as_given(network, config, held))


def _difference(held: Mapping[str, tuple[int, ...]], adapted: Any) -> str:
    from peft import get_peft_model_state_dict

    wanted: Mapping[str, Any] = get_peft_model_state_dict(adapted, save_embedding_layers=False)
    for name in sorted(wanted):
        if name not in held:
            return f"it lacks {name}"
        if held[name] != tuple(wanted[name].shape):
            return f"{name} is {list(held[name])}, and the model makes it {list(wanted[name].shape)}"
    further = sorted(held.keys() - wanted.keys() - adapted.state_dict().keys())
    return f"it holds {further[0]}, which the model has no place for" if further else ""
