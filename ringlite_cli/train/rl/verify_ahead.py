"""Verification beside generation: a response goes to its verifier when it has ended, while others are still written."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from ringlite_cli.chat.responses import response_texts
from ringlite_cli.train.rl.reward import VerifiedReward


@contextmanager
def verified_ahead(trainer: Any, asked: Sequence[Mapping[str, Any]]) -> Iterator[None]:
    """Have `trainer` roll out the rows `asked` in this block, one response each, and score them.

    Only an engine in the trainer's process hands responses on; elsewhere all are verified when generation is over.
    """
    generation = getattr(trainer, "vllm_generation", None)
    reward = next((function for function in trainer.reward_funcs if isinstance(function, VerifiedReward)), None)
    if reward is None or not hasattr(generation, "on_response"):
        yield
        return
    assert generation is not None

    def on_response(place: int, tokens: list[int]) -> None:
        (text,) = response_texts(trainer.processing_class, [tokens])
        reward.ahead(str(asked[place].get("problem_id", "")), text)

    generation.on_response = on_response
    try:
        yield
    except BaseException:
        reward.drop_ahead()
        raise
    finally:
        generation.on_response = None
