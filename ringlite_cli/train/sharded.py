"""Weights, gradients and optimizer shared out over ranks by FSDP2: what is set before, and weights read whole.

What a launcher's configuration says of it reaches accelerate; what decides whether the numbers are right is set here:

- weights are computed with in the recipe's number format, gradients are reduced in float32, and what a block returns
  is left as it is: accelerate would round losses, log-probabilities and KL to bfloat16;
- gradients are shared out after every micro-batch, where accelerate would keep those of all weights on every rank;
- a reference model is shared out block by block like the policy, where TRL would gather all of it at once.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch.distributed.checkpoint.state_dict import set_optimizer_state_dict

from ringlite_cli.c3po.router import BIAS
from ringlite_cli.errors import UserError, WorkFailed
from ringlite_cli.freeing import import_apart
from ringlite_cli.train.read_once import is_read_once, send_pieces

_RENAMED = "something has wrapped the model's layers and renamed them, a launcher's configuration for example"


def settle(accelerator: Any, model: Any = None) -> None:
    """Set what FSDP2 computes and reduces with, before anything is shared out; nothing without FSDP2.

    It belongs into the block of `read_once` in which the model is loaded, if there is one.
    model: the one that is trained. Its routers' biases for the choice of experts become buffers, which stay whole: they
    get no gradient, and so no optimizer state, which a resume would look for in vain.
    """
    plugin = getattr(accelerator.state, "fsdp_plugin", None)
    if plugin is None:
        return
    from accelerate.utils import fsdp_utils
    from torch.distributed.checkpoint import state_dict
    from torch.distributed.fsdp import MixedPrecisionPolicy

    fsdp_utils.fsdp2_load_full_state_dict = send_pieces
    state_dict.set_optimizer_state_dict = _load_optimizer  # type: ignore[assignment]
    plugin.cpu_ram_efficient_loading = is_read_once()

    if model is not None:
        check_layers(plugin.transformer_cls_names_to_wrap, model)
    formats = {"bf16": torch.bfloat16, "fp16": torch.float16}
    plugin.mixed_precision_policy = MixedPrecisionPolicy(
        param_dtype=formats.get(accelerator.mixed_precision), reduce_dtype=torch.float32, output_dtype=None
    )
    accelerator.gradient_state.plugin_kwargs["sync_each_batch"] = True
    for module in model.modules() if model is not None else ():
        bias = module._parameters.pop(BIAS, None)
        if bias is not None:
            module.register_buffer(BIAS, bias.detach())


def _load_optimizer(model: Any, optimizer: Any, state: Any, *, options: Any = None) -> None:
    """Load an optimizer as torch does, and also one that keeps nothing of its weights: of plain SGD, the rates alone.

    torch looks up a tensor of the state to tell the device by, and fails where there is none. state: on the first rank.
    """
    plain = getattr(optimizer, "optimizer", optimizer)
    if not isinstance(plain, torch.optim.SGD) or any(group["momentum"] for group in plain.param_groups):
        return set_optimizer_state_dict(model, optimizer, state, options=options)
    groups: list[Any] = [state["param_groups"] if state else None]
    torch.distributed.broadcast_object_list(groups, src=0)
    for own, saved in zip(plain.param_groups, groups[0] or [], strict=True):
        own |= {name: value for name, value in saved.items() if name != "params"}


def check_layers(named: Sequence[str] | None, model: torch.nn.Module) -> None:
    """Raise UserError where a class that the launcher's file names as a layer is not in the model."""
    own = {type(module).__name__ for module in model.modules()}
    if wrong := [name for name in named or () if name not in own]:
        layers = " or ".join(sorted(getattr(model, "_no_split_modules", None) or ())) or "its own"
        raise UserError(
            f"{', '.join(wrong)} is not in the model",
            where="the launcher's configuration (fsdp_config.fsdp_transformer_layer_cls_to_wrap)",
            hint=f"leave it out, or name {layers}",
        )


@contextmanager
def references_in_blocks() -> Iterator[None]:
    """Have TRL shard a reference model in this block as accelerate does a policy: block by block."""
    module: Any = import_apart("trl.trainer.grpo_trainer")
    plain = module.prepare_fsdp
    module.prepare_fsdp = _in_blocks
    try:
        yield
    finally:
        module.prepare_fsdp = plain


def _in_blocks(model: Any, accelerator: Any) -> Any:
    from accelerate.utils.fsdp_utils import fsdp2_prepare_model

    settle(accelerator)
    return fsdp2_prepare_model(accelerator, model.requires_grad_(False)).eval()


def whole_weights(trainer: Any, only: Callable[[str], bool] | None = None) -> dict[str, Any] | None:
    """Return the trained model's weights, whole and on the CPU, on the main rank; None on the others.

    All ranks have to call it: pieces are gathered one tensor at a time. only: leaves out the names it denies.
    """
    from torch.distributed.fsdp import FSDPModule
    from torch.distributed.tensor import DTensor

    main = trainer.accelerator.is_main_process
    model = trainer.accelerator.unwrap_model(trainer.model)
    for unit in model.modules():
        if isinstance(unit, FSDPModule):
            unit.reshard()  # a pass without a backward may have left a rounded copy in place of its pieces
    kept = model.state_dict().keys()
    if unknown := [name for name, _ in model.named_parameters() if name not in kept]:
        raise WorkFailed(
            f"{len(unknown)} weights would be missing in what is saved, {unknown[0]} for one", hint=_RENAMED
        )
    found: dict[str, Any] = {}
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):  # shared weights once
        if name not in kept or (only and not only(name)):
            continue
        whole = tensor.full_tensor() if isinstance(tensor, DTensor) else tensor
        if main:
            found[name] = whole.detach().cpu()
        del whole
    return found if main else None


def weights_by_block(model: Any) -> Iterator[tuple[str, torch.Tensor]]:
    """Give each weight of a model that FSDP2 has shared out, whole, in the number format that it is computed with.

    All ranks have to go through all of it: a block is gathered, copies of its weights are given one at a time, and it
    is given up again before the next one. A weight that is used in two places comes once.
    """
    from torch.distributed.fsdp import FSDPModule

    names = {name for name, _ in model.named_parameters()}
    for prefix, module in model.named_modules():
        if not isinstance(module, FSDPModule):
            continue
        unit: Any = module
        unit.unshard()
        try:
            for name, parameter in _own_parameters(unit, prefix):
                if name in names:
                    yield name, parameter.detach().clone()
        finally:
            unit.reshard()


def _own_parameters(unit: torch.nn.Module, prefix: str) -> Iterator[tuple[str, torch.Tensor]]:
    """Return the parameters of a unit that are in no unit within it."""
    from torch.distributed.fsdp import FSDPModule

    dot = f"{prefix}." if prefix else ""
    for name, parameter in unit.named_parameters(recurse=False):
        yield f"{dot}{name}", parameter
    for name, child in unit.named_children():
        if not isinstance(child, FSDPModule):
            yield from _own_parameters(child, f"{dot}{name}")
