"""How far an engine is from the trainer after one update, by the number formats on both sides, on a CPU.

    python benchmarks/update_rounding.py             layers of Ling-lite's width: 7 minutes, 14 GB
    python benchmarks/update_rounding.py --quick     small ones, in under a minute

Random weights that are numbers of bfloat16; the last norm is scaled until the next token has 0.6 nats, as in the RL of
a trained model. The update is what the first step of AdamW is: every weight moves by the learning rate, by the sign of
a policy gradient on responses that the model drew. An engine is computed in float32 here, with the weights that it
would hold: rounding of weights alone is seen. A row: mean |difference| of log-probabilities of drawn tokens, nats.

--before: also what ringlite did until experts followed autocast: float32 experts, weights sent as they are.
"""

import argparse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from engine_formats import sharpen_model
from torch import Tensor

PROMPT = 12


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--lr", type=float, help="default: 1e-6, with --quick 1e-5")
    parser.add_argument("--responses", type=int, default=24)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--before", action="store_true")
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    model = make_model(options.layers, quick=options.quick)
    rate = options.lr or (1e-5 if options.quick else 1e-6)
    ids = draw(model, options.responses, options.tokens)
    compare(model.float(), ids, rate, before=options.before)


def make_model(layers: int, *, quick: bool) -> Any:
    """A mixture in bfloat16 whose next token has 0.6 nats."""
    from transformers import AutoConfig, AutoModelForCausalLM

    from ringlite_cli.models import register

    register()
    small = {
        "hidden_size": 256,
        "moe_intermediate_size": 128,
        "num_experts": 16,
        "head_dim": 64,
        "initializer_range": 0.02,
    }
    fields = {"num_hidden_layers": layers, "vocab_size": 32_000, **(small if quick else {})}
    torch.manual_seed(17)
    config = AutoConfig.for_model("bailing_moe", **fields)
    model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16).eval()
    entropy = sharpen_model(model, torch.randint(3, 400, (8, 64)))
    print(f"{model.num_parameters():,} parameters, {layers} layers; entropy {entropy:.2f}", flush=True)
    return model


def draw(model: Any, responses: int, tokens: int) -> Tensor:
    """(responses, PROMPT + tokens) of ids, drawn by the model behind random prompts."""
    prompts = torch.randint(3, 400, (responses, PROMPT))
    exact = {"do_sample": True, "top_k": 0, "eos_token_id": None, "pad_token_id": 0}
    found: Tensor = model.generate(prompts, max_new_tokens=tokens, min_new_tokens=tokens, **exact)
    return found


def log_probs(model: Any, ids: Tensor, *, autocast: bool) -> Tensor:
    """Of the drawn tokens, (responses, tokens). autocast: as the trainer computes, its head in float32."""
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        hidden = model.model(input_ids=ids, use_cache=False).last_hidden_state[:, PROMPT - 1 : -1]
    with torch.autocast("cpu", enabled=False):
        logits = hidden.float() @ model.lm_head.weight.float().t()
        return logits.log_softmax(-1).gather(-1, ids[:, PROMPT:, None])[..., 0]


def compare(model: Any, ids: Tensor, lr: float, *, before: bool) -> None:
    """Update the model, and print how far engines are from its passes."""
    from ringlite_cli.train.engine.weights import computed_weights

    start = {name: p.detach().to(torch.bfloat16) for name, p in model.named_parameters()}
    with torch.no_grad():
        first = log_probs(model, ids, autocast=True)
        print(f"before the update: {gap(log_probs(model, ids, autocast=False), first)} of exact arithmetic")
    signs = policy_gradient_signs(model, ids)

    def updated() -> Iterator[tuple[str, Tensor]]:
        return ((name, weight.float() - lr * signs[name]) for name, weight in start.items())

    @torch.no_grad()
    def passes(*, autocast: bool) -> Tensor:
        put(model, updated())
        return log_probs(model, ids, autocast=autocast)

    @torch.no_grad()
    def engine(weights: Iterator[tuple[str, Tensor]], dtype: torch.dtype) -> Tensor:
        put(model, ((name, weight.to(dtype)) for name, weight in weights))
        return log_probs(model, ids, autocast=False)

    ours = passes(autocast=True)
    print(f"the update moves exact passes by {gap(passes(autocast=False), first)}, the trainer's by {gap(ours, first)}")
    print("\n| engine's format | weights are sent | from the trainer, nats |\n|---|---|---:|", flush=True)
    for dtype in (torch.bfloat16, torch.float16):
        name = str(dtype).removeprefix("torch.")
        sent = engine(computed_weights(model, updated(), dtype, autocast=True), dtype)
        print(f"| {name} | as passes compute with them | {gap(sent, ours)} |", flush=True)
        if before:
            with float32_experts():
                old = passes(autocast=True)
            plain = engine(updated(), dtype)
            print(f"| {name} | as they are | {gap(plain, ours)} |")
            print(f"| {name} | as they are, the trainer's experts in float32 | {gap(plain, old)} |", flush=True)


def policy_gradient_signs(model: Any, ids: Tensor) -> dict[str, Tensor]:
    """Signs of the gradient of a policy loss in which every third response is better than the others, as int8."""
    signs: dict[str, Tensor] = {}

    def keep(name: str) -> Callable[[Tensor], None]:
        def kept(parameter: Tensor) -> None:
            assert parameter.grad is not None
            signs[name] = parameter.grad.sign().to(torch.int8)
            parameter.grad = None

        return kept

    for name, parameter in model.named_parameters():
        parameter.register_post_accumulate_grad_hook(keep(name))
    model.train()
    model.gradient_checkpointing_enable({"use_reentrant": False})
    advantages = torch.where(torch.arange(len(ids)) % 3 > 0, -0.7, 1.4)[:, None]
    (-(advantages * log_probs(model, ids, autocast=True)).mean()).backward()
    model.gradient_checkpointing_disable()
    model.eval()
    return signs


def put(model: Any, weights: Iterator[tuple[str, Tensor]]) -> None:
    places = dict(model.named_parameters())
    for name, weight in weights:
        places[name].data.copy_(weight)


@contextmanager
def float32_experts() -> Iterator[None]:
    """Have experts computed as transformers does by itself."""
    from transformers.integrations.moe import ALL_EXPERTS_FUNCTIONS as FUNCTIONS

    ours = FUNCTIONS["grouped_mm"]
    FUNCTIONS["grouped_mm"] = ours._plain  # type: ignore[attr-defined]
    try:
        yield
    finally:
        FUNCTIONS["grouped_mm"] = ours


def gap(a: Tensor, b: Tensor) -> str:
    return f"{(a - b).abs().mean():.4f}"


if __name__ == "__main__":
    main()
