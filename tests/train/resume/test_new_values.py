"""Training that goes on with other values has them from its next step on, whatever the checkpoint brings back."""

import copy
import os
import signal
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from rl_runs import train
from tiny_lm import save_policy
from transformers import SchedulerType, TrainerControl, TrainerState, TrainingArguments, get_scheduler

from ringlite_cli.errors import Interrupted
from ringlite_cli.problems import Problem, Verdict
from ringlite_cli.runs.files import read_jsonl
from ringlite_cli.train.resume.new_values import NewValues

PROBLEMS = [Problem(id=f"p{i}", domain="math", prompt=f"w{i} w{i + 1}") for i in range(12)]


SCHEDULES: dict[str, dict] = {
    **{key: {} for key in ("constant", "constant_with_warmup", "linear", "cosine", "cosine_with_restarts")},
    **{key: {} for key in ("polynomial", "inverse_sqrt")},
    "cosine_with_min_lr": {"min_lr": 5e-5},
    "cosine_warmup_with_min_lr": {"min_lr_rate": 0.1, "warmup_lr_rate": 0.2},
    "warmup_stable_decay": {"num_decay_steps": 4},
}
WITHOUT_LENGTH = ("reduce_lr_on_plateau", "greedy")
"""Schedules that look at a metric: transformers refuses them without an evaluation, which no stage makes."""


def test_every_schedule_of_transformers_is_here() -> None:
    assert SCHEDULES.keys() == {kind.value for kind in SchedulerType} - set(WITHOUT_LENGTH)


def trained(schedule: str, rate: float, steps: int, after: int):
    """An optimizer of two groups and its schedule, as transformers makes them, after some steps."""
    more = SCHEDULES[schedule]
    weight, bias = torch.nn.Parameter(torch.ones(2)), torch.nn.Parameter(torch.ones(1))
    groups = [{"params": [weight], "weight_decay": 0.1}, {"params": [bias], "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=rate)
    scheduler = get_scheduler(
        schedule, optimizer, num_warmup_steps=2, num_training_steps=steps, scheduler_specific_kwargs=dict(more)
    )
    for _ in range(after):
        optimizer.step()
        scheduler.step()
    return optimizer, scheduler


def resumed(schedule: str, old: float, new: float, steps: int, after: int, scale: float = 1.0, **more):
    before, at = trained(schedule, old, steps, after)
    optimizer, scheduler = trained(schedule, new, more.pop("steps_now", steps), 0)
    optimizer.load_state_dict(copy.deepcopy(before.state_dict()))
    scheduler.load_state_dict(copy.deepcopy(at.state_dict()))
    args = TrainingArguments("unused", learning_rate=new, use_cpu=True, report_to=[], **more)
    state = TrainerState(global_step=after, max_steps=steps)
    NewValues(scale).on_train_begin(args, state, TrainerControl(), optimizer=optimizer, lr_scheduler=scheduler)
    return optimizer, scheduler, state


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("after", [1, 2, 5])
def test_the_next_step_has_the_rate_of_a_run_that_always_had_it(schedule: str, after: int) -> None:
    optimizer, scheduler, _ = resumed(schedule, 1e-3, 2e-4, 10, after)
    wanted, at = trained(schedule, 2e-4, 10, after)
    for _ in range(3):
        assert [g["lr"] for g in optimizer.param_groups] == [g["lr"] for g in wanted.param_groups]
        assert scheduler.get_last_lr() == at.get_last_lr()
        for one in (optimizer, scheduler, wanted, at):
            one.step()


@pytest.mark.parametrize("schedule", ["linear", "cosine", "polynomial"])
def test_a_longer_run_has_the_schedule_of_its_new_length_at_once_and_says_so(schedule: str, caplog) -> None:
    optimizer, *_ = resumed(schedule, 1e-3, 1e-3, 10, 5, steps_now=20)
    before, now = (trained(schedule, 1e-3, steps, 5)[0].param_groups[0]["lr"] for steps in (10, 20))
    assert optimizer.param_groups[0]["lr"] == now > before
    assert f"the learning rate of step 6 is {now:.4g}; it would have been {before:.4g}" in caplog.text


def test_unchanged_values_change_nothing_to_the_bit_and_say_nothing(caplog) -> None:
    optimizer, scheduler, _ = resumed("cosine", 3e-4, 3e-4, 10, 4, weight_decay=0.1)
    before, at = trained("cosine", 3e-4, 10, 4)
    assert optimizer.state_dict()["param_groups"] == before.state_dict()["param_groups"]
    assert scheduler.get_last_lr() == at.get_last_lr()
    assert not caplog.text


def test_the_guards_factor_stays() -> None:
    optimizer, *_ = resumed("constant", 1e-3, 2e-4, 10, 5, scale=0.5)
    assert optimizer.param_groups[0]["lr"] == 1e-4


@pytest.mark.parametrize(("before", "now"), [(0.1, 0.3), (0.0, 0.3), (0.1, 0.0)])
def test_other_settings_of_the_optimizer_are_real_too(before: float, now: float) -> None:
    optimizer, _, state = resumed("constant", 1e-3, 1e-3, 10, 5, weight_decay=now, adam_beta2=0.9, save_steps=7)
    assert [group["weight_decay"] for group in optimizer.param_groups] == [now, 0.0]
    assert optimizer.param_groups[0]["betas"] == (0.9, 0.9)
    assert state.save_steps == 7


def verify(pairs):
    return [Verdict(*(("correct", 1.0) if text.count("w1") % 2 else ("wrong", 0.0))) for _, text in pairs]


def rl(policy: Path, out: Path, steps: int = 4, on_step=None, **trl):
    fields = {"num_generations": 4, "max_completion_length": 12, "learning_rate": 2e-3, "save_steps": 1} | trl
    numbers = {"prompts_per_step": 2, "token_budget": 40, "row_tokens": 32, "prompt_suffix": {}}
    return train(policy, PROBLEMS, verify, out, steps=steps, trl=fields, on_step=on_step, **numbers)


@pytest.mark.slow
def test_an_rl_run_that_goes_on_logs_the_new_rate_with_its_next_step(tmp_path: Path) -> None:
    policy = save_policy(tmp_path / "policy", "llama")

    def stop(row):
        if row["step"] == 1:
            os.kill(os.getpid(), signal.SIGUSR1)

    with pytest.raises(Interrupted):
        rl(policy, tmp_path / "out", on_step=stop)
    rl(policy, tmp_path / "out", steps=5, learning_rate=5e-4)
    rows = read_jsonl(tmp_path / "out" / "metrics.jsonl")
    assert [row["step"] for row in rows] == [1, 2, 3, 4, 5]
    assert [row["lr"] for row in rows] == [2e-3, 2e-3, 5e-4, 5e-4, 5e-4]


def test_a_run_that_begins_is_left_alone() -> None:
    args = TrainingArguments("unused", use_cpu=True, report_to=[])
    group = {"lr": 0.5}
    loop = {"optimizer": SimpleNamespace(param_groups=[group]), "lr_scheduler": SimpleNamespace()}
    NewValues().on_train_begin(args, TrainerState(global_step=0), TrainerControl(), **loop)
    assert group == {"lr": 0.5}
