"""Tokens of a file's prompts and traces, as the model's chat template asks and SFT trains them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ringlite_cli.data.asking import CHARACTERS_PER_TOKEN
from ringlite_cli.errors import UserError
from ringlite_cli.problems import Problem, chat_messages


@dataclass
class Lengths:
    """Tokens of each problem, in order: prompt with its template and suffix; trace with its end; both together.

    guessed: whether they are characters divided by a number, for want of a tokenizer. longest: (tokens, problem's id)
    of the longest prompt.
    """

    prompts: list[int] = field(default_factory=list)
    traces: list[int] = field(default_factory=list)
    samples: list[int] = field(default_factory=list)
    guessed: bool = False
    longest: tuple[int, str] = (0, "")

    def add(self, problem: Problem, prompt: int, trace: int | None) -> None:
        self.prompts.append(prompt)
        self.longest = max(self.longest, (prompt, problem.id))
        if trace is not None:
            self.traces.append(trace)
            self.samples.append(prompt + trace)


def measure(problems: Sequence[Problem], tokenizer: Any, suffix: Mapping[str, str]) -> Lengths:
    """Measure problems. tokenizer: None guesses by characters. Raises UserError where the template refuses a prompt."""
    if tokenizer is None:
        return _guess(problems, suffix)
    from ringlite_cli.chat.rendering import prompt_ids
    from ringlite_cli.chat.training import SampleMaker

    found, maker = Lengths(), SampleMaker(tokenizer, suffix)
    for problem in problems:
        if problem.trace:
            sample = maker.make(problem)
            found.add(problem, len(sample.prompt_ids), len(sample.response_ids))
        else:
            found.add(problem, len(prompt_ids(tokenizer, chat_messages(problem, suffix))), None)
    return found


def _guess(problems: Sequence[Problem], suffix: Mapping[str, str]) -> Lengths:
    found = Lengths(guessed=True)
    for problem in problems:
        asked = sum(len(message["content"]) for message in chat_messages(problem, suffix))
        trace = round(len(problem.trace) / CHARACTERS_PER_TOKEN) + 1 if problem.trace else None
        found.add(problem, round(asked / CHARACTERS_PER_TOKEN) + 16, trace)
    return found


def quantile(numbers: Sequence[int], share: float) -> int:
    """Return the number that this share of the numbers does not exceed; 0 without any."""
    ordered = sorted(numbers)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0


def spread(numbers: Sequence[int]) -> str:
    """Return numbers in words: least, median, 95th percentile, most."""
    if not numbers:
        return "none"
    middle, high = quantile(numbers, 0.5), quantile(numbers, 0.95)
    return f"{min(numbers):,} to {max(numbers):,} (median {middle:,}, 95 % up to {high:,})"


def check_room(found: Lengths, positions: int | None) -> list[str]:
    """Return what a context has no room for, in words. Raises UserError where it holds no prompt at all."""
    if positions is None:
        return []
    full = sum(tokens >= positions for tokens in found.prompts)
    if full and full == len(found.prompts):
        raise UserError(
            f"every prompt is longer than the model's context of {positions:,} tokens (the shortest: "
            f"{min(found.prompts):,})",
            hint="take a model with a longer context, or a file with shorter prompts",
        )
    lines = []
    if full:
        tokens, name = found.longest
        lines.append(
            f"{full} of {len(found.prompts)} prompts fill the model's context of {positions:,} tokens; they are left "
            f"out (the longest: {name}, {tokens:,} tokens)"
        )
    if long := sum(tokens > positions for tokens in found.samples):
        lines.append(f"{long} of {len(found.samples)} traces do not fit it with their prompts; SFT leaves them out")
    return lines
