"""Adapters (peft) merged into the weights, also where the head and the embedding share theirs."""

import logging
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from ringlite_cli.errors import UserError
from ringlite_cli.models.lora_targets import targets_as_given, with_adapter

log = logging.getLogger(__name__)

_SHOWN = 3


def merge_adapter(network: Any, folder: Path) -> Any:
    """Return the network with the adapter of a folder merged into its weights.

    Raises UserError for a folder that is no adapter, or whose tensors are not those of this network.
    """
    from peft import PeftConfig, get_peft_model, load_peft_weights, set_peft_model_state_dict

    where = f"model.adapter: {folder}"
    if not (folder / "adapter_config.json").is_file():
        raise UserError("no adapter there (adapter_config.json is missing)", where=where)
    dtype = network.dtype
    try:
        config = PeftConfig.from_pretrained(str(folder))
        config.inference_mode = True
        weights = load_peft_weights(str(folder), device="cpu")
        with targets_as_given() if reads_as_given(network, config, weights) else nullcontext():
            adapted = get_peft_model(network, config, autocast_adapter_dtype=False)
        loaded: Any = set_peft_model_state_dict(adapted, weights)
    except (ValueError, RuntimeError, TypeError, OSError, KeyError) as error:
        raise UserError(
            f"the adapter does not fit the model ({' '.join(str(error).split())[:300]})",
            where=where,
            hint="give the base model that it was trained on as model.path",
        ) from None
    expected = {name.replace(".default", "") for name, p in adapted.named_parameters() if _is_adapters(name)}
    missing = sorted(name for name in loaded.missing_keys if _is_adapters(name))
    extra = sorted(loaded.unexpected_keys)
    if missing or extra or not expected:
        what = f"lacks {missing[:_SHOWN]}" if missing else f"holds {extra[:_SHOWN]}, which the model has no place for"
        raise UserError(
            f"the adapter does not fit the model: it {what}",
            where=where,
            hint="give the base model that it was trained on as model.path",
        )
    if bad := [name for name, x in weights.items() if not bool(x.isfinite().all())]:
        raise UserError(f"the adapter holds weights that are not finite, as {bad[0]}", where=where)
    log.warning("%s: merged into the model", folder)
    return merged(adapted).to(dtype)


@contextmanager
def switched_off(adapted: Any) -> Iterator[None]:
    """Let the network under a peft wrapper compute without its adapter in this block.

    Which weights are trained stays as it is: peft's disable_adapter freezes the adapter meanwhile, and FSDP2 takes the
    number format of gradients from the weights that are trained in its first pass, which may be this one.
    """
    from peft.tuners.tuners_utils import BaseTunerLayer

    layers = [module for module in adapted.modules() if isinstance(module, BaseTunerLayer)]
    before = [layer._disable_adapters for layer in layers]
    for layer in layers:
        layer._disable_adapters = True
    try:
        yield
    finally:
        for layer, off in zip(layers, before, strict=True):
            layer._disable_adapters = off


def reads_as_given(network: Any, config: Any, held: Iterable[str]) -> bool:
    """Return whether the tensors of an adapter's file are of the layers that its config names.

    Else peft takes the names for those of transformers 4, which had layers for each expert of a mixture.
    config: peft's. held: names of the tensors.
    """
    from peft import get_peft_model_state_dict

    try:
        wanted: Mapping[str, Any] = get_peft_model_state_dict(
            with_adapter(network, config), save_embedding_layers=False
        )
    except (ValueError, RuntimeError, TypeError, KeyError, NotImplementedError):
        return False  # peft says why when it reads them in its own way
    return wanted.keys() <= set(held)


def merged(adapted: Any, dtype: Any = None) -> Any:
    """Return the network under a peft wrapper, with the adapter in its weights.

    dtype: of torch, that the weights will be written in; default: their own.

    A head and an embedding that share their weight are taken apart first where an adapter changes one of them only;
    the config then says that they are not tied.
    """
    _untie(adapted)
    if merges_plainly(adapted):
        layers = _adapted_layers(adapted)
        for name, parameter in adapted.named_parameters():
            if own := layers.get(id(parameter)):
                rounded = _with_adapters(parameter, own, _plain_name(name), dtype)
                parameter.data = rounded.to(parameter.dtype)
        network = adapted.unload()
    else:
        network = adapted.merge_and_unload()
    head, table = network.get_output_embeddings(), network.get_input_embeddings()
    if head is not None and table is not None and head.weight is not table.weight:
        mark_untied(network)
    return network


