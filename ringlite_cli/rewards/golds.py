"""Whether a gold answer is one that a response can meet: read whole, not merely compared as text."""

from ringlite_cli.problems import Problem
from ringlite_cli.rewards.normalise import answer_texts
from ringlite_cli.rewards.reading.verdict import choice_of, fault_of_gold, is_sentence

_READ_DOMAINS = ("math", "science")


def gold_fault(problem: Problem) -> str | None:
    """Return why no natural response to a problem would be rewarded; None for a gold that is read whole.

    Only math and science are judged, the domains whose answers are read. Of several accepted forms, one is enough.
    """
    if (problem.verifier or problem.domain) not in _READ_DOMAINS:
        return None
    golds = answer_texts(problem.answer)
    faults = [_fault(gold) for gold in golds]
    return None if not all(faults) or not golds else f"{faults[0]}: {golds[0][:80]}"


def _fault(gold: str) -> str:
    if choice_of(gold):
        return ""
    if fault := fault_of_gold(gold):
        return f"the answer is not read whole ({fault}), so only the same text would count"
    return "the answer is words, of which only the same would count" if is_sentence(gold) else ""
