"""The response that a trace becomes: its thought between the tags that the model thinks in, the answer behind them.

A trace is plain, or has its thought between tags (any of `ringlite_cli.thoughts.TAGS`). A chat template may ask with a
thought already open (DeepSeek-R1-Distill), with a thought that is over ("<think>\\n\\n</think>": thinking is off), or
know tags that the model writes itself (Qwen3).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ringlite_cli.boxes import last_box
from ringlite_cli.chat.rendering import encode_text, special_ids
from ringlite_cli.thoughts import TAGS, Tags, opened_thought

Thinking = Literal["auto", "wrap", "as-is"]

_FENCED = re.compile(r"^```[^\n]*\n.*?^```[ \t]*$", re.MULTILINE | re.DOTALL)
_FINAL = re.compile(r"^#### *(.+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a response; a tag may be one special token, which text never is."""

    text: str
    is_tag: bool = False


@dataclass(frozen=True, slots=True)
class Shaped:
    """A response, and what was done with its trace.

    how: "as given", "retagged" (its thought stands in the model's own tags), "wrapped" (a plain trace became a thought
    with an answer behind it), "thoughtless" (an answer alone, behind an empty thought), "unthinking" (plain, though the
    prompt opens a thought), or "thinking after all" (a thought, though the prompt says there is none).
    """

    pieces: tuple[Piece, ...]
    how: str

    @property
    def text(self) -> str:
        return "".join(piece.text for piece in self.pieces)


def tags_of_template(tokenizer: Any, tags: Tags = TAGS) -> tuple[str, str] | None:
    """Return the tags that the chat template knows as those of a thought; None where it knows none."""
    template = tokenizer.chat_template
    text = "\n".join(template.values()) if isinstance(template, dict) else str(template or "")
    return next(((start, end) for start, end in tags if end in text), None)


def tags_of_vocabulary(tokenizer: Any, tags: Tags = TAGS) -> tuple[str, str] | None:
    """Return the tags of a thought that are tokens of their own; None where there are none."""
    own = tokenizer.get_added_vocab()
    return next(((start, end) for start, end in tags if start in own and end in own), None)


def is_answer_alone(domain: str, trace: str) -> bool:
    """Return whether a plain trace is what the user reads, with no reasoning in it: a general one that marks no result.

    A trace of another domain, or with a box or a #### line, is worked towards its result.
    """
    return domain == "general" and not last_box(trace) and not _FINAL.search(trace)


def shape(
    tokenizer: Any,
    prompt: str,
    trace: str,
    thinking: Thinking = "auto",
    tags: Tags = TAGS,
    *,
    answer_alone: bool = False,
) -> Shaped:
    """Return the response that SFT trains behind a rendered prompt. See `Shaped`.

    answer_alone: a plain trace is an answer and no thought (`is_answer_alone`); its thought is then empty.
    """
    opened = opened_thought(prompt, tags)
    known = next(((o, c) for o, c in tags if o == opened), None) or tags_of_template(tokenizer, tags)
    over = bool(known) and not opened and prompt.rstrip().endswith(known[1] if known else "")
    found = _split(trace, tags)
    if found:
        how = "thinking after all" if over else "as given"
        if known and found[0] not in (known[0], "") and thinking != "as-is":
            found, how = (known[0], found[1], known[1], found[3]), "retagged"
        return Shaped(_behind(prompt, opened, found, known), how)
    if thinking == "wrap":
        known = known or tags_of_vocabulary(tokenizer, tags) or tags[0]
    if thinking == "as-is" or not known or (over and thinking != "wrap"):
        return Shaped((Piece(trace),), "unthinking" if opened else "as given")
    if answer_alone:
        parts = (known[0], "\n\n", known[1], f"\n\n{trace}")
        return Shaped(_behind(prompt, opened, parts, known), "thoughtless")
    parts = (known[0], f"\n{trace.strip()}\n", known[1], f"\n\n{final_answer(trace)}")
    return Shaped(_behind(prompt, opened, parts, known), "wrapped")


def final_answer(trace: str) -> str:
    """Return what a plain trace ends in: a code block, its last box, what stands after ####, or its last paragraph."""
    blocks = _FENCED.findall(trace)
    boxed = last_box(trace)
    if blocks and trace.rstrip().endswith(blocks[-1].rstrip()):
        return str(blocks[-1].strip())
    if boxed:
        return boxed
    if blocks:
        return str(blocks[-1].strip())
    if marked := _FINAL.findall(trace):
        return str(marked[-1].strip())
    return trace.strip().rsplit("\n\n", 1)[-1].strip()


def _split(trace: str, tags: Tags) -> tuple[str, str, str, str] | None:
    """(opening tag, thought, closing tag, answer) of a trace that begins with a thought; None for a plain one.

    A closing tag without an opening one ends a thought that the prompt had opened.
    """
    text = trace.lstrip()
    for opens, closes in tags:
        if text.startswith(opens):
            thought, tag, answer = text[len(opens) :].partition(closes)
            return (opens, thought, closes, answer) if tag else None
    for opens, closes in tags:
        if closes in text and opens not in text:
            thought, _, answer = text.partition(closes)
            return ("", thought, closes, answer)
    return None


def _behind(
    prompt: str, opened: str, parts: tuple[str, str, str, str], known: tuple[str, str] | None
) -> tuple[Piece, ...]:
    """The parts of a thinking response behind a prompt: what the prompt has opened is not said again."""
    opens, thought, closes, answer = parts
    if opened:
        tail = prompt[prompt.rfind(opened) + len(opened) :]
        thought = thought[_shared(tail, thought) :]
        opens = ""
        closes = known[1] if known else closes
    elif not opens and known:
        opens = known[0]
    return tuple(p for p in (Piece(opens, True), Piece(thought), Piece(closes, True), Piece(answer)) if p.text)


def _shared(tail: str, thought: str) -> int:
    """Return how much of the white space that a thought begins with the prompt has written already."""
    count = 0
    while count < min(len(tail), len(thought)) and tail[count] == thought[count]:
        count += 1
    return count


def response_ids(tokenizer: Any, pieces: Sequence[Piece]) -> list[int]:
    """Return the tokens of a response. Its tags are their own tokens, where they are special; all else is text."""
    own = {token: i for i, token in special_ids(tokenizer).items()}
    ids: list[int] = []
    text = ""
    for piece in pieces:
        if piece.is_tag and piece.text in own:
            ids += [*encode_text(tokenizer, text), own[piece.text]]
            text = ""
        else:
            text += piece.text
    return ids + encode_text(tokenizer, text)
