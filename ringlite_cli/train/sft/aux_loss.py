"""The auxiliary loss of a mixture of experts, which not every architecture computes."""

from typing import Any

import torch

from ringlite_cli.errors import UserError


def check_aux_loss(model: Any, coefficient: float | None) -> None:
    """Raise UserError where `trl.router_aux_loss_coef` is set for a model that returns no auxiliary loss.

    Ling 2.0, glm4_moe and deepseek_v3 keep their experts' load even by a bias instead.
    """
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
