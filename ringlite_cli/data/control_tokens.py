"""Control tokens of chat formats, spelled out in the texts of data: ringlite asks and trains them as text."""

import re

from ringlite_cli.problems import Problem

_CONTROL = re.compile(
    r"<\|(?:im_start|im_end|im_sep|endoftext|end_of_text|begin_of_text|start_header_id|end_header_id|eot_id|eom_id"
    r"|user|assistant|system|end|start|channel|message|return|START_OF_TURN_TOKEN|END_OF_TURN_TOKEN)\|>"
    r"|<｜[^｜\s]{1,40}｜>|</?s>|\[/?INST\]|<</?SYS>>|<(?:start|end)_of_turn>|<(?:bos|eos|pad|end_of_utterance)>"
)


def control_tokens(problem: Problem) -> set[str]:
    """Return the control tokens that a problem's prompt or trace spells out.

    Which of them are special tokens depends on the model: SFT counts those of its own again.
    """
    texts = (text for text in (problem.prompt, problem.trace) if text and ("<" in text or "[" in text))
    return {match[0] for text in texts for match in _CONTROL.finditer(text)}


def control_warning(rows: dict[str, int]) -> list[str]:
    """Return a warning of kept rows that spell out control tokens, by token; none where no row does."""
    if not rows:
        return []
    shown = ", ".join(f"{token} ({count})" for token, count in sorted(rows.items(), key=lambda each: -each[1])[:5])
    return [f"kept rows spell out control tokens of chat formats: {shown}; they are asked and trained as text"]
