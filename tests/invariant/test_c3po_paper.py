"""The trainer against Eq. 2, 5 and 6, written here from the paper in float64, one response at a time."""

from pathlib import Path

import pytest
import torch
from c3po_one_step import BUDGET, GROUP, make_trainer, reward
from sweeps import sample_of
from tiny_lm import save_policy, tiny_model
from transformers import TrainerCallback

from ringlite_cli.c3po.budget import pick_updates, seeded_order

EPSILON, TOP_K = 0.2, 2


def paper_loss(policy, old, reference, samples, kept, *, beta, alpha_entropy, alpha_balance, alpha_z, algorithm="c3po"):
    """L of Eq. 6 in one row. samples: (prompt, response, advantage); kept: response index -> tokens in Psi."""
    clip = kl = entropy = torch.zeros((), dtype=torch.float64)
    routers = []
    for i, (prompt, response, advantage) in enumerate(samples):
        if not kept.get(i):
            continue
        ids = torch.tensor([prompt + response[: kept[i]]])
        out = policy(input_ids=ids, output_router_logits=True, use_cache=False)
        routers.append([layer.reshape(-1, layer.shape[-1]) for layer in out.router_logits])
        logs = torch.log_softmax(out.logits[0, len(prompt) - 1 : -1], -1)
        log_pi = logs.gather(1, ids[0, len(prompt) :, None])[:, 0]
        log_old, log_ref = (log_probs_of(model, ids, len(prompt)) for model in (old, reference))
        ratio = torch.exp(log_pi - log_old)
        share = 1 / divisor_of(algorithm, kept, kept[i])
        clip = clip + share * torch.min(ratio * advantage, ratio.clamp(1 - EPSILON, 1 + EPSILON) * advantage).sum()
        kl = kl + share * (torch.exp(log_ref - log_pi) - (log_ref - log_pi) - 1).sum()
        entropy = entropy - share * (logs.exp() * logs).sum()
    layers = [torch.cat(layer) for layer in zip(*routers, strict=True)]
    balance = torch.stack([balance_of(z) for z in layers]).mean()
    z_loss = torch.stack([torch.log(torch.exp(z).sum(-1)).pow(2).mean() for z in layers]).mean()
    return -(clip - beta * kl) - alpha_entropy * entropy + alpha_balance * balance + alpha_z * z_loss


def divisor_of(algorithm, kept, length):
    """What a token of a response of `length` tokens is divided by."""
    each = {"grpo": len(kept) * length, "dapo": sum(kept.values()), "dr_grpo": len(kept) * 16}
    return each.get(algorithm, BUDGET)


@torch.no_grad()
def log_probs_of(model, ids, start):
    logits = model(input_ids=ids, use_cache=False).logits[0, start - 1 : -1]
    return torch.log_softmax(logits, -1).gather(1, ids[0, start:, None])[:, 0]


def balance_of(logits):
    """Eq. 5: 1/Ne * sum_i P_i * F_i * Ne, F_i the share of tokens sent to expert i."""
    experts = logits.shape[-1]
    probability = torch.softmax(logits, -1)
    sent = torch.zeros_like(probability).scatter(1, probability.topk(TOP_K).indices, 1.0)
    return (probability.mean(0) * sent.mean(0) * experts).sum() / experts


def advantages_of(rewards):
    """(R - mean) / std within the group; TRL takes the unbiased std and adds 1e-4."""
    groups = torch.tensor(rewards, dtype=torch.float64).view(-1, GROUP)
    centred = groups - groups.mean(1, keepdim=True)
    return (centred / (groups.std(1, keepdim=True) + 1e-4)).flatten().tolist()


