"""What a LoRA adapter would change in a model, found from its config without its weights."""

import logging
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from math import prod
from typing import Any

from ringlite_cli.errors import UserError

log = logging.getLogger(__name__)

_SHOWN = 4


def check_lora(config: Any, lora: Mapping[str, Any], *, where: str = "lora", uses_vllm: bool = False) -> None:
    """Try an adapter on the architecture of a config, and warn of experts that it leaves as they are.

    lora: fields of peft's LoraConfig. uses_vllm: an engine gets the merged weights during training. Raises UserError
    for targets that match nothing, for the language-model head, and for settings that peft refuses.
    """
    import torch
    from peft import get_peft_model
    from transformers import AutoModelForCausalLM

    with torch.device("meta"):
        network = AutoModelForCausalLM.from_config(config)
    _check_names(network, lora, where)
    hint, more = _linear_names(network), dict(_with_more(network))
    try:
        with torch.device("meta"), warnings.catch_warnings(), targets_as_given():
            warnings.simplefilter("ignore")
            adapted = get_peft_model(network, lora_config(lora, where))
    except UserError:
        raise
    except Exception as error:  # peft raises ValueError, TypeError, NotImplementedError and more
        raise UserError(
            f"peft refuses these settings ({' '.join(str(error).split())[:300]})",
            where=where,
            hint=hint,
        ) from None
    base = adapted.get_base_model()
    _check_layers(base, more, where)
    if _is_adapted(base.get_output_embeddings()):
        raise UserError(
            "an adapter of the language-model head would not be trained: the loss reads the head's own weights",
            where=f"{where}.target_modules",
            hint="leave the head out; all-linear does",
        )
    tied = getattr(config.get_text_config(), "tie_word_embeddings", False)
    if uses_vllm and tied and _is_adapted(base.get_input_embeddings()):
        raise UserError(
            "the embedding is tied to the head, and an adapter on it would untie them; vLLM holds one weight for both",
            where=f"{where}.target_modules",
            hint="leave the embedding out, or set trl.use_vllm: false",
        )
    _tell_what_is_left_out(adapted, lora)


def lora_config(lora: Mapping[str, Any], where: str = "lora") -> Any:
    """Return peft's LoraConfig of a recipe's section. Raises UserError for values that peft refuses."""
    from peft import LoraConfig

    fields = {"task_type": "CAUSAL_LM", "target_modules": "all-linear"} | dict(lora)
    try:
        return LoraConfig(**{name: value for name, value in fields.items() if value is not None})
    except (TypeError, ValueError) as error:
        raise UserError(f"peft refuses these settings ({str(error).splitlines()[0]})", where=where) from None


@contextmanager
def targets_as_given() -> Iterator[None]:
    """Let peft adapt in this block exactly the modules and parameters that an adapter's config names.

    For adapters of transformers 4 it reads the names gate, gate_proj, up_proj and down_proj of a mixture, those of
    all-linear too, as its router and its stacked experts: these would be adapted, at twice the rank, and the linear
    layers of that name (shared experts, dense layers) would not. all-linear leaves out layers that do more than
    multiply by their weight, as some routers do, and those that peft refuses.
    """
    from peft.tuners import tuners_utils as tuners
    from peft.utils import transformers_weight_conversion as conversion

    convert, all_linear = conversion.convert_peft_config_for_transformers, tuners._maybe_include_all_linear_layers

    def plain_ones(config: Any, network: Any) -> Any:
        given = config.target_modules
        found = all_linear(config, network)
        if isinstance(given, str) and not isinstance(found.target_modules, str):
            left = {name for name, _ in _with_more(network)}
            found.target_modules = {
                x for x in found.target_modules if x not in left and not _refused(found, network, x)
            }
        return found

    conversion.convert_peft_config_for_transformers = lambda *_, **__: None
    tuners._maybe_include_all_linear_layers = plain_ones  # type: ignore[assignment]
    try:
        yield
    finally:
        conversion.convert_peft_config_for_transformers = convert
        tuners._maybe_include_all_linear_layers = all_linear


def _with_more(network: Any) -> Iterator[tuple[str, Any]]:
    """Give the linear layers, by name, whose output is not their input times their weight."""
    import torch

    found: dict[type, bool] = {}
    for name, module in network.named_modules():
        kind = type(module)
        if isinstance(module, torch.nn.Linear) and kind.forward is not torch.nn.Linear.forward:
            if kind not in found:
                found[kind] = not _multiplies(module)
            if found[kind]:
                yield name, module


def _refused(config: Any, network: Any, name: str) -> bool:
    """Return whether peft refuses an adapter of this layer: state-space kernels read the weights of some themselves."""
    from peft.tuners.tuners_utils import _check_lora_target_modules_mamba

    try:
        _check_lora_target_modules_mamba(config, network, name.rsplit(".", 1)[-1])
    except ValueError:
        return True
    return False


def _multiplies(layer: Any) -> bool:
    """Return whether a class of linear layers with a forward of its own computes what torch's does, tried in small."""
    import torch

    weight = torch.linspace(-1, 1, 48, device="cpu").reshape(8, 6)
    tokens = torch.linspace(-1, 2, 30, device="cpu").reshape(1, 5, 6)
    small = object.__new__(type(layer))
    small.__dict__ = layer.__dict__ | {"_parameters": {"weight": torch.nn.Parameter(weight), "bias": None}}
    small.in_features, small.out_features = 6, 8
    try:
        with torch.no_grad():
            made = small(tokens)
    except Exception:  # it asks for more than an input, or for other shapes
        return False
    wanted = tokens @ weight.T
    return isinstance(made, torch.Tensor) and made.shape == wanted.shape and torch.allclose(made, wanted, atol=1e-4)


