"""All algorithms but C3PO through packed rows: TRL's own gradients, and the same ones in any layout."""

from itertools import product
from pathlib import Path

import pytest
import torch
from c3po_one_step import CLIP_HIGHER, LORA, OWN_RANGE, TERMS, assert_same, make_trainer, one_step
from sweeps import sample_of
from tiny_lm import save_policy

from ringlite_cli.c3po.algorithms import algorithm_of
from ringlite_cli.c3po.loss import step_divisor, token_losses, token_weights
from ringlite_cli.recipe.algorithms import algorithms

ALGORITHMS = tuple(name for name in algorithms() if name != "c3po")
STOCK = {
    "cispo": {"loss_type": "cispo", "epsilon_high": 5.0},
    "gspo": {"loss_type": "grpo", "importance_sampling_level": "sequence"},
}
"""TRL's fields for an algorithm that is no loss_type alone."""
CLIPPED = [(algorithm, "clip") for algorithm in ALGORITHMS]
TURNS = list(zip(ALGORITHMS, TERMS, strict=False))
"""Each algorithm with a term of its own: what `make test` tries of all pairs, beside every algorithm's own loss."""


def pairs(*terms: str, keep: list[tuple[str, str]]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(("algorithm", "term"), sample_of(product(ALGORITHMS, terms), *keep))


@pytest.fixture(scope="module")
def policy(tmp_path_factory) -> Path:
    return save_policy(tmp_path_factory.mktemp("policy"), "qwen3_moe")


@pytest.mark.slow
@pairs("clip", "kl", keep=[*CLIPPED, ("grpo", "kl")])
def test_packed_rows_give_stock_trl_s_gradient(policy, algorithm, term):
    stock, oracle = one_step(policy, 1, stock=algorithm, **TERMS[term], **STOCK.get(algorithm, {}))
    for rows in (1, 4):
        packed, trainer = one_step(policy, rows, algorithm=algorithm, **TERMS[term])
        assert_same(packed, stock)
    assert trainer.state.log_history[0]["loss"] == pytest.approx(oracle.state.log_history[0]["loss"], abs=2e-5)
    assert trainer.step_stats["tokens_trained"] == trainer.step_stats["tokens_generated"]


@pytest.mark.slow
@pairs("clip", "kl", "z", "entropy", keep=[*CLIPPED, ("grpo", "kl"), ("dapo", "z"), ("dr_grpo", "entropy")])
def test_every_term_is_the_same_in_any_number_of_rows(policy, algorithm, term):
    expected = one_step(policy, 1, algorithm=algorithm, **TERMS[term])[0]
    for rows in (2, 4, 8):
        assert_same(expected, one_step(policy, rows, algorithm=algorithm, **TERMS[term])[0])


@pytest.mark.slow
@pairs(*TERMS, keep=TURNS)
def test_gradient_checkpointing_changes_no_term(policy, algorithm, term):
    options = {"algorithm": algorithm, **TERMS[term]}
    assert_same(one_step(policy, 2, **options)[0], one_step(policy, 2, gradient_checkpointing=True, **options)[0])


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", sample_of(ALGORITHMS, "dapo", "gspo", "cispo"))
def test_clip_higher_and_checkpointing_leave_no_trace_of_the_layout(policy, algorithm):
    options = CLIP_HIGHER | OWN_RANGE.get(algorithm, {})
    expected, trainer = one_step(policy, 1, algorithm=algorithm, **options)
    assert trainer.step_stats["clip_fraction"] > 0
    checkpointed = one_step(policy, 4, algorithm=algorithm, gradient_checkpointing=True, **options)[0]
    assert_same(expected, checkpointed, atol=2e-6)


@pytest.mark.parametrize("algorithm", ["gspo", "cispo", "dapo", "grpo"])
def test_off_policy_ratios_give_the_loss_and_gradient_of_trl_s_own_code(policy, algorithm):
    """TRL's trainer on one padded batch with old log-probs, and ours on the same tokens, one behind the other."""
    bounds = {"epsilon": 0.02, "epsilon_high": 1.05 if algorithm == "cispo" else 0.05}
    stock = make_trainer(policy, 1, stock=algorithm, **bounds | drop_bounds(STOCK.get(algorithm, {})))[0]
    generator = torch.Generator().manual_seed(7)
    ids = torch.randint(0, 40, (3, 12), generator=generator)
    mask = torch.tensor([[1] * 8, [1] * 5 + [0] * 3, [1] * 2 + [0] * 6])
    prompts, advantages = torch.ones(3, 4, dtype=torch.long), torch.tensor([1.0, -0.5, 0.7])
    model = stock.model.train()
    whole = torch.cat([prompts, mask], dim=1)
    drawn = stock._get_per_token_logps_and_entropies(model, ids, whole, 8)[0]
    old = drawn.detach() + 0.1 * torch.randn(drawn.shape, generator=generator)
    stock.current_gradient_accumulation_steps = stock.args.steps_per_generation = 1
    theirs = stock._compute_loss(
        model,
        {
            "prompt_ids": ids[:, :4], "prompt_mask": prompts, "completion_ids": ids[:, 4:], "completion_mask": mask,
            "advantages": advantages, "old_per_token_logps": old, "num_items_in_batch": mask.sum(),
        },
    )  # fmt: skip
    lengths = mask.sum(1).tolist()
    sums = token_losses(
        drawn.view(1, -1),
        advantages.repeat_interleave(8)[None],
        mask.bool().view(1, -1),
        entropy=torch.zeros(1, 24),
        algorithm=algorithm_of(algorithm),
        sample=torch.arange(3).repeat_interleave(8)[None],
        old_log_probs=old.view(1, -1),
        weights=torch.tensor(token_weights(algorithm, lengths)).repeat_interleave(8)[None],
        epsilon_low=stock.epsilon_low,
        epsilon_high=stock.epsilon_high,
    )
    ours = sums.loss / step_divisor(algorithm, budget=0, tokens=sum(lengths), responses=3, max_completion_length=8)
    assert 0 < sums.clipped < sums.tokens
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-5)
    assert_same(gradients_of(ours, model), gradients_of(theirs, model))


def drop_bounds(fields: dict) -> dict:
    return {name: value for name, value in fields.items() if not name.startswith("epsilon")}


def gradients_of(loss: torch.Tensor, model: torch.nn.Module) -> dict[str, torch.Tensor]:
    named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    found = torch.autograd.grad(loss, [p for _, p in named], retain_graph=True, allow_unused=True)
    return {name: g for (name, _), g in zip(named, found, strict=True) if g is not None}


@pytest.mark.slow
def test_adapters_get_the_same_gradient_in_any_layout(policy):
    for algorithm in ("gspo", "cispo"):
        expected = one_step(policy, 1, algorithm=algorithm, **LORA)[0]
        assert all("lora_" in name for name in expected)
        assert_same(expected, one_step(policy, 4, algorithm=algorithm, **LORA)[0])


@pytest.mark.slow
def test_every_algorithm_has_a_gradient_of_its_own(policy):
    names, clip = ("c3po", *ALGORITHMS), {"max_grad_norm": 0.0, "learning_rate": 1.0}
    options = [CLIP_HIGHER | clip | OWN_RANGE.get(name, {}) for name in names]
    gradients = [one_step(policy, 2, algorithm=a, **o)[0] for a, o in zip(names, options, strict=True)]
    norms = [sum(g.square().sum() for g in each.values()).sqrt().item() for each in gradients]
    assert len({round(norm, 5) for norm in norms}) == len(names)