COEFFICIENTS = {"beta": 0.2, "entropy_coef": 0.3, "router_balance_coef": 0.4, "router_z_loss_coef": 0.05}
ALONE = [{}, *({name: value} for name, value in COEFFICIENTS.items())]
CASES = [
    *(("qwen3_moe", terms, 1) for terms in ALONE),
    *((architecture, COEFFICIENTS, 1) for architecture in ("qwen3_moe", "ernie4_5_moe", "qwen2_moe", "olmoe")),
    ("qwen3_moe", COEFFICIENTS, 2),
    ("ernie4_5_moe", COEFFICIENTS, 2),
    *(("qwen3_moe", COEFFICIENTS | {"algorithm": name}, 1) for name in ("grpo", "dapo", "dr_grpo")),
]


@pytest.mark.slow
@pytest.mark.parametrize(("architecture", "terms", "updates"), sample_of(CASES, CASES[0], *CASES[len(ALONE) :]))
def test_loss_and_gradient_are_the_paper_s(tmp_path: Path, architecture: str, terms: dict, updates: int):
    """The last of `updates` steps on a rollout: the first is on-policy, the second has real ratios, some clipped."""
    steps = {"updates_per_rollout": updates, "optim": "sgd", "learning_rate": 1.0 if updates > 1 else 0.0}
    trainer, gradients = make_trainer(save_policy(tmp_path, architecture), rows=1, **steps, **terms)
    rollouts, weights = [], []
    score = trainer._generate_and_score_completions
    trainer._generate_and_score_completions = lambda inputs: rollouts.append(score(inputs)) or rollouts[-1]
    trainer.add_callback(WeightsOf(trainer, weights))
    trainer.train()

    samples, lengths = samples_of(trainer, rollouts[0])
    order = seeded_order(range(len(lengths)), 42, 0)
    algorithm = terms.get("algorithm", "c3po")
    kept = {pick.index: pick.tokens for pick in pick_updates(lengths, BUDGET, order, updates)[-1]}
    assert sum(kept.values()) == BUDGET
    if algorithm != "c3po":
        kept = dict(enumerate(lengths))
    policy, old, reference = (tiny_model(architecture).double() for _ in range(3))
    for model in (policy, old, reference):
        model.set_experts_implementation("eager")
    policy.load_state_dict(weights[-1], strict=False)
    old.load_state_dict(weights[0], strict=False)
    names = zip(("beta", "alpha_entropy", "alpha_balance", "alpha_z"), COEFFICIENTS, strict=True)
    coefficients = {alpha: terms.get(name, 0.0) for alpha, name in names}
    expected = paper_loss(policy, old, reference, samples, kept, algorithm=algorithm, **coefficients)
    expected.backward()

    assert len(weights) == updates
    assert (trainer.step_stats["clip_fraction"] > 0) == (updates > 1)
    assert trainer.state.log_history[updates - 1]["loss"] == pytest.approx(expected.item(), abs=2e-5)
    reference_gradients = {n: p.grad.float() for n, p in policy.named_parameters() if p.grad is not None}
    assert reference_gradients.keys() == gradients.steps[-1].keys()
    for name, gradient in gradients.steps[-1].items():
        torch.testing.assert_close(gradient, reference_gradients[name], atol=2e-6 * updates, rtol=1e-3)


class WeightsOf(TrainerCallback):
    """The weights that each step starts from, in float64."""

    def __init__(self, trainer, weights: list) -> None:
        self.trainer, self.weights = trainer, weights

    def on_step_begin(self, *_, **__) -> None:
        self.weights.append({name: p.detach().double() for name, p in self.trainer.model.named_parameters()})


def samples_of(trainer, batch):
    """((prompt, response, advantage) of each response, their lengths)."""
    prompts = [row[mask.bool()].tolist() for row, mask in zip(batch["prompt_ids"], batch["prompt_mask"], strict=True)]
    responses = [
        row[mask.bool()].tolist() for row, mask in zip(batch["completion_ids"], batch["completion_mask"], strict=True)
    ]
    rewards = reward(trainer.processing_class.batch_decode(responses, skip_special_tokens=True))
    return list(zip(prompts, responses, advantages_of(rewards), strict=True)), list(map(len, responses))
