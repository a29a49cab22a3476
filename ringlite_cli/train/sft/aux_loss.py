"""The auxiliary loss of a mixture of experts, which not every architecture computes."""

import logging
from typing import Any

import torch

from ringlite_cli.c3po.router import has_only_dense_layers
from ringlite_cli.errors import UserError

log = logging.getLogger(__name__)


def settle_aux_loss(model: Any, args: Any) -> None:
    """Take the auxiliary loss as 0 where no layer has experts, for transformers would fail; say so.

    args: the SFTConfig, whose coefficient is then 0. Raises UserError where `trl.router_aux_loss_coef` is set for a
    mixture that returns no auxiliary loss: Ling 2.0, glm4_moe and deepseek_v3 keep their experts' load even by a bias.
    """
    if has_only_dense_layers(model) and args.router_aux_loss_coef != 0.0:
        log.warning("%s: all layers are dense, so its auxiliary loss is 0", type(model).__name__)
        args.router_aux_loss_coef = 0.0
    coefficient = args.router_aux_loss_coef
    if not coefficient:
        return
    ids = torch.arange(8, device=next(model.parameters()).device)[None] % model.config.get_text_config().vocab_size
    training = model.training
    try:
        with torch.no_grad():
            out = model.eval()(input_ids=ids, labels=ids, output_router_logits=True, use_cache=False)
    finally:
        model.train(training)
    if getattr(out, "aux_loss", None) is None:
        raise UserError(
            f"{type(model).__name__} returns no auxiliary loss",
            where=f"trl.router_aux_loss_coef: {coefficient}",
            hint="leave the key out",
        )
