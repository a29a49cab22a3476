"""DAPO-Math (BytedTsinghua-SIA/DAPO-Math-17k; arXiv 2503.14476): prompt (a chat), reward_model {ground_truth}.

The chat wraps each problem in an instruction, which comes off. The published file repeats its 17,917 problems about a
hundred times over; deduplication leaves one of each. Also open-r1/DAPO-Math-17k-Processed: prompt, solution.
"""

from collections.abc import Mapping

from ringlite_cli.data.adapters.fields import BadRow, Fields, Raw, answer_text, labels, text

DOMAIN = "math"
EDUCATION = "high school competition"
_BEFORE = "Solve the following math problem step by step. The last line of your response should be of the form Answer:"
_AFTER = "Remember to put your answer on its own line after"


def read(row: Raw) -> Fields:
    reward = row.get("reward_model")
    gold = reward.get("ground_truth") if isinstance(reward, Mapping) else row.get("solution", row.get("answer"))
    return {
        "prompt": _unwrapped(_question(row)),
        "answer": answer_text(gold),
        "labels": labels(row, collection="data_source"),
    }


def _question(row: Raw) -> str:
    """The text of the user's first turn, or the prompt where it is text."""
    prompt = row.get("prompt")
    if not isinstance(prompt, list | tuple):
        return text(row, "prompt")
    turns = [t for t in prompt if isinstance(t, Mapping) and t.get("role") == "user"]
    if not turns or not isinstance(turns[0].get("content"), str):
        raise BadRow("'prompt' has no turn of the user")
    return str(turns[0]["content"])


def _unwrapped(question: str) -> str:
    if question.startswith(_BEFORE):
        question = question.partition("\n")[2]
    return question.partition(_AFTER)[0].strip()
