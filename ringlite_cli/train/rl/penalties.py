"""What an answer loses of an open-ended reward: words beyond a target, and n-grams that it repeats.

Both are counted in words, not in tokens, so that they are the same for any model and can be measured by a reference
answer. Thoughts are left out: what is judged is the answer.
"""

from collections.abc import Sequence

from ringlite_cli.recipe.composition import LengthPenalty, RepetitionPenalty
from ringlite_cli.repetition import repeated_share, words_of


def length_loss(words: Sequence[str], reference: str | None, rule: LengthPenalty) -> float:
    """Return what an answer of these words loses, from 0 up to the target to `most` at target + span.

    reference: the row's reference answer; None where it has none.
    """
    target: float = rule.words
    if rule.reference is not None and reference:
        target = rule.reference * len(words_of(reference))
    return rule.most * min(1.0, max(0.0, (len(words) - target) / rule.span))


def repetition_loss(words: Sequence[str], rule: RepetitionPenalty) -> float:
    """Return what an answer of these words loses, from 0 at a share `free` of repeated n-grams to `most` at `full`."""
    share = repeated_share(words, rule.ngram, rule.window)
    return rule.most * min(1.0, max(0.0, (share - rule.free) / (rule.full - rule.free)))