def merged_apart(adapted: Any, folder: Path, weights: Mapping[str, Any], dtype: Any = None) -> Any:
    """Return as `merged`, where the base's weights are shared out over ranks: it is read again from its folder.

    adapted: the wrapper that was trained. weights: of its adapter, whole, by their names in it. dtype: as in `merged`.
    """
    import torch
    from peft import get_peft_model
    from transformers import AutoModelForCausalLM

    base = AutoModelForCausalLM.from_pretrained(str(folder), dtype=torch.float32)
    with targets_as_given():
        again = get_peft_model(base, adapted.peft_config[adapted.active_adapter])
    unknown = again.load_state_dict(dict(weights), strict=False).unexpected_keys
    assert not unknown, f"{unknown[:_SHOWN]} have no place in {folder}"
    return merged(again, dtype)


def merged_weights(adapted: Any, dtype: Any = None) -> Iterator[tuple[str, Any]]:
    """Give each weight of the network under a peft wrapper with its adapter in it, under the network's own name.

    One at a time, and no weight is changed: peft's own merging into 16-bit weights and back would leave the frozen
    ones a little different each time. Weights in pieces (DTensor) come whole, so every rank has to go through all.
    For adapters of which `merges_plainly` holds. dtype: of torch, that adapted weights come in; default: their own.
    """
    layers = _adapted_layers(adapted)
    for name, parameter in adapted.named_parameters():
        if adapted.prefix in name or "original_module" in name:
            continue
        own, plain = layers.get(id(parameter), []), _plain_name(name)
        yield plain, _with_adapters(parameter, own, plain, dtype) if own else _whole(parameter.detach())


def merges_plainly(adapted: Any) -> bool:
    """Return whether every adapter is a product of two matrices that is added to a weight: LoRA without a variant."""
    from peft.tuners.lora.layer import LoraLayer
    from peft.tuners.tuners_utils import BaseTunerLayer

    layers = [module for module in adapted.modules() if isinstance(module, BaseTunerLayer)]
    return all(
        isinstance(layer, LoraLayer) and not layer.lora_variant and not any(layer.lora_bias.values())
        for layer in layers
    )


def _adapted_layers(adapted: Any) -> dict[int, list[Any]]:
    """The adapters of each weight, by the weight's id."""
    from peft.tuners.lora.layer import LoraLayer

    found: dict[int, list[Any]] = {}
    for module in adapted.modules():
        if isinstance(module, LoraLayer):
            weight = module.get_param() if hasattr(module, "get_param") else module.get_base_layer().weight
            found.setdefault(id(weight), []).append(module)
    return found


def _plain_name(name: str) -> str:
    """A weight's name in the network that a wrapper is around."""
    plain = name.removeprefix("base_model.model.").replace(".base_layer", "")
    return plain.replace("modules_to_save.default.", "")


def _with_adapters(weight: Any, layers: list[Any], name: str, dtype: Any) -> Any:
    """A new tensor: the weight and its adapters, added in float32 and rounded once, by chance, to 16 bits.

    dtype: the number format; None for the weight's own.
    """
    import torch

    from ringlite_cli.models.rounding import round_by_chance

    with torch.no_grad():
        total = None
        for layer in layers:
            for adapter in layer.active_adapters:
                if adapter in layer.scaling:
                    delta = _whole(layer.get_delta_weight(adapter)).float()
                    total = delta if total is None else total.add_(delta)
        whole = _whole(weight.detach())
        return whole if total is None else round_by_chance(total.add_(whole), dtype or whole.dtype, name)


def _whole(tensor: Any) -> Any:
    return tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor


def mark_untied(network: Any) -> None:
    """Write into a network's config that its head and its embedding have weights of their own."""
    for config in {id(c): c for c in (network.config, network.config.get_text_config())}.values():
        if getattr(config, "tie_word_embeddings", False):
            config.tie_word_embeddings = False
            network.all_tied_weights_keys = {}


def _untie(adapted: Any) -> None:
    import torch

    network = adapted.get_base_model()
    head, table = network.get_output_embeddings(), network.get_input_embeddings()
    if head is None or table is None:
        return
    layers = [getattr(layer, "base_layer", layer) for layer in (head, table)]
    changed = [layer is not own for layer, own in zip(layers, (head, table), strict=True)]
    if layers[0].weight is layers[1].weight and any(changed):
        layers[0].weight = torch.nn.Parameter(layers[1].weight.detach().clone(), requires_grad=False)


def _is_adapters(name: str) -> bool:
    return "lora_" in name or "modules_to_save" in name
