"""One optimizer step of a trainer on rollouts that depend on nothing but the prompt: its gradients and its numbers.

Imported for one rank; run under torchrun for two (`python -m torch.distributed.run ... c3po_one_step.py OUT CASES`).
"""

import json
import random
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import torch
from datasets import Dataset
from peft import LoraConfig
from tiny_lm import EOS, save_policy, tiny_tokenizer
from transformers import PrinterCallback, TrainerCallback
from trl import GRPOConfig, GRPOTrainer

from ringlite_cli.problems import Problem
from ringlite_cli.train.rl.config import C3POConfig
from ringlite_cli.train.rl.prompts import DifficultySource
from ringlite_cli.train.rl.trainer import C3POTrainer

BUDGET, GROUP, PROMPTS = 70, 4, 4
OURS: dict[str, Any] = {"prompts_per_step": PROMPTS, "token_budget": BUDGET, "token_budget_scope": "global"}

TERMS: dict[str, dict[str, Any]] = {
    "clip": {},
    "kl": {"beta": 0.3},
    "entropy": {"entropy_coef": 0.5},
    "z": {"router_z_loss_coef": 0.1},
    "balance": {"router_balance_coef": 0.1},
}
"""The loss terms, one at a time on top of the clipped objective."""

CLIP_HIGHER: dict[str, Any] = {
    "updates_per_rollout": 2,
    "optim": "sgd",
    "learning_rate": 1.0,
    "epsilon": 0.02,
    "epsilon_high": 0.05,
}
"""A second, off-policy step on the same rollout, where ratios leave the clipping range on both sides."""

OWN_RANGE: dict[str, dict[str, Any]] = {
    "cispo": {"epsilon_high": 1.02},
    "gspo": {"epsilon": 0.001, "epsilon_high": 0.002},
}
"""The clipping range that a second step leaves: CISPO's is a bound of the ratio, GSPO's ratios are means."""

REFILL: dict[str, Any] = {"token_budget": 200, "undershoot": "refill", "refill_rounds": 4}
"""A budget beyond the first rollout's tokens."""

LORA: dict[str, Any] = {"lora": {"r": 4, "target_modules": "all-linear"}, "beta": 0.3}
"""Adapters alone are trained, against the policy without them."""


class MaskedC3PO(GRPOTrainer):
    """The oracle: stock GRPO over padded rows, with everything outside the selection masked and Phi as divisor."""

    def _generate_and_score_completions(self, inputs: Any) -> Any:
        from ringlite_cli.c3po.budget import pick_tokens, seeded_order

        batch = super()._generate_and_score_completions(inputs)
        lengths = self.accelerator.gather(batch["completion_mask"].sum(1)).tolist()
        keep = dict.fromkeys(range(len(lengths)), 0)
        order = seeded_order(range(len(lengths)), self.args.seed, self.state.global_step)
        keep |= {pick.index: pick.tokens for pick in pick_tokens(lengths, BUDGET, order)}
        first = self.accelerator.process_index * len(batch["completion_ids"])
        kept = torch.tensor([keep[first + i] for i in range(len(batch["completion_ids"]))])
        batch["tool_mask"] = batch["completion_mask"] * (batch["completion_mask"].cumsum(1) <= kept[:, None])
        batch["num_items_in_batch"] = torch.tensor(float(BUDGET))
        return batch


def rollout(prompts: list[Any], trainer: Any) -> dict[str, Any]:
    """Responses of 2 to 16 tokens, decided by their place among all ranks' responses."""
    first = trainer.accelerator.process_index * len(prompts)
    prompt_ids = [trainer.processing_class(prompt)["input_ids"] for prompt in prompts]
    responses = []
    for place in range(first, first + len(prompts)):
        rng = random.Random(1000 + place)
        responses.append([rng.randrange(EOS) for _ in range(rng.randrange(1, 16))] + [EOS])
    return {"prompt_ids": prompt_ids, "completion_ids": responses, "logprobs": None}


def reward(completions: list[str], **_: Any) -> list[float]:
    return [float(sum(map(ord, text)) % 3) for text in completions]


class Gradients(TrainerCallback):
    """Keeps the gradients that each optimizer step is about to apply."""

    def __init__(self) -> None:
        self.steps: list[dict[str, torch.Tensor]] = []

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
        inner = getattr(model, "module", model)
        self.steps.append({n: p.grad.clone() for n, p in inner.named_parameters() if p.grad is not None})


