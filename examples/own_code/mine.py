"""A reward domain, an algorithm, an adapter, a task, a prompt source, an engine of RL and two metrics, for own.yaml."""

from collections.abc import Mapping, Sequence
from typing import Any

from ringlite import Algorithm, Domain, Metric, Parts, Problem, Surrogate, Task, Tokens, measures


@measures(Metric("words", "words of a response", "words", "responses", "How many words a response has."))
def length(problem: Problem, response: str) -> dict[str, Any]:
    """Return a reward that falls by a tenth with each word too few or too many, and the number of words."""
    words = len(response.split())
    return {"reward": max(0.0, 1 - abs(words - int(problem.answer or 3)) / 10), "words": words}


POEMS = Domain("poems", verifier=length, needs="answer", suffix="Write nothing else.")


def read(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a problem for a row of poems.jsonl; its domain is the source's, in the recipe."""
    return {"prompt": row["ask"], "answer": str(row["words"]), "trace": row.get("poem")}


def squared_advantage(tokens: Tokens) -> Surrogate:
    """Return REINFORCE's surrogate, -A log pi, with |A| A for A: groups that differ much count more."""
    loss = -tokens.advantages.abs() * tokens.advantages * tokens.log_probs
    return Surrogate(loss, tokens.mask & False, numbers={"advantage_size": tokens.advantages.abs()})


MINE = Algorithm(
    "mine",
    divisor=lambda step: step.budget,
    surrogate=squared_advantage,
    has_budget=True,
    metrics=(Metric("advantage_size", "size of advantages", "", "tokens", "Mean absolute advantage of a token."),),
)


def ask(row: Mapping[str, Any]) -> Parts:
    """Return the parts of a problem for a row of the task."""
    return Parts(row["ask"], str(row["words"]))


SHORT = Task(
    name="short",
    domain="poems",
    hub="made on the spot",
    split="test",
    file="short.jsonl",
    to_problem=ask,
    k=2,
    suffix="",
    generate=lambda: [{"ask": f"Write {n} words.", "words": n} for n in range(1, 5)],
)


class InTurn:
    """Asks every problem in turn."""

    def __init__(self, problems: Sequence[Problem], row: Any, mix: Any, seed: int) -> None:
        self._problems, self._row, self._place = problems, row, 0

    def draw(self, count: int) -> list[dict[str, Any]]:
        """Return the trainer's rows of the next `count` problems."""
        places = range(self._place, self._place + count)
        self._place += count
        return [self._row(self._problems[place % len(self._problems)]) for place in places]

    def note(self, ids: Sequence[str], rewards: Sequence[Sequence[float | None]]) -> None:
        """Learn nothing from the rewards."""

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint keeps."""
        return {"place": self._place}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on where a checkpoint was made."""
        self._place = state["place"]


def draw(prompts: list[Any], trainer: Any) -> dict[str, Any]:
    """Return responses of one to five words, whatever the policy says: an engine would ask it."""
    tokenizer = trainer.processing_class
    asked = [tokenizer.apply_chat_template(p, add_generation_prompt=True, return_dict=True) for p in prompts]
    texts = [" ".join(["word"] * (1 + place % 5)) for place in range(len(prompts))]
    made = [tokenizer(text)["input_ids"] + [tokenizer.eos_token_id] for text in texts]
    return {"prompt_ids": [each["input_ids"] for each in asked], "completion_ids": made, "logprobs": None}
