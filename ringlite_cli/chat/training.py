"""A training sample: the prompt as RL, select and eval ask it, the response to its trace, and the end token.

The template's own branch for a turn of the assistant is never used: it may drop the thought, add an empty one, strip
white space, or write no end.
"""

import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ringlite_cli.chat.rendering import decode, encode_text, prompt, spelled_specials
from ringlite_cli.chat.thinking import Thinking, is_answer_alone, response_ids, shape
from ringlite_cli.errors import UserError
from ringlite_cli.problems import Problem, chat_messages
from ringlite_cli.thoughts import TAGS, Tags

IGNORED = -100
"""The label of a token that carries no loss."""


@dataclass(frozen=True, slots=True)
class TrainingSample:
    """What SFT trains of one problem.

    prompt, prompt_ids: the prompt, whose tokens carry no loss. response, response_ids: the trace as trained; the last
    of its tokens is the end token, unless it was cut. how: see `thinking.Shaped`. spelled: the special tokens that its
    texts spell out, which are text here.
    """

    id: str
    domain: str
    prompt: str
    prompt_ids: list[int]
    response: str
    response_ids: list[int]
    how: str = "as given"
    cut: bool = False
    spelled: tuple[str, ...] = ()

    @property
    def tokens(self) -> int:
        return len(self.prompt_ids) + len(self.response_ids)

    @property
    def input_ids(self) -> list[int]:
        return self.prompt_ids + self.response_ids

    def labels(self, *, of_prompt: bool = False) -> list[int]:
        """Return one label a token: those of the response carry loss, and of the prompt where asked for."""
        return (self.prompt_ids if of_prompt else [IGNORED] * len(self.prompt_ids)) + self.response_ids


class SampleMaker:
    """Makes the training samples of a tokenizer.

    thinking: see `ringlite_cli.chat.thinking`. tags: those that open and close a thought.
    """

    def __init__(self, tokenizer: Any, suffix: Mapping[str, str], thinking: Thinking = "auto", tags: Tags = TAGS):
        self.tokenizer, self.suffix, self.thinking, self.tags = tokenizer, suffix, thinking, tags
        self.end = tokenizer.eos_token
        if self.end is None:
            raise UserError(
                "the tokenizer has no end token (eos_token), so no response would end",
                where="end_token",
                hint="give `end_token`, a token of the model's vocabulary, at the recipe's head",
            )
        self.end_id = int(tokenizer.eos_token_id)

    def make(self, problem: Problem) -> TrainingSample:
        """Return the sample of a problem that has a trace."""
        return self.of_turns(chat_messages(problem, self.suffix), problem.trace or "", problem.id, problem.domain)

    def of_turns(
        self, messages: Sequence[Mapping[str, str]], trace: str, name: str = "", domain: str = ""
    ) -> TrainingSample:
        text, ids = prompt(self.tokenizer, messages)
        alone = is_answer_alone(domain, trace)
        shaped = shape(self.tokenizer, text, trace, self.thinking, self.tags, answer_alone=alone)
        spelled = spelled_specials(self.tokenizer, "\n".join([*(m["content"] for m in messages), _untagged(shaped)]))
        return TrainingSample(
            id=name,
            domain=domain,
            prompt=text,
            prompt_ids=ids,
            response=shaped.text,
            response_ids=[*response_ids(self.tokenizer, shaped.pieces), self.end_id],
            how=shaped.how,
            spelled=tuple(sorted(spelled)),
        )


def _untagged(shaped: Any) -> str:
    return "\n".join(piece.text for piece in shaped.pieces if not piece.is_tag)


def misread(tokenizer: Any, sample: TrainingSample) -> str:
    """Return where a sample's tokens, decoded, are not its prompt and its response; "" where they are.

    What the tokenizer alone changes (white space, the form of a letter) is no difference.
    """
    ended = not sample.cut
    for part, text, ids in (
        ("prompt", sample.prompt, sample.prompt_ids),
        ("response", sample.response, sample.response_ids[:-1] if ended else sample.response_ids),
    ):
        read = decode(tokenizer, ids)
        whole = part == "prompt" or ended
        if read != text and not _same_text(read, text if whole else text[: len(read)]):
            return f"the {part} reads back otherwise: {difference(text, read)}"
    return ""


def is_unwritable(tokenizer: Any, sample: TrainingSample) -> bool:
    """Return whether the tokenizer itself loses letters of a sample's texts: it has no tokens for them."""
    texts = (sample.prompt, sample.response)
    return any(not _same_text(decode(tokenizer, encode_text(tokenizer, text)), text) for text in texts)


def _same_text(one: str, other: str) -> bool:
    return _plain(one) == _plain(other)


def _plain(text: str) -> str:
    return "".join(unicodedata.normalize("NFKC", text).split())


def difference(given: str, read: str, around: int = 40) -> str:
    """Return the first place where two texts differ, with what stands around it in both."""
    place = next((i for i, (a, b) in enumerate(zip(given, read, strict=False)) if a != b), min(len(given), len(read)))
    cut = slice(max(0, place - around), place + around)
    return f"character {place:,}: given {given[cut]!r}, trained {read[cut]!r}"


def tally(samples: Sequence[TrainingSample]) -> dict[str, int]:
    """Return how many samples were made in which way."""
    return dict(Counter(sample.how for sample in samples))
