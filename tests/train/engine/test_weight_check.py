"""What a sync is measured by: the trainer's log-probabilities as its steps compute them, head in float32."""

from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from tiny_lm import tiny_model

from ringlite_cli.c3po.packing import backbone, base_causal_lm
from ringlite_cli.train.engine.weight_check import WeightCheck

IDS = list(range(3, 43))
SHAPES: dict[str, dict[str, Any]] = {
    "llama": {},
    "qwen3_moe": {"tie_word_embeddings": False},
    "gemma2": {"head_dim": 8, "final_logit_softcapping": 30.0},
    "phi": {"tie_word_embeddings": False},  # a head with a bias
}


def check_of(model: Any) -> Any:
    made: Any = WeightCheck()
    made.model, made._dist = model, SimpleNamespace(gather_params=lambda _: nullcontext())
    made.accelerator = SimpleNamespace(
        device=torch.device("cpu"),
        autocast=lambda: torch.autocast("cpu", torch.bfloat16),
        unwrap_model=lambda given: given,
    )
    return made


@pytest.mark.parametrize("adapted", [False, True])
@pytest.mark.parametrize("architecture", SHAPES)
def test_logits_are_not_rounded_to_the_format_of_the_passes(architecture: str, adapted: bool) -> None:
    """Logits of 40 are a quarter apart in bfloat16: the trainer was far from itself before any engine was asked."""
    model = tiny_model(architecture, **SHAPES[architecture])
    lm = model
    with torch.no_grad():
        norm = next(
            x
            for name, x in model.named_parameters()
            if ("layers" not in name and "norm.weight" in name) or "final" in name
        )
        norm.copy_(norm * 12 + (11 if architecture == "gemma2" else 0))
    if adapted:
        model = get_peft_model(model, LoraConfig(r=4, target_modules=["q_proj"], init_lora_weights=False))
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        hidden = backbone(model)(input_ids=torch.tensor([IDS])).last_hidden_state[0, :-1]
        rounded = model(input_ids=torch.tensor([IDS])).logits[0, :-1].float()
    head, cap = base_causal_lm(model).get_output_embeddings(), SHAPES[architecture].get("final_logit_softcapping")
    logits = hidden.float() @ head.weight.float().t() + (0 if head.bias is None else head.bias.float())
    logits = cap * (logits / cap).tanh() if cap else logits

    def of(logits: torch.Tensor) -> torch.Tensor:
        return logits.detach().log_softmax(-1).gather(-1, torch.tensor(IDS)[1:, None])[:, 0]

    found = check_of(model)._log_probs(IDS)
    torch.testing.assert_close(found, of(logits), atol=1e-4, rtol=1e-5)
    assert (of(rounded) - of(logits)).abs().mean() > 0.01
    assert "forward" not in vars(lm.get_output_embeddings())
