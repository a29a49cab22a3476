"""A reward model's folder: whether it holds a classifier of sequences with one score, its size, and loading it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ringlite_cli.errors import UserError, first_line
from ringlite_cli.models import register
from ringlite_cli.models.headers import Headers, read_headers

HEAD = "score.weight"
"""The tensor of a decoder's score, as transformers calls it."""
_ENDING = "ForSequenceClassification"
_TRAINS = "a stage `kind: reward-model` trains one"
_TOGETHER = "config.json and the weights are of two models; save both together"


def reward_model_faults(folder: Path) -> Iterator[tuple[str, str]]:
    """Yield what is wrong with a folder of a reward model, and what to do: by its config, headers and tokenizer."""
    try:
        config = _config(str(folder))
        headers = read_headers(folder)
    except UserError as error:
        yield error.what, error.hint
        return
    if faults := list(_config_faults(config, str(folder))):
        yield from faults
        return
    if not headers and not any(folder.glob("pytorch_model*.bin")):
        yield f"no weights in {folder}", "it may be half written; save it again"
    elif headers and HEAD not in headers and _is_decoder(config):
        yield f"the weights in {folder} hold no {HEAD}: its scores would be random numbers", _TRAINS
    for name, there, wanted in _misshaped(config, headers):
        yield _of_another_shape(name, there, wanted), _TOGETHER
    try:
        tokenizer = tokenizer_of(str(folder))
    except UserError as error:
        yield error.what, error.hint
        return
    rows = getattr(config.get_text_config(), "vocab_size", None)
    if rows and max(tokenizer.get_vocab().values(), default=0) >= rows:
        yield f"the tokenizer of {folder} has more tokens than the {rows:,} of its model", "save both together"


def reward_model_size(name: str) -> tuple[int, Any, int]:
    """Return the bytes of a reward model's weights on a GPU, its config and the bytes of a weight, without loading it.

    name: a folder, or a hub id whose config is cached. Raises UserError where neither is there.
    """
    config = _config(name, local=True)
    network = _without_content(config)
    return int(network.num_parameters()) * _width(config), config, _width(config)


def load_reward_model(name: str, device: str) -> tuple[Any, Any]:
    """Return the network and the tokenizer of a folder or hub id, on a device.

    On a GPU it is computed with as it was saved, its head in float32; elsewhere in float32. Raises UserError for what
    is no reward model, or would have weights that the folder does not hold.
    """
    import torch
    from transformers import AutoModelForSequenceClassification

    config = _config(name)
    for what, hint in _config_faults(config, name):
        raise UserError(what, where="rewards.reward_model", hint=hint)
    dtype = getattr(torch, _format(config)) if device.startswith("cuda") else torch.float32
    try:
        network, info = AutoModelForSequenceClassification.from_pretrained(
            name, dtype=dtype, output_loading_info=True, ignore_mismatched_sizes=True
        )
    except Exception as error:  # hub, config and safetensors faults share no base class
        if isinstance(error, MemoryError):
            raise
        raise UserError(
            f"the reward model can't be loaded ({first_line(error)})", where=f"rewards.reward_model: {name}"
        ) from None
    if wrong := sorted((name, tuple(there), tuple(wanted)) for name, there, wanted in info["mismatched_keys"]):
        what = "; ".join(_of_another_shape(*each) for each in wrong)
        raise UserError(what, where=f"rewards.reward_model: {name}", hint=_TOGETHER)
    if missing := sorted(info["missing_keys"]):
        what = f"its weights lack {missing[0]}" + (f" and {len(missing) - 1} more" if missing[1:] else "")
        raise UserError(f"{what}, which would be random numbers", where=f"rewards.reward_model: {name}", hint=_TRAINS)
    return _placed(network.eval(), name, device), tokenizer_of(name)


