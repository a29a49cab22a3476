"""Whether two prompts that look alike are one problem, told from their tokens (see text.py).

Numbers, signs, exponents and named quantities decide. A problem in which one of them is another is another problem,
however alike the words; a word of the story may differ, one of the question may not.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import pairwise

from ringlite_cli.data.text import signature

NEAR = 0.7  # Jaccard index of word pairs (as bags), where numbers and operators agree
AFFIXED = 4  # tokens that the shorter text must have to count as contained in the longer
MANY = 24  # numbers, operators and single letters, of which the order counts
CHANGED = 12  # word pairs that the text with fewer pairs of its own may have, however long both are
CONTAINED_BY = 8  # further tokens from which a longer text may hold numbers of its own

_FILLERS_LIST = (
    "a an the of in on at to is are was were be been being has have had do does did he she it they his her its their"
    " him them who that this these those there then than now today altogether total please kindly just also so and or"
    " with by for from as if let suppose given following below value answer find compute determine evaluate calculate"
    " what which how question problem exercise your you we i give write express form final exactly exact will would"
    " can could should may might each every some any all following expression"
)
_FILLERS = frozenset(_FILLERS_LIST.split()) | frozenset(
    "的了在是有一个请问它他她这那么吗呢和与则为若已知求其中共现地得着过"
)
_ASKING_LIST = (
    "what how find compute determine evaluate calculate simplify which when where solve express factor expand"
)
_ASKING = frozenset(_ASKING_LIST.split()) | frozenset("求问何几少")
_DECISIVE_LIST = (
    "not no none never only least most more less fewer greater smaller larger greatest smallest largest maximum minimum"
    " max min even odd positive negative nonnegative nonzero prime composite integer integers real complex rational"
    " irrational whole natural distinct different same equal sum product difference quotient remainder area perimeter"
    " volume surface circumference length width height radius diameter side sides diagonal angle mean median mode range"
    " average first second last next previous inside outside inner outer increasing decreasing ascending descending sin"
    " cos tan cot sec csc sinh cosh tanh arcsin arccos arctan log ln exp domain derivative integral limit union"
    " intersection row column rows columns horizontal vertical left right up down clockwise counterclockwise"
    " without before after between inclusive exclusive numerator denominator gcd lcm north south east west double"
    " triple half third quarter twice per percent dozen"
)
_DECISIVE = frozenset(_DECISIVE_LIST.split())
_SAME_MEANING = ("largest greatest maximum max", "smallest least minimum min", "average mean", "width breadth")
_SYNONYMS = {word: words for words in _SAME_MEANING for word in words.split()}
_DECISIVE_SIGNS = frozenset("大小多少奇偶正负和差积商最不非面周体长宽高径角内外前后左右上下加减乘除增质合")


def same_problem(words: Sequence[str], others: Sequence[str], procedural: bool) -> float | None:
    """Return the similarity of prompts that agree in signature and label, or None where they are different problems.

    Procedural prompts must hold one another's tokens in order (a filler word was added). Others must be near in words
    and ask the same, or one must stand whole at the start or end of the other.
    """
    score = jaccard(words, others)
    short, long = sorted((words, others), key=len)
    if procedural:
        return score if len(long) <= len(short) + 6 and _is_inside(short, long) else None
    if len(short) >= AFFIXED and is_affixed(short, long):
        return max(score, len(short) / len(long))
    if score < NEAR or _own_pairs(words, others) > CHANGED:
        return None
    return None if asks_otherwise(words, others) else score


def is_affixed(short: Sequence[str], long: Sequence[str]) -> bool:
    """Whether the shorter text stands whole at the start or the end of the longer, with an instruction beside it."""
    size = len(short)
    if list(long[:size]) == list(short):
        rest = long[size:]
    elif list(long[len(long) - size :]) == list(short):
        rest = long[: len(long) - size]
    else:
        return False
    return not signature(rest) and _DECISIVE.isdisjoint(rest) and _DECISIVE_SIGNS.isdisjoint(rest)


def asks_otherwise(words: Sequence[str], others: Sequence[str]) -> bool:
    """Return whether a quantity that is named, or what is asked, is in one of the texts alone."""
    mine, theirs = Counter(words), Counter(others)
    if names_otherwise(words, others):
        return True
    return bool(_news(_asked(words), mine, theirs) or _news(_asked(others), theirs, mine))


def names_otherwise(words: Sequence[str], others: Sequence[str]) -> bool:
    """Return whether a quantity is named in one of the texts alone, or one says "and" where the other says "or"."""
    mine, theirs = Counter(words), Counter(others)
    for changed, known in ((mine - theirs, theirs), (theirs - mine, mine)):
        if any(_is_decisive(word) and not _has_form(word, known) for word in changed):
            return True
    new, old = mine - theirs, theirs - mine
    return len(words) == len(others) and any(a in new and b in old for a, b in (("and", "or"), ("or", "and")))


def quantities(words: Sequence[str]) -> list[str]:
    """The numbers, operators and named quantities among tokens."""
    return [*signature(words), *(word for word in words if word in _DECISIVE or word in _DECISIVE_SIGNS)]


def other_facts(words: Sequence[str], others: Sequence[str]) -> bool:
    """Return whether numbers, operators or single letters differ; a much longer text may hold some of its own beside.

    The order of a few does not count; that of many does, for they are a table, a grid or a board.
    """
    signs, their_signs = signature(words), signature(others)
    short, long = sorted((signs, their_signs), key=len)
    if len(short) > MANY:
        return not _is_inside(short, long) or (len(short) != len(long) and abs(len(words) - len(others)) < CONTAINED_BY)
    mine, theirs = Counter(signs), Counter(their_signs)
    if len(words) >= len(others) + CONTAINED_BY:
        return bool(theirs - mine)
    if len(others) >= len(words) + CONTAINED_BY:
        return bool(mine - theirs)
    return mine != theirs


def jaccard(words: Sequence[str], others: Sequence[str]) -> float:
    """The Jaccard index of the bags of neighbouring words."""
    one, two = _pairs(words), _pairs(others)
    shared = (one & two).total()
    return shared / max(one.total() + two.total() - shared, 1)


def _own_pairs(words: Sequence[str], others: Sequence[str]) -> int:
    """Return how many pairs of neighbouring words each text has for itself, at least."""
    one, two = _pairs(words), _pairs(others)
    return min((one - two).total(), (two - one).total())


def _is_decisive(word: str) -> bool:
    return word in _DECISIVE or word in _DECISIVE_SIGNS


def _has_form(word: str, known: Iterable[str]) -> bool:
    return any(_SYNONYMS.get(word, word) == _SYNONYMS.get(other, other) or _is_form(word, other) for other in known)


def _asked(words: Sequence[str]) -> Sequence[str]:
    """The tokens from the last asking word on; none where nothing asks."""
    place = max((i for i, word in enumerate(words) if word in _ASKING), default=len(words))
    return words[place:]


def _news(asked: Iterable[str], mine: Counter[str], theirs: Counter[str]) -> list[str]:
    """Words of a question that the other text has nowhere, in no form, but fillers."""
    return [
        word for word in asked if word not in theirs and word not in _FILLERS and not _has_form(word, theirs - mine)
    ]


def _is_form(word: str, other: str) -> bool:
    """Return whether two words are forms of one: hen and hens, divide and divided."""
    short, long = sorted((word, other), key=len)
    return len(short) >= 3 and long.startswith(short[: max(3, len(short) - 1)]) and len(long) <= len(short) + 3


def _is_inside(short: Sequence[str], long: Sequence[str]) -> bool:
    rest = iter(long)
    return all(token in rest for token in short)


def _pairs(words: Sequence[str]) -> Counter[tuple[str, ...]]:
    return Counter(pairwise(words)) if len(words) > 1 else Counter([tuple(words)])
