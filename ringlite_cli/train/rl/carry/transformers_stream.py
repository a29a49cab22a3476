"""The trainer's own model as a stream of responses: some tokens at a time, for all that are under way.

Slow: every piece reads prompts and what was written anew. It needs nothing but transformers.
"""

from collections.abc import Sequence
from copy import copy
from typing import Any

import torch
from torch import Tensor
from trl.models.utils import unwrap_model_for_generation

from ringlite_cli.recipe.rollouts import piece_of
from ringlite_cli.train.engine.stream import Ask, Written


class TransformersStream:
    """See ringlite_cli/train/engine/stream.py. trainer: a GRPOTrainer that generates without vLLM."""

    def __init__(self, trainer: Any) -> None:
        self._trainer = trainer
        self._piece = piece_of(int(trainer.args.max_completion_length))
        self._open: dict[str, tuple[Ask, list[int], list[float]]] = {}

    def ask(self, asks: Sequence[Ask]) -> None:
        self._open |= {ask.name: (ask, [], []) for ask in asks}

    def step(self) -> list[Written]:
        found, ends = [], set(self._trainer.eos_token_ids)
        names = list(self._open)
        room = min(self._piece, *(ask.room - len(tokens) for ask, tokens, _ in self._open.values()))
        drawn = self._draw([ask.ids + tokens for ask, tokens, _ in self._open.values()], room)
        for name, (tokens, log_probs) in zip(names, drawn, strict=True):
            ask, written, known = self._open[name]
            end = next((place + 1 for place, token in enumerate(tokens) if token in ends), len(tokens))
            written += tokens[:end]
            known += log_probs[:end]
            if written[-1] in ends or len(written) >= ask.room:
                del self._open[name]
                found.append(Written(name, written, known, True))
        return found

    def written(self) -> int:
        return sum(len(tokens) for _, tokens, _ in self._open.values())

    def stop(self) -> list[Written]:
        found = [Written(name, tokens, known, False) for name, (_, tokens, known) in self._open.items()]
        self._open.clear()
        return found

    def _config(self, room: int) -> Any:
        config = copy(self._trainer.generation_config)
        config.max_new_tokens, config.return_dict_in_generate, config.output_scores = room, True, True
        return config

    def _draw(self, prompts: list[list[int]], room: int) -> list[tuple[list[int], list[float]]]:
        """Draw up to `room` further tokens of each prompt; return them with their log-probabilities."""
        trainer = self._trainer
        width = max(map(len, prompts))
        pad = trainer._tokenizer.pad_token_id
        ids = torch.tensor([[pad] * (width - len(each)) + each for each in prompts], device=trainer.accelerator.device)
        mask = torch.tensor([[0] * (width - len(each)) + [1] * len(each) for each in prompts], device=ids.device)
        with (
            unwrap_model_for_generation(
                trainer.model_wrapped, trainer.accelerator, generation_kwargs=trainer.generation_kwargs
            ) as model,
            torch.no_grad(),
            trainer.accelerator.autocast(),
        ):
            out = model.generate(input_ids=ids, attention_mask=mask, generation_config=self._config(room))
        tokens = out.sequences[:, width:]
        log_probs = torch.stack([_picked(each, tokens[:, place]) for place, each in enumerate(out.scores)], 1)
        return list(zip(tokens.tolist(), log_probs.tolist(), strict=True))


def _picked(scores: Tensor, tokens: Tensor) -> Tensor:
    """Return the log-probability of each response's token of a step: one step at a time, for all would be large."""
    return torch.log_softmax(scores.float(), -1).gather(-1, tokens[:, None]).squeeze(-1)
