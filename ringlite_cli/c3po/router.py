"""Router losses of a mixture of experts (Eq. 5), from the router logits of one forward pass.

Conventions, since readings differ by a factor: the 1/Ne and the Ne that Eq. 5 prints cancel, so
B = sum_i P_i * F_i with P_i the mean router probability of expert i and F_i the share of tokens sent to it (the F_i
sum to the top k; an even load gives k/Ne). transformers' `load_balancing_loss_func` is Ne times that. Z is the mean
over tokens of the squared log-sum-exp. Both are computed per layer and averaged over layers. P_i are the router's
scores, divided by their sum over the experts where they are sigmoids; the F_i count the experts that were really
chosen, groups and bias included (routing.py). Z is the same for both, as in Megatron-LM's router.

What holds across row layouts: Z, weighted by the tokens of a row, is exactly the mean over all tokens of the step.
B is a product of two means and therefore a statistic of a row; the step's B is the token-weighted mean over rows.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from ringlite_cli.c3po.packing import backbone, base_causal_lm, evaluating
from ringlite_cli.c3po.routing import Choice, Routing, find_routing
from ringlite_cli.errors import UserError

BIAS = "e_score_correction_bias"
"""What transformers' mixtures call a router's bias for the choice of experts."""


def balance_loss(logits: Tensor, routing: Routing, bias: Tensor | None = None) -> Tensor:
    """B of one layer. logits: (M, Ne) over all tokens. bias: (Ne,), added to the scores to choose experts."""
    probabilities = routing.probabilities(logits)
    chosen = routing.chosen(logits.detach(), bias)
    counts = torch.zeros_like(probabilities[0]).scatter_add_(
        0, chosen.reshape(-1), torch.ones_like(chosen, dtype=probabilities.dtype).reshape(-1)
    )
    return (probabilities.mean(0) * counts / len(logits)).sum()


def z_loss(logits: Tensor) -> Tensor:
    """Z of one layer. logits: (M, Ne)."""
    return torch.logsumexp(logits.float(), dim=-1).square().mean()


class RouterTap:
    """Reads the router logits of the forward passes that run inside `open()`, under any wrapper of the model.

    The switch is turned on the backbone alone: TRL's fused head would otherwise compute transformers' auxiliary loss
    too. `balance` and `z` are layer means of the last pass.
    """

    def __init__(self, model: nn.Module) -> None:
        self._open = False
        self._logits: tuple[Tensor, ...] = ()
        self.routing = Routing(getattr(base_causal_lm(model).config.get_text_config(), "num_experts_per_tok", 0))
        self._routers = [module for module in model.modules() if isinstance(getattr(module, BIAS, None), Tensor)]
        inner = backbone(model)
        inner.register_forward_pre_hook(self._before, with_kwargs=True)
        inner.register_forward_hook(self._after)

    def _before(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return (args, {**kwargs, "output_router_logits": True}) if self._open else None

    def _after(self, module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        if self._open:
            self._logits = _flat_logits(getattr(output, "router_logits", None) or ())

    @contextmanager
    def open(self) -> Iterator[None]:
        self._open = True
        try:
            yield
        finally:
            self._open = False

    @property
    def top_k(self) -> int:
        """Experts that a token is sent to."""
        return self.routing.top_k

    @property
    def logits(self) -> tuple[Tensor, ...]:
        """(M, Ne) for each layer that has a router; () if the model returned none."""
        return self._logits

    def health(self) -> Tensor:
        """(layers, Ne + 2) sums over the tokens of the last pass, without gradient.

        Per layer: how many tokens each expert got, then the routers' entropies (nats), then squared log-sum-exps.
        """
        rows = []
        for logits, bias in zip(self._logits, self.biases, strict=True):
            probabilities = self.routing.probabilities(logits.detach())
            chosen = self.routing.chosen(logits.detach(), bias)
            load = torch.bincount(chosen.reshape(-1), minlength=logits.shape[-1]).float()
            entropy = torch.special.entr(probabilities).sum()
            z = torch.logsumexp(logits.detach().float(), dim=-1).square().sum()
            rows.append(torch.cat([load, torch.stack([entropy, z])]))
        return torch.stack(rows)

    def forget(self) -> None:
        """Release the logits of the last pass."""
        self._logits = ()

    def losses(self) -> tuple[Tensor, Tensor]:
        """Return the balance and z-loss (B, Z) of the last pass, with gradient, and let go of its logits."""
        logits, biases, self._logits = self._logits, self.biases, ()
        balance = torch.stack([balance_loss(x, self.routing, b) for x, b in zip(logits, biases, strict=True)])
        return balance.mean(), torch.stack([z_loss(x) for x in logits]).mean()

    @property
    def biases(self) -> Sequence[Tensor | None]:
        """(Ne,) for each layer of `logits` whose router adds one to choose its experts."""
        if len(self._routers) != len(self._logits):
            return [None] * len(self._logits)
        return [getattr(module, BIAS).reshape(-1) for module in self._routers]  # sharding puts others in their place


def selection_biases(model: nn.Module) -> list[tuple[str, Tensor]]:
    """Return (name, tensor) of the biases that routers add to their scores to choose experts, layer by layer."""
    tensors = [*model.named_parameters(), *model.named_buffers()]
    return [(name, tensor) for name, tensor in tensors if name.endswith(BIAS)]


@torch.no_grad()
def move_bias(bias: Tensor, load: Tensor, rate: float) -> None:
    """Move a router's bias by `rate` towards an even load, in place; the mean over the experts stays.

    bias: (Ne,) or (1, Ne). load: (Ne,) tokens that each expert got in a step. Balancing without an auxiliary loss: Wang
    et al., arXiv 2408.15664, Algorithm 1; taking off the mean is how Ling 2.0 was pretrained.
    """
    step = (load.mean() - load).sign()
    bias.add_((rate * (step - step.mean())).to(bias).reshape(bias.shape))


def _flat_logits(router_logits: Sequence[Any]) -> tuple[Tensor, ...]:
    """(M, Ne) per layer from 2-D or 3-D logits, bare or first in a tuple, as architectures return them."""
    logits = [x[0] if isinstance(x, tuple | list) else x for x in router_logits if x is not None]
    return tuple(x.reshape(-1, x.shape[-1]) for x in logits)


def health_numbers(sums: Tensor, tokens: int, top_k: int) -> dict[str, Any]:
    """A step's router health from the sums of `RouterTap.health` over its passes and ranks.

    router_load: per layer, the load of its busiest and of its idlest expert, 1 being an even share.
    router_max_violation: by how much the busiest expert of any layer exceeds an even share. router_entropy: nats.
    """
    experts = sums.shape[1] - 2
    load = sums[:, :experts] * experts / max(tokens * top_k, 1)
    return {
        "router_load_max": [round(x, 4) for x in load.max(1).values.tolist()],
        "router_load_min": [round(x, 4) for x in load.min(1).values.tolist()],
        "router_max_violation": load.max().item() - 1,
        "router_entropy": sums[:, experts].mean().item() / max(tokens, 1),
        "router_z": sums[:, experts + 1].mean().item() / max(tokens, 1),
    }


def router_parameters(model: nn.Module) -> list[nn.Parameter]:
    """The weights of the modules that transformers records router logits from, adapters too; [] for a dense model."""
    router = _router_class(model)
    names = [n for n, m in model.named_modules() if router is not None and isinstance(m, router)]
    prefixes = tuple(name.removesuffix(".base_layer") + "." for name in names)
    return [p for n, p in model.named_parameters() if prefixes and n.startswith(prefixes)]


def _router_class(model: nn.Module) -> type[nn.Module] | None:
    recorder = (getattr(backbone(model), "_can_record_outputs", None) or {}).get("router_logits")
    return getattr(recorder, "target_class", None)


def has_only_dense_layers(model: nn.Module) -> bool:
    """Return whether a model of an architecture with experts has no layer of them, so that nothing routes a token."""
    router = _router_class(model)
    return router is not None and not any(isinstance(module, router) for module in model.modules())


def check_router_learns(model: nn.Module, tap: RouterTap) -> None:
    """Raise UserError if the balance and z-loss reach no router weight that is trained (frozen, or an adapter)."""
    trained = [p for p in router_parameters(model) if p.requires_grad]
    reached = False
    if trained:
        ids = (
            torch.arange(32, device=trained[0].device)[None] % base_causal_lm(model).config.get_text_config().vocab_size
        )
        with torch.enable_grad(), tap.open():
            backbone(model)(input_ids=ids, use_cache=False)
        balance, z = tap.losses()
        if z.requires_grad:
            grads = torch.autograd.grad(balance + z, trained, allow_unused=True)
            reached = any(grad is not None and bool(grad.abs().max() > 0) for grad in grads)
    if not reached:
        raise _no_router_learns()


def check_router_is_trained(model: nn.Module) -> None:
    """Check that a router weight is trained, without a forward pass. Raises UserError where none is."""
    if not any(p.requires_grad for p in router_parameters(model)):
        raise _no_router_learns()


def _no_router_learns() -> UserError:
    return UserError(
        "a router coefficient is set, but no gradient reaches the router",
        where="router_balance_coef, router_z_loss_coef",
        hint="set both to 0, or train the router: freeze_router: false, and with lora its weight among the targets, as "
        "target_parameters: [mlp.gate.weight]",
    )


def check_router_is_visible(model: nn.Module, tap: RouterTap) -> None:
    """Find out how the model's routers choose, for `tap` to count by.

    Raises UserError if a router coefficient would do nothing, or something else than it says, on this model.
    """
    name = type(base_causal_lm(model)).__name__
    hint = "set both to 0, or use another mixture of experts (qwen3_moe, qwen2_moe, ernie4_5_moe, olmoe, mixtral ...)"
    where = "router_balance_coef, router_z_loss_coef"
    logits, told = _route_two_rows(model, tap)
    if not logits or not 0 < tap.top_k <= logits[0].shape[-1]:
        raise UserError(f"{name} returns no router logits, so there is no router to balance", where=where, hint=hint)
    choices = [Choice(x, *said, bias) for x, bias, said in zip(logits, tap.biases, told, strict=bool(told))]
    routing = find_routing(base_causal_lm(model).config.get_text_config(), tap.top_k, choices)
    if routing is None:
        raise UserError(
            f"the balance loss cannot be computed for {name}: it does not choose the top {tap.top_k} experts of a "
            "softmax or of sigmoids",
            where=where,
            hint=hint,
        )
    tap.routing = routing


def _route_two_rows(model: nn.Module, tap: RouterTap) -> tuple[tuple[Tensor, ...], list[tuple[Tensor, Tensor | None]]]:
    """Router logits of a short pass; experts (M, k) and weights (M, k) that the routers tell ([] if they do not)."""
    text_config = base_causal_lm(model).config.get_text_config()
    if not hasattr(text_config, "output_router_logits"):
        return (), []
    router = _router_class(model)
    told: list[tuple[Tensor, Tensor | None]] = []

    def note(module: nn.Module, args: Any, output: Any) -> None:
        tensors = [x for x in output if isinstance(x, Tensor) and x.dim() == 2]
        experts = [x for x in tensors if x.dtype == torch.long]
        weights = [x for x in tensors[1:] if x.is_floating_point() and experts and x.shape == experts[0].shape]
        told.extend((x, weights[0] if weights else None) for x in experts)

    handles = [m.register_forward_hook(note) for m in model.modules() if router is not None and isinstance(m, router)]
    ids = torch.arange(32, device=next(model.parameters()).device)[None] % text_config.vocab_size
    with evaluating(model), tap.open():
        backbone(model)(input_ids=ids, use_cache=False)
    for handle in handles:
        handle.remove()
    return tap.logits, told if len(told) == len(tap.logits) else []
