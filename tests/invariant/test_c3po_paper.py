"""The trainer against Eq. 2, 5 and 6, written here from the paper in float64, one response at a time."""

from pathlib import Path

import pytest
import torch
from c3po_one_step import BUDGET, GROUP, make_trainer, reward
from tiny_lm import save_policy, tiny_model

from ringlite_cli.c3po.budget import pick_tokens, seeded_order

EPSILON, TOP_K = 0.2, 2


def paper_loss(policy, reference, samples, kept, *, beta, alpha_entropy, alpha_balance, alpha_z):
    """L of Eq. 6 in one row. samples: (prompt, response, advantage); kept: response index -> tokens in Psi."""
    clip = kl = entropy = torch.zeros((), dtype=torch.float64)
    routers = []
    for i, (prompt, response, advantage) in enumerate(samples):
        if not kept.get(i):
            continue
        ids = torch.tensor([prompt + response[: kept[i]]])
        out = policy(input_ids=ids, output_router_logits=True, use_cache=False)
        routers.append([layer.reshape(-1, layer.shape[-1]) for layer in out.router_logits])
        with torch.no_grad():
            reference_logits = reference(input_ids=ids, use_cache=False).logits
        targets = ids[0, len(prompt) :, None]
        logs = torch.log_softmax(out.logits[0, len(prompt) - 1 : -1], -1)
        log_pi = logs.gather(1, targets)[:, 0]
        log_ref = torch.log_softmax(reference_logits[0, len(prompt) - 1 : -1], -1).gather(1, targets)[:, 0]
        ratio = torch.exp(log_pi - log_pi.detach())
        clip = clip + torch.min(ratio * advantage, ratio.clamp(1 - EPSILON, 1 + EPSILON) * advantage).sum()
        kl = kl + (torch.exp(log_ref - log_pi) - (log_ref - log_pi) - 1).sum()
        entropy = entropy - (logs.exp() * logs).sum()
    layers = [torch.cat(layer) for layer in zip(*routers, strict=True)]
    balance = torch.stack([balance_of(z) for z in layers]).mean()
    z_loss = torch.stack([torch.log(torch.exp(z).sum(-1)).pow(2).mean() for z in layers]).mean()
    eq_2 = -(clip - beta * kl) / BUDGET
    return eq_2 - alpha_entropy * entropy / BUDGET + alpha_balance * balance + alpha_z * z_loss


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


@pytest.mark.parametrize("architecture", ["qwen3_moe", "ernie4_5_moe", "qwen2_moe", "olmoe"])
def test_loss_and_gradient_are_the_paper_s(tmp_path: Path, architecture: str):
    coefficients = {"beta": 0.2, "entropy_coef": 0.3, "router_balance_coef": 0.4, "router_z_loss_coef": 0.05}
    folder = save_policy(tmp_path, architecture)
    trainer, gradients = make_trainer(folder, rows=1, **coefficients)
    seen = []
    score = trainer._generate_and_score_completions
    trainer._generate_and_score_completions = lambda inputs: seen.append(score(inputs)) or seen[-1]
    weights = {name: p.detach().double() for name, p in trainer.model.named_parameters()}
    trainer.train()

    batch = seen[0]
    prompts = [row[mask.bool()].tolist() for row, mask in zip(batch["prompt_ids"], batch["prompt_mask"], strict=True)]
    responses = [
        row[mask.bool()].tolist() for row, mask in zip(batch["completion_ids"], batch["completion_mask"], strict=True)
    ]
    rewards = reward(trainer.processing_class.batch_decode(responses, skip_special_tokens=True))
    lengths = list(map(len, responses))
    kept = {p.index: p.tokens for p in pick_tokens(lengths, BUDGET, seeded_order(range(len(lengths)), 42, 0))}
    assert sum(kept.values()) == BUDGET

    policy, reference = (tiny_model(architecture).double() for _ in range(2))
    for model in (policy, reference):
        model.set_experts_implementation("eager")
    policy.load_state_dict(weights, strict=False)
    samples = list(zip(prompts, responses, advantages_of(rewards), strict=True))
    expected = paper_loss(
        policy, reference, samples, kept, beta=0.2, alpha_entropy=0.3, alpha_balance=0.4, alpha_z=0.05
    )
    expected.backward()

    assert trainer.state.log_history[0]["loss"] == pytest.approx(expected.item(), abs=2e-5)
    reference_gradients = {n: p.grad.float() for n, p in policy.named_parameters() if p.grad is not None}
    assert reference_gradients.keys() == gradients.steps[0].keys()
    for name, gradient in gradients.steps[0].items():
        torch.testing.assert_close(gradient, reference_gradients[name], atol=2e-6, rtol=1e-3)