def with_adapter(network: Any, config: Any, *, as_given: bool = True) -> Any:
    """Return a copy of a network with an adapter, both without weights, on the meta device.

    config: peft's. as_given: see `targets_as_given`; peft's own reading otherwise.
    """
    import copy

    import torch
    from peft import get_peft_model

    with torch.device("meta"), warnings.catch_warnings(), targets_as_given() if as_given else nullcontext():
        warnings.simplefilter("ignore")
        bare = type(network)(copy.deepcopy(network.config))
        return get_peft_model(bare, copy.deepcopy(config))


def _check_names(network: Any, lora: Mapping[str, Any], where: str) -> None:
    """Raise UserError for a name in a list of targets that no module, or no parameter, ends with."""
    modules = [name for name, _ in network.named_modules()]
    parameters = [name for name, _ in network.named_parameters()]
    for key, known in (("target_modules", modules), ("target_parameters", parameters)):
        given = lora.get(key)
        for wanted in given if isinstance(given, list) else []:
            if not any(name == wanted or name.endswith(f".{wanted}") for name in known):
                hint = _linear_names(network) if key == "target_modules" else _stacked_hint(network)
                raise UserError(
                    f"{wanted!r} is in no layer of {type(network).__name__}", where=f"{where}.{key}", hint=hint
                )
        if isinstance(given, str) and given != "all-linear":
            try:
                matches = any(re.fullmatch(given, name) for name in known)
            except re.error as error:
                raise UserError(f"{given!r} is no regular expression ({error})", where=f"{where}.{key}") from None
            if not matches:
                listed = f"a text is a pattern for whole names; write [{given}]"
                named = any(name.endswith(f".{given}") for name in known)
                raise UserError(
                    f"{given!r} matches no module of {type(network).__name__}",
                    where=f"{where}.{key}",
                    hint=listed if named else _linear_names(network),
                )


def _check_layers(base: Any, more: Mapping[str, Any], where: str) -> None:
    """Raise UserError where a layer that does more than multiply has an adapter. more: those layers."""
    held = {id(layer) for layer in more.values()}
    for name, wrapper in base.named_modules():
        if id(layer := getattr(wrapper, "base_layer", None)) in held:
            raise UserError(
                f"{name.rsplit('.', 1)[-1]!r} ({type(layer).__name__}) does more than multiply by its weight, so that "
                "an adapter cannot be merged into it",
                where=f"{where}.target_modules",
                hint="leave it out; all-linear does",
            )


def _linear_names(network: Any) -> str:
    import torch

    head = network.get_output_embeddings()
    more = {name for name, _ in _with_more(network)}
    names = {
        name.rsplit(".", 1)[-1]
        for name, module in network.named_modules()
        if isinstance(module, torch.nn.Linear) and module is not head and name not in more
    }
    stacked = f"; {_stacked_hint(network)} (target_parameters)" if _stacked(network) else ""
    return f"linear layers are {', '.join(sorted(names))}{stacked}"


def _stacked(network: Any) -> dict[str, Any]:
    """Parameters that hold one matrix for each of several experts."""
    return {name: p for name, p in network.named_parameters() if p.dim() == 3 and "expert" in name}


def _stacked_hint(network: Any) -> str:
    names = _short_names(_stacked(network))
    return f"stacked experts are {names}" if names else "this model has no stacked experts"


def _short_names(stacked: Mapping[str, Any]) -> str:
    """The names of stacked experts from the layer on: mlp.experts.gate_up_proj, mlp.experts.down_proj."""
    ends = {re.sub(r"^.*\.\d+\.", "", name).replace(".base_layer", "") for name in stacked}
    return ", ".join(sorted(ends)[:_SHOWN])


def _is_adapted(module: Any) -> bool:
    return module is not None and (hasattr(module, "base_layer") or hasattr(module, "modules_to_save"))


def _left_out(adapted: Any) -> list[str]:
    """Return the names of the linear layers without an adapter, but for the head."""
    import torch

    base = adapted.get_base_model()
    head, held = base.get_output_embeddings(), {id(getattr(x, "base_layer", None)) for x in base.modules()}
    bare = {
        name.rsplit(".", 1)[-1]
        for name, module in base.named_modules()
        if isinstance(module, torch.nn.Linear) and module is not head and id(module) not in held and "lora_" not in name
    }
    return sorted(bare)


def _tell_what_is_left_out(adapted: Any, lora: Mapping[str, Any]) -> None:
    """Warn of linear layers that all-linear leaves out, and of stacked experts without an adapter, with their share."""
    if lora.get("target_modules", "all-linear") == "all-linear" and (names := _left_out(adapted)):
        log.warning(
            "lora: all-linear leaves out %s: peft can adapt no such layer of %s",
            *(", ".join(names), type(adapted.get_base_model()).__name__),
        )
    wanted = [str(name) for name in lora.get("target_parameters") or []]
    base = adapted.get_base_model()
    left = {
        name: p
        for name, p in _stacked(base).items()
        if not any(name.replace(".base_layer", "").endswith(target) for target in wanted) and "lora_" not in name
    }
    if not left:
        return
    whole = sum(prod(p.shape) for name, p in base.named_parameters() if "lora_" not in name)
    share = sum(prod(p.shape) for p in left.values()) / max(whole, 1)
    log.warning(
        "lora: the experts (%s), %.0f %% of the weights, get no adapter, for they are no linear layers; "
        "target_parameters: [%s] adapts them",
        *(_short_names(left), 100 * share, _short_names(left)),
    )
