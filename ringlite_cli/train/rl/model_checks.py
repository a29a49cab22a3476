"""What a model must be able to do before C3PO trains it, tried on a few tokens. All ranks check alike."""

from typing import Any

import torch

from ringlite_cli.c3po.packing import base_causal_lm, evaluating
from ringlite_cli.c3po.router import (
    RouterTap,
    check_router_is_trained,
    check_router_is_visible,
    check_router_learns,
    router_parameters,
)
from ringlite_cli.c3po.row_path import choose_path, small_copy, take_path
from ringlite_cli.errors import UserError
from ringlite_cli.models.adapter_kinds import check_shareable
from ringlite_cli.models.experts import name_experts

FUSED_TOLERANCE = 0.05
"""Relative to the spread of log-probabilities: half precision is two digits, another head is far off."""


def check_model(trainer: Any, *, router_on: bool, in_small: Any = None) -> bool:
    """Choose a C3POTrainer's attention, refuse what cannot be trained; return whether router logits are read.

    router_on: whether a router coefficient is set. A model that will be shared out over ranks is not on its device yet:
    a small copy of it is tried there instead. in_small: this copy, where it is made already. Raises UserError.
    """
    sharded = trainer.is_fsdp_enabled
    if sharded:
        check_shareable(trainer.accelerator.unwrap_model(trainer.model))
    stand_in = _small_copy(trainer, in_small) if sharded else None
    tried = trainer.model if stand_in is None else stand_in
    tap = trainer.tap if stand_in is None else RouterTap(stand_in)
    with trainer.accelerator.autocast():
        path = choose_path(
            trainer.model,
            packing=trainer.args.packing,
            keep_attention=bool((trainer.args.model_init_kwargs or {}).get("attn_implementation")),
            one_batch=sharded,
            stand_in=stand_in,
        )
        trainer.row_path = path
        if trainer.ref_model is not None:
            take_path(trainer.accelerator.unwrap_model(trainer.ref_model), path, one_batch=sharded)
        check_fused_head(tried, trainer.temperature)
        if router_on:
            check_router_is_visible(tried, tap)
    if router_on:
        check_router_learns(tried, tap)
    if router_on and stand_in is not None:
        check_router_is_trained(trainer.model)
    seen = router_on or _has_router(tried, tap)
    trainer.tap.routing = tap.routing
    return seen


def _small_copy(trainer: Any, made: Any) -> Any:
    """Make the architecture in small on this rank's device, with TRL's fused head; None if that cannot be done."""
    from trl.trainer.utils import add_fused_lm_head

    device = trainer.accelerator.device
    small = small_copy(trainer.model, device) if made is None else made.to(device)
    if small is not None:
        name_experts(small.config)
        add_fused_lm_head(small, temperature=trainer.temperature, outputs=("log_probs", "entropy"))
    return small


def check_fused_head(model: Any, temperature: float) -> None:
    """Raise UserError if the head in tiles gives other log-probabilities than the model's own logits.

    TRL's fused head multiplies hidden states by the head's weights (with the scales and soft caps that it knows); a
    model that does more, normalising its head for example, would be trained on another policy without an error.
    """
    lm = base_causal_lm(model)
    name = type(lm).__name__
    ids = torch.arange(1, 13, device=next(model.parameters()).device)[None] % lm.config.get_text_config().vocab_size
    with evaluating(model):
        own = torch.log_softmax(model(input_ids=ids, use_cache=False).logits.float() / temperature, -1)
        try:
            fused = model(input_ids=ids, labels=ids, fused_lm_head=True).log_probs.float()
        except (AttributeError, TypeError) as error:
            raise _no_fused_head(name, f"it has none that can be computed in tiles ({error})") from None
    expected = own[:, :-1].gather(-1, ids[:, 1:, None]).squeeze(-1)
    change, spread = (fused - expected).abs().mean().item(), own.std().item()
    if not change <= FUSED_TOLERANCE * spread + 1e-4:
        raise _no_fused_head(name, f"log-probabilities computed in tiles are off by {change:.2g} on average")


def _no_fused_head(name: str, why: str) -> UserError:
    return UserError(
        f"{name} computes its logits by more than a linear head: {why}",
        where="model",
        hint="use an architecture with a plain language-model head (qwen2, qwen3, qwen3_moe, ernie4_5_moe, llama ...)",
    )


def _has_router(model: Any, tap: RouterTap) -> bool:
    """Whether there are router logits to keep an eye on, though no coefficient is set."""
    if not router_parameters(model):
        return False
    try:
        check_router_is_visible(model, tap)
    except UserError:
        return False
    return True
