"""Short RL runs from a tiny policy, for the tests of training."""

from pathlib import Path

import torch
from safetensors.torch import load_file

from ringlite_cli.problems import Problem, Verdict
from ringlite_cli.recipe.rl_settings import RlSettings
from ringlite_cli.train.rl.loop import Hooks
from ringlite_cli.train.rl.run import ModelOptions, run_rl

PROBLEMS = [
    Problem(
        id=f"p{i}",
        domain="math" if i % 3 else "code",
        prompt=" ".join(f"w{(i + j) % 50}" for j in range(3 + i % 4)),
    )
    for i in range(30)
]
TRL = {"num_generations": 4, "max_completion_length": 12, "learning_rate": 2e-3, "save_steps": 2}


def verify(pairs):
    return [Verdict(*(("correct", 1.0) if text.count("w1") % 2 else ("wrong", 0.0))) for _, text in pairs]


def train(
    policy, problems, verifier, out, *, steps, trl, on_step=None, rollout_func=None, seed=17, resume=True,
    dtype="float32", prompt_suffix=None, composition=None, held_out=None, **keys,
):  # fmt: skip
    """run_rl by plain keys: those of RlSettings, and TRL's fields in `trl`."""
    model = ModelOptions(dtype) if prompt_suffix is None else ModelOptions(dtype, prompt_suffix=prompt_suffix)
    settings = RlSettings.made(**{"guard": None, **keys}, trl={**trl, "max_steps": steps})
    hooks = Hooks(on_step, rollout_func)
    more = {"model": model, "hooks": hooks, "resume": resume, "composition": composition, "held_out": held_out}
    return run_rl(policy, problems, verifier, out, settings, seed=seed, **more)


def rl(policy, out, verifier=verify, trl=None, **options):
    numbers = {
        "prompts_per_step": 4,
        "steps": 4,
        "token_budget": 60,
        "row_tokens": 32,
        "router_balance_coef": 1e-3,
        "router_z_loss_coef": 1e-4,
        "prompt_suffix": {},
        **options,
    }
    return train(policy, PROBLEMS, verifier, out, trl=TRL | (trl or {}), **numbers)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")
