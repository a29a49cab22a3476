"""Thoughts in one notation: `<think>...</think>` before the answer, whatever tags the source writes."""

from ringlite_cli.boxes import last_boxed
from ringlite_cli.thoughts import TAGS

OPEN, CLOSE = TAGS[0]

_PAIRS = (  # beside the usual ones, those that only published traces have
    *TAGS[1:],
    ("<reflection>", "</reflection>"),
    ("<|thinking|>", "<|/thinking|>"),
    ("<|channel|>analysis<|message|>", "<|end|>"),
)
_ANSWER_PAIRS = (  # tags around what follows the thought
    ("<|begin_of_solution|>", "<|end_of_solution|>"),
    ("<answer>", "</answer>"),
    ("<solution>", "</solution>"),
    ("<response>", "</response>"),
    ("<output>", "</output>"),
    ("<|start|>assistant<|channel|>final<|message|>", "<|return|>"),
)


def with_thought(thought: str | None, answer: str | None) -> str | None:
    """A trace of a thought and an answer that stand apart; an answer that holds its thought, or has none, stays."""
    thought, answer = (thought or "").strip(), normal_thoughts(answer or "")
    if not thought or answer.startswith(OPEN):
        return answer if answer.strip() else None
    answer = answer.strip()
    inner = normal_thoughts(thought)
    inner = inner.removeprefix(OPEN).removesuffix(CLOSE).strip()
    return f"{OPEN}\n{inner}\n{CLOSE}\n\n{answer}".strip()


def normal_thoughts(trace: str) -> str:
    """The trace with its thought between `<think>` and `</think>`, and no tags around the answer behind it.

    Only a thought at the very start counts: tags further on are part of the text.
    """
    text = trace.lstrip()
    for opens, closes in _PAIRS:
        if text.startswith(opens) and closes in text:
            thought, _, rest = text[len(opens) :].partition(closes)
            text = f"{OPEN}\n{thought.strip()}\n{CLOSE}\n\n{rest.strip()}".rstrip()
            break
    if not text.startswith(OPEN) and CLOSE in text and OPEN not in text:
        text = f"{OPEN}\n{text}"  # the template that it was sampled with had opened the thought
    if not text.startswith(OPEN) or CLOSE not in text:
        return _bare_answer(text) if text != trace.lstrip() else trace
    thought, _, rest = text[len(OPEN) :].partition(CLOSE)
    answer = _bare_answer(rest.strip())
    if not thought.strip():
        return answer
    made = f"{OPEN}\n{thought.strip()}\n{CLOSE}\n\n{answer}".rstrip()
    return trace if made.split() == trace.split() else made


def with_answer_tags(trace: str) -> str:
    """The trace with its answer, all that follows the thought, between the tags by which a logic game's is read."""
    thought, closed, answer = trace.rpartition(CLOSE)
    if not closed or "<answer>" in answer or last_boxed(answer) is not None:
        return trace
    return f"{thought}{closed}\n<answer>{answer.strip()}</answer>"


def _bare_answer(text: str) -> str:
    for opens, closes in _ANSWER_PAIRS:
        if text.startswith(opens):
            return text[len(opens) :].strip().removesuffix(closes).strip()
    return text