def usable_positions(network: Any) -> int | None:
    """Return the positions that a table of them has for text; None where the model computes them.

    In the family of RoBERTa the first ones belong to padding.
    """
    for name, part in network.named_modules():
        if name.endswith("position_embeddings") and hasattr(part, "num_embeddings"):
            return int(part.num_embeddings) - (0 if part.padding_idx is None else int(part.padding_idx) + 1)
    return None


def _without_content(config: Any) -> Any:
    """The classifier of a config, without its numbers."""
    import torch
    from transformers import AutoModelForSequenceClassification

    with torch.device("meta"):
        return AutoModelForSequenceClassification.from_config(config)


def _misshaped(config: Any, headers: Headers) -> Iterator[tuple[str, tuple[int, ...], tuple[int, ...]]]:
    """Yield (name, shape, shape by the config) of tensors that differ, among those that have the model's own names."""
    for name, tensor in _without_content(config).state_dict().items() if headers else ():
        if name in headers and tuple(headers[name].shape) != tuple(tensor.shape):
            yield name, tuple(headers[name].shape), tuple(tensor.shape)


def _of_another_shape(name: str, there: tuple[int, ...], wanted: tuple[int, ...]) -> str:
    return f"{name} is of the shape {list(there)} in the weights, and of {list(wanted)} by the config"


def _placed(network: Any, name: str, device: str) -> Any:
    """The network on a device. Raises UserError where that has no room."""
    import torch

    try:
        network = network.to(device)
    except torch.OutOfMemoryError:
        free, _ = torch.cuda.mem_get_info(device)
        size = sum(x.numel() * x.element_size() for x in network.parameters())
        raise UserError(
            f"the reward model needs {size / 2**30:,.2f} GiB, and {free / 2**30:,.2f} GiB are free on {device}",
            where=f"rewards.reward_model: {name}",
            hint="lower the engine's gpu_memory_utilization, or set rewards.reward_model_device: cpu",
        ) from None
    head = getattr(network, "score", None)
    if head is not None and head.weight.dtype != torch.float32:
        head.float().register_forward_pre_hook(lambda _, given: (given[0].float(),))
    return network


def _config_faults(config: Any, name: str) -> Iterator[tuple[str, str]]:
    from transformers.models.auto.modeling_auto import MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING

    named = (getattr(config, "architectures", None) or [""])[0]
    if type(config) not in MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING:
        yield f"transformers has no classifier of sequences of the kind {config.model_type}", _TRAINS
    elif named and not named.endswith(_ENDING):
        yield f"{name} holds a {named}, and no classifier of sequences", _TRAINS
    elif config.num_labels != 1:
        yield (
            f"{name} has {config.num_labels} labels, and a reward model has one, its score",
            "a classifier of several classes is no reward; " + _TRAINS,
        )


def _config(name: str, *, local: bool = False) -> Any:
    from transformers import AutoConfig

    register()
    try:
        return AutoConfig.from_pretrained(name, local_files_only=local)
    except Exception as error:  # transformers reads configs with many kinds of exception
        raise UserError(
            f"the config of {name} cannot be read ({first_line(error)})", where="rewards.reward_model"
        ) from (None)


def tokenizer_of(name: str) -> Any:
    """Return the tokenizer of a folder or hub id. Raises UserError where it can't be loaded."""
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(name)
    except Exception as error:  # tokenizers of all kinds raise exceptions of all kinds
        what = f"the tokenizer of {name} can't be loaded ({first_line(error)})"
        raise UserError(what, where="rewards.reward_model", hint="save it beside the weights") from None


def _is_decoder(config: Any) -> bool:
    from transformers.modeling_layers import GenericForSequenceClassification
    from transformers.models.auto.modeling_auto import MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING

    kind = MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING.get(type(config), None)
    return isinstance(kind, type) and issubclass(kind, GenericForSequenceClassification)


def _format(config: Any) -> str:
    found = str(getattr(config, "dtype", None) or "float32").removeprefix("torch.")
    return found if found in ("bfloat16", "float16") else "float32"


def _width(config: Any) -> int:
    return 4 if _format(config) == "float32" else 2
