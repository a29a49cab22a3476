"""Words of a text in any language, and how much a text repeats itself."""

import re
from collections.abc import Sequence

_CJK = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_WORD = re.compile(rf"[{_CJK}]|[^\W{_CJK}]+|[^\w\s]")


def words_of(text: str) -> list[str]:
    """Return the words of a text, without case: runs of letters and digits, single characters of Chinese and Japanese,
    and single signs.

    >>> words_of("f(x) = 你好, World_2")
    ['f', '(', 'x', ')', '=', '你', '好', ',', 'world_2']
    """
    return _WORD.findall(text.casefold())


def repeated_share(words: Sequence[str], ngram: int, window: int | None = None) -> float:
    """Return the share of n-grams that stand earlier in the text too; 0 for a text without any n-gram.

    window: how many words back the earlier one may begin; None: anywhere.

    >>> repeated_share("a b a b a".split(), 2)  # of ab, ba, ab, ba the last two
    0.5
    """
    last: dict[tuple[str, ...], int] = {}
    repeated, count = 0, len(words) - ngram + 1
    for place in range(count):
        found = tuple(words[place : place + ngram])
        before = last.get(found)
        repeated += before is not None and (window is None or place - before <= window)
        last[found] = place
    return repeated / count if count > 0 else 0.0
