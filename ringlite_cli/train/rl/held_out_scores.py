"""Scores problems that RL does not train on, now and then while it trains: what the guard holds reward against.

They are answered greedily by the trainer's own model, also where an engine draws the rollouts: that leaves the engine,
its weights and every random state as they are, so that a run comes out the same with and without it.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import torch
from accelerate.utils import gather_object
from transformers import GenerationConfig, TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from trl.models.utils import unwrap_model_for_generation

from ringlite_cli.chat.rendering import prompt_ids
from ringlite_cli.chat.responses import response_texts
from ringlite_cli.problems import Problem
from ringlite_cli.runs.row_types import PromptRow
from ringlite_cli.train.guard.gap import Scores
from ringlite_cli.train.rl.held_out import HeldOutSet
from ringlite_cli.train.rl.reward import VerifiedReward

_BATCH = 16
"""Responses that are drawn at a time."""


class HeldOutScores(TrainerCallback):
    """Measures after step 1 and every so many steps; the scores stand in the step's row, and on the trainer."""

    def __init__(
        self,
        trainer: Any,
        held_out: HeldOutSet,
        reward: VerifiedReward,
        row: Callable[[Problem], PromptRow],
    ) -> None:
        """row: makes a problem's row, as of those that are trained on."""
        self._trainer, self._problems, self._every, self._reward = trainer, held_out.problems, held_out.every, reward
        self._prompts = [prompt_ids(trainer.processing_class, row(problem)["prompt"]) for problem in self._problems]

    def on_step_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self._trainer.held_out_scores = None

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        if state.global_step != 1 and state.global_step % self._every:
            return
        started = time.perf_counter()
        scores = self._measure()
        self._trainer.held_out_scores = scores
        known = {domain: [score for score in found if score is not None] for domain, found in scores.items()}
        means = {domain: sum(found) / len(found) for domain, found in sorted(known.items()) if found}
        self._trainer.step_stats |= {
            "held_out_by_domain": means,
            "held_out_seconds": time.perf_counter() - started,
        }
        for domain, mean in means.items():
            self._trainer._metrics["train"][f"held_out/{domain}/score"].append(mean)

    def _measure(self) -> Scores:
        """Return the scores of all problems, each answered on one rank. Every rank has to call it."""
        accelerator = self._trainer.accelerator
        mine = range(accelerator.process_index, len(self._problems), accelerator.num_processes)
        texts: list[str] = []
        for start in range(0, len(mine), _BATCH):
            drawn = self._draw([self._prompts[i] for i in mine[start : start + _BATCH]])
            texts += response_texts(self._trainer.processing_class, drawn)
        rewards = asyncio.run(self._reward(texts, [self._problems[i].id for i in mine])) if texts else []
        told = dict(gather_object(list(zip(mine, rewards, strict=True))))
        scores: dict[str, list[float | None]] = {}
        for place, problem in enumerate(self._problems):
            scores.setdefault(problem.domain, []).append(told[place])
        return scores

    def _draw(self, prompts: list[list[int]]) -> list[list[int]]:
        """Return the likeliest response to each prompt, token by token, up to its end."""
        trainer = self._trainer
        pad, device = trainer._tokenizer.pad_token_id, trainer.accelerator.device
        width = max(map(len, prompts))
        ids = torch.tensor([[pad] * (width - len(each)) + each for each in prompts], device=device)
        mask = torch.tensor([[0] * (width - len(each)) + [1] * len(each) for each in prompts], device=device)
        config = GenerationConfig(
            max_new_tokens=int(trainer.args.max_completion_length),
            do_sample=False,
            pad_token_id=pad,
            eos_token_id=list(trainer.eos_token_ids),
        )
        with (
            torch.random.fork_rng([device] if device.type == "cuda" else []),
            unwrap_model_for_generation(trainer.model_wrapped, trainer.accelerator) as model,
            torch.no_grad(),
            trainer.accelerator.autocast(),
        ):
            out = model.generate(input_ids=ids, attention_mask=mask, generation_config=config)[:, width:].tolist()
        ends = set(trainer.eos_token_ids)
        return [row[: next((k + 1 for k, token in enumerate(row) if token in ends), len(row))] for row in out]