def make_trainer(
    policy: Path, rows: int, world: int = 1, oracle: bool = False, stock: str = "", **options: Any
) -> tuple[Any, Any]:
    """(trainer, its gradients), the policy moved away from the reference by a little seeded noise."""
    updates = options.get("updates_per_rollout", 1)
    lora = options.pop("lora", None)
    extra: dict[str, Any] = {"peft_config": LoraConfig(task_type="CAUSAL_LM", **lora)} if lora else {}
    if options.get("undershoot") == "refill":
        further = [Problem(id=f"f{i}", domain="math", prompt=f"w{i + 20} w{i}") for i in range(12)]
        extra["prompts"] = DifficultySource(
            further, lambda problem: {"prompt": problem.prompt, "problem_id": problem.id}, None, 5, draws_all=False
        )
    fields = {
        "output_dir": str(policy / "out"),
        "use_cpu": True,
        "bf16": False,
        "per_device_train_batch_size": PROMPTS * GROUP // (world * rows),
        "gradient_accumulation_steps": rows,
        "num_generations": GROUP,
        "max_completion_length": 16,
        "max_steps": updates,
        "learning_rate": 0.0,
        "beta": 0.0,
        "report_to": "none",
        "save_strategy": "no",
        "max_grad_norm": 0.0,
        "lr_scheduler_type": "constant",
        "gradient_checkpointing": False,
        "disable_dropout": True,
        "ddp_find_unused_parameters": True,
        "dataloader_pin_memory": False,
        "disable_tqdm": True,
        "logging_steps": 1,
        **options,
    }
    dataset = Dataset.from_dict({"prompt": [f"w{i} w{i + 1}" + " w5" * (i % 3) for i in range(PROMPTS * updates)]})
    if oracle or stock:
        fields = {"loss_type": stock or "dapo"} | fields
        config: Any = GRPOConfig(**fields, use_bias_correction_kl=False, router_aux_loss_coef=0.0)
        trainer: Any = GRPOTrainer if stock else MaskedC3PO
    else:
        config, trainer = C3POConfig(**OURS | fields), C3POTrainer
    torch.manual_seed(0)  # adapters start at random
    made = trainer(
        model=str(policy),
        reward_funcs=reward,
        args=config,
        train_dataset=dataset,
        processing_class=tiny_tokenizer(),
        rollout_func=rollout,
        **extra,
    )
    made.remove_callback(PrinterCallback)
    generator = torch.Generator().manual_seed(3)
    for name, parameter in made.model.named_parameters():
        if not name.endswith("e_score_correction_bias"):  # no weight: moved by load statistics where it is used
            parameter.data.add_(0.03 * torch.randn(parameter.shape, generator=generator))
    gradients = Gradients()
    made.add_callback(gradients)
    return made, gradients


def run_out(trainer: Any, passes: tuple[int, ...], *, backwards: bool = False) -> list[int]:
    """Let the memory of a trainer's device be exceeded in these training passes (from 1); return tokens of each pass.

    In the forward pass behind the first layer, or in the backward pass before it: later layers have gradients then.
    """
    first, seen = trainer.model.model.layers[0], list[int]()

    def fail() -> None:
        if len(seen) in passes:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    def forward(module: Any, args: Any, output: Any) -> None:
        hidden = output[0] if isinstance(output, tuple) else output
        if not hidden.requires_grad:
            return
        seen.append(hidden.shape[1])
        if backwards:
            hidden.register_hook(lambda gradient: fail())
        else:
            fail()

    first.register_forward_hook(forward)
    return seen


def one_step(
    policy: Path, rows: int, world: int = 1, oracle: bool = False, runs_out: tuple[int, ...] = (), **options: Any
) -> tuple[Any, Any]:
    """(gradients of the last step of one rollout, the trainer after it). runs_out: passes that run out of memory."""
    trainer, gradients = make_trainer(policy, rows, world, oracle, **options)
    if runs_out:
        run_out(trainer, runs_out)
    trainer.train()
    return gradients.steps[-1], trainer


def main(out: Path, cases: list[dict[str, Any]]) -> None:
    """Each case {"name", "rows", ...options} on every rank of this launch; rank 0 saves gradients and numbers.

    runs_out: (rank, pass) that runs out of memory.
    """
    import os

    rank, world = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    policy = save_policy(out / f"policy-{rank}", "qwen3_moe")
    for case in cases:
        name, rows, failing = case.pop("name"), case.pop("rows"), case.pop("runs_out", None)
        passes = (failing[1],) if failing and failing[0] == rank else ()
        gradients, trainer = one_step(policy, rows, world, runs_out=passes, **case)
        if rank == 0:
            torch.save({"gradients": gradients, "stats": trainer.step_stats}, out / f"{name}.pt")
        if trainer.prompts is not None:
            seen = {"source": trainer.prompts.state(), "stats": trainer.step_stats, "gradients": gradients}
            torch.save(seen, out / f"{name}-rank{rank}.pt")
        trainer.accelerator.wait_for_everyone()
    torch.distributed.destroy_process_group()  # left open, its threads abort the process now and then


if __name__ == "__main__":
    main(Path(sys.argv[1]), json.loads(sys.argv[2]))


def assert_same(one, other, atol=3e-7):
    assert one.keys() == other.keys()
    largest = max(g.abs().max().item() for g in one.values())
    assert largest > 1e-3  # a comparison of nothing with nothing proves nothing
    for name in one:
        torch.testing.assert_close(one[name], other[name], atol=atol, rtol=1e-4, msg=lambda m, n=name: f"{n}: {m}")
