"""TRL's private methods that C3POTrainer leans on, by digest of their source: a new TRL says what to read again."""

import hashlib
import inspect

import pytest
import trl
from transformers import Trainer
from trl import GRPOTrainer
from trl.trainer import utils

SURFACE = {
    "GRPOTrainer._prepare_inputs": (
        GRPOTrainer._prepare_inputs,
        "one generation per steps_per_generation micro-steps, counted by _step; what it returns goes to compute_loss",
    ),
    "GRPOTrainer._generate_and_score_completions": (
        GRPOTrainer._generate_and_score_completions,
        "beta = 0 skips reference log-probs; gradient_accumulation_steps % steps_per_generation decides on old ones; "
        "advantages from whole groups, this rank's in the batch; rewards of all ranks are calculated once, in order",
    ),
    "GRPOTrainer._calculate_rewards": (
        GRPOTrainer._calculate_rewards,
        "None becomes NaN; log_extra and the data set's columns reach the reward function",
    ),
    "GRPOTrainer._compute_loss": (
        GRPOTrainer._compute_loss,
        "what C3PO's loss stands in for: clip, k3, entropy, epsilon_low and epsilon_high",
    ),
    "GRPOTrainer.training_step": (GRPOTrainer.training_step, "_step counts micro-steps"),
    "GRPOTrainer.get_train_dataloader": (
        GRPOTrainer.get_train_dataloader,
        "a generation batch per micro-step, in data set order where shuffle_dataset is False",
    ),
    "GRPOTrainer.log": (GRPOTrainer.log, "_metrics['train'] is averaged into the log and cleared"),
    "Trainer.training_step": (
        Trainer.training_step,
        "with loss_is_scaled_for_ga the loss is not divided again; gradients are averaged over ranks",
    ),
    "trl.trainer.utils.add_fused_lm_head": (
        utils.add_fused_lm_head,
        "shift_labels and position_ids reach the backbone; log_probs and entropy come back at the labels' places",
    ),
}
DIGESTS = {
    "GRPOTrainer._prepare_inputs": "f824e7fb07147956",
    "GRPOTrainer._generate_and_score_completions": "1fa48922792dcd5c",
    "GRPOTrainer._calculate_rewards": "736ae29b083840b5",
    "GRPOTrainer._compute_loss": "80295546bbdbf6f7",
    "GRPOTrainer.training_step": "9e18632f7dd8e8d8",
    "GRPOTrainer.get_train_dataloader": "2bffe5a57c539e17",
    "GRPOTrainer.log": "1e7772819cc8cf09",
    "Trainer.training_step": "e9760c8ee10308d5",
    "trl.trainer.utils.add_fused_lm_head": "422d009f04b66659",
}
"""Of trl 1.16.0 and transformers 5.19.0."""


@pytest.mark.parametrize("name", SURFACE)
def test_the_method_is_the_one_that_was_read(name):
    method, assumption = SURFACE[name]
    digest = hashlib.sha256(inspect.getsource(inspect.unwrap(method)).encode()).hexdigest()[:16]
    assert digest == DIGESTS[name], (
        f"{name} changed in trl {trl.__version__}: {digest}. C3POTrainer assumes: {assumption}. Read it again, run "
        "tests/invariant, then store the new digest."
    )


def test_trl_does_not_divide_the_loss_a_second_time():
    assert GRPOTrainer.loss_is_scaled_for_ga is True
