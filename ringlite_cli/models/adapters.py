"""Adapters (peft) merged into the weights, also where the head and the embedding share theirs."""

import copy
import logging
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from ringlite_cli.errors import UserError
from ringlite_cli.models.adapter_kinds import check_mergeable
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
        check_mergeable(config, where)
        config.inference_mode = True
        weights = load_peft_weights(str(folder), device="cpu")
        with targets_as_given() if reads_as_given(network, config, weights) else nullcontext():
            adapted = get_peft_model(network, config)
        for wrapper in _saved_modules(adapted).values():
            wrapper.modules_to_save.float()
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
    return merged(adapted, dtype).to(dtype)


@contextmanager
def switched_off(adapted: Any) -> Iterator[None]:
    """Let the network under a peft wrapper compute without its adapter in this block.

    Which weights are trained stays as it is: peft's disable_adapter freezes the adapter meanwhile, and FSDP2 takes the
    number format of gradients from the weights that are trained in its first pass, which may be this one.
    """
    from peft.tuners.tuners_utils import BaseTunerLayer
    from peft.utils.other import AuxiliaryTrainingWrapper

    kinds = (BaseTunerLayer, AuxiliaryTrainingWrapper)  # the latter: whole modules that are trained (modules_to_save)
    layers: list[Any] = [module for module in adapted.modules() if isinstance(module, kinds)]
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
    for name, parameter, value in _finished(adapted):
        if value is not None:
            parameter.data = _rounded(value, dtype or parameter.dtype, name).to(parameter.dtype)
    network = adapted.unload()
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
    dtype: of torch, that adapted weights come in; default: their own.
    """
    for name, parameter, value in _finished(adapted):
        yield name, _whole(parameter.detach()) if value is None else _rounded(value, dtype or parameter.dtype, name)


def merges_plainly(layers: Any) -> bool:
    """Return whether every adapter is a product of two matrices that is added to a weight: LoRA without a variant.

    layers: a module, one adapted layer or a whole network.
    """
    from peft.tuners.lora.layer import LoraLayer
    from peft.tuners.tuners_utils import BaseTunerLayer

    return all(
        isinstance(layer, LoraLayer) and not layer.lora_variant and not any(layer.lora_bias.values())
        for layer in layers.modules()
        if isinstance(layer, BaseTunerLayer)
    )


def _finished(adapted: Any) -> Iterator[tuple[str, Any, Any]]:
    """Give each parameter of the network under a wrapper: its own name, itself, and what it is with the adapter in it.

    The last is whole and in float32; None for a parameter that nothing was trained beside or in.
    """
    beside, left_out = _adapters_own(adapted), _replaced(adapted)
    plain, others = _adapted_layers(adapted)
    latest: tuple[Any, dict[str, Any]] = None, {}
    for name, parameter in adapted.named_parameters():
        if id(parameter) in beside or name.startswith(left_out):
            continue
        value = None
        if layers := plain.get(id(parameter)):
            value = _sum(parameter, layers)
        elif found := others.get(id(parameter)):
            layer, place = found
            if latest[0] is not layer:
                latest = layer, _as_merged(layer)
            value = latest[1][place]
        elif ".modules_to_save." in name and parameter.dim() > 1:
            value = _whole(parameter.detach()).float()
        yield _plain_name(name), parameter, value


def _adapters_own(adapted: Any) -> set[int]:
    """The ids of parameters that are an adapter's, and none of the network's."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    layers: list[Any] = [module for module in adapted.modules() if isinstance(module, BaseTunerLayer)]
    found: set[int] = set()
    for layer in layers:
        found |= {id(p) for p in layer.parameters()} - {id(p) for p in layer.get_base_layer().parameters()}
    return found


def _saved_modules(adapted: Any) -> dict[str, Any]:
    """Modules of which a copy is trained, peft's `modules_to_save`, by their place."""
    from peft.utils.other import ModulesToSaveWrapper

    return {place: module for place, module in adapted.named_modules() if isinstance(module, ModulesToSaveWrapper)}


def _replaced(adapted: Any) -> tuple[str, ...]:
    """What names of parameters begin with that are not in use, as a copy of their module is trained."""
    found = []
    for place, module in _saved_modules(adapted).items():
        idle = module.modules_to_save.keys() - set(module.active_adapters)
        found += [f"{place}.original_module.", *(f"{place}.modules_to_save.{name}." for name in idle)]
    return tuple(found)


def _adapted_layers(adapted: Any) -> tuple[dict[int, list[Any]], dict[int, tuple[Any, str]]]:
    """By a parameter's id: the layers that add a product to it, and the layer of another form with its name there."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    plain: dict[int, list[Any]] = {}
    others: dict[int, tuple[Any, str]] = {}
    for layer in adapted.modules():
        if not isinstance(layer, BaseTunerLayer):
            continue
        if not merges_plainly(layer):
            others |= {id(p): (layer, name) for name, p in layer.get_base_layer().named_parameters()}
            continue
        weight = layer.get_param() if hasattr(layer, "get_param") else layer.get_base_layer().weight
        plain.setdefault(id(weight), []).append(layer)
    return plain, others


def _plain_name(name: str) -> str:
    """A weight's name in the network that a wrapper is around."""
    plain = re.sub(r"\.(base_layer|token_adapter|original_module)(?=\.)", "", name.removeprefix("base_model.model."))
    return re.sub(r"(^|\.)modules_to_save\.[^.]+\.", r"\1", plain)


def _sum(weight: Any, layers: list[Any]) -> Any:
    """A new tensor: the weight and the products that its adapters add, in float32."""
    import torch

    with torch.no_grad():
        total = _whole(weight.detach()).float().clone()
        for layer in layers:
            for adapter in layer.active_adapters:
                if adapter in layer.scaling:
                    total += _whole(layer.get_delta_weight(adapter)).float()
    return total


def _as_merged(layer: Any) -> dict[str, Any]:
    """The parameters of a layer whose adapter is of another form (DoRA, biases), as peft merges them in float32."""
    import torch

    whole = {id(p): torch.nn.Parameter(_whole(p.detach()).float().clone(), p.requires_grad) for p in layer.parameters()}
    again = copy.deepcopy(layer, dict(whole))
    again.merge()
    return {name: p.detach() for name, p in again.get_base_layer().named_parameters()}


def _rounded(value: Any, dtype: Any, name: str) -> Any:
    from ringlite_cli.models.rounding import round_by_chance

    return round_by_chance(value, dtype, name)


def _whole(tensor: Any) -> Any:
    return tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor


def mark_untied(network: Any) -> None:
    """Write into a network's config that its head and its embedding have weights of their own."""
    for config in {id(c): c for c in (network.config, network.config.get_text_config())}.values():
        if getattr(config, "tie_word_embeddings", False):
            config.tie_word_embeddings = False
            network.all_tied_weights_keys = {}


def check_stays_tied(adapted: Any) -> None:
    """Raise UserError where an adapter gives a head and an embedding that share their weight different ones.

    vLLM holds one weight for both.
    """
    network = adapted.get_base_model()
    head, table = network.get_output_embeddings(), network.get_input_embeddings()
    if head is None or table is None:
        return
    under = [getattr(end, "base_layer", getattr(end, "original_module", end)).weight for end in (head, table)]
    adapted_ends = any(hasattr(end, "base_layer") for end in (head, table))
    if under[0] is under[1] and (adapted_ends or head.weight is not table.weight):
        raise UserError(
            "the embedding is tied to the head, and an adapter on one would untie them; vLLM holds one weight for both",
            where="peft_config",
            hint="leave both out (target_modules, modules_to_save), or set use_vllm: false",
        )


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
