"""Which language a text is in, as far as the script and the commonest words tell; and whether it was asked for.

Formulas say nothing of a language: LaTeX, single letters and names of functions are left out first.
"""

import re
from collections import Counter

from ringlite_cli.data.rules.registry import Family
from ringlite_cli.problems import Problem

LANGUAGE = Family("language", [])
LANGUAGES = ("en",)
WORDED = ("en", "zh")
"""The languages whose words the rules of prompts and answers know."""

_SCRIPTS = {
    "zh": "\u3400-\u4dbf\u4e00-\u9fff",
    "ja": "\u3040-\u30ff",
    "ko": "\uac00-\ud7af",
    "ru": "\u0400-\u04ff",
    "ar": "\u0600-\u06ff",
    "he": "\u0590-\u05ff",
    "hi": "\u0900-\u097f",
    "th": "\u0e00-\u0e7f",
}
_UNSPACED = ("zh", "ja", "th")
_SCRIPT = {
    name: re.compile(f"[{letters}]" if name in _UNSPACED else f"[{letters}]+") for name, letters in _SCRIPTS.items()
}
_ANY_SCRIPT = re.compile(f"[{''.join(_SCRIPTS.values())}]")
_FORMULA = re.compile(
    r"```.*?```|\$\$.*?\$\$|\$[^$]*\$|\\\[.*?\\\]|\\\(.*?\\\)|\\begin\{(\w+\*?)\}.*?\\end\{\1\}|\[asy\].*?\[/asy\]",
    re.S,
)
_COMMAND = re.compile(r"\\(?:mathrm|operatorname|mathbf|mathbb|mathcal)\s*\{[^{}]*\}|\\[a-zA-Z]+|https?://\S+")
_WORD = re.compile(r"[^\W\d_]{2,}")
_LATIN_WORD = re.compile(r"[A-Za-z\u00c0-\u024f]{2,}")
_FUNCTIONS = re.compile(r"\b(?:sin|cos|tan|cot|sec|csc|log|ln|lg|lim|max|min|exp|gcd|lcm|mod|cm|mm|km|kg|[A-Z]{2,6})\b")
_COMMON = {
    "en": "the of and is in to are that find what how many if for with on each at by from has be as it an he she",
    "fr": "le les des est et une dans que qui pour sur avec sont soit trouver combien quel du au aux par on ne",
    "de": "der die das und ist ein eine den dem von mit auf für sind sei wie viele bestimmen zu im nicht es",
    "es": "el los las una es en que por con para del se un son cuántos hallar cuál determine sea como al su",
    "pt": "os as um uma em que por com para do da são seja quantos determine qual não no na ao dos se",
    "it": "il gli una di che per con del della sono sia quanti trovare nel è un dei si al da",
}
KNOWN = (*_COMMON, *_SCRIPTS)
_LANGUAGES_OF = {
    word: {name for name, words in _COMMON.items() if word in words.split()}
    for words in _COMMON.values()
    for word in words.split()
}
_FOREIGN = frozenset(_LANGUAGES_OF) - set(_COMMON["en"].split())
_DISTINCT = 3  # different common words of other languages, below which a text is not looked at
_ENOUGH = 5  # common words of a language before it is believed
_KANA = 0.1  # share of Japanese signs from which unspaced text is Japanese
_SIGNS_A_WORD = 1.5  # signs of an unspaced script that say as much as a word


def language_of(text: str) -> str:
    """A two-letter code; "en" where nothing speaks against it (a bare formula is in any language)."""
    if not text.isascii() and _ANY_SCRIPT.search(text) and (found := _by_script(text)):
        return found
    if len(_FOREIGN.intersection(text.lower().split())) < _DISTINCT:
        return "en"
    counts: Counter[str] = Counter()
    for word in _WORD.findall(_FORMULA.sub(" ", text) if "$" in text or "\\" in text or "`" in text else text):
        for name in _LANGUAGES_OF.get(word.lower(), ()):
            counts[name] += 1
    best, hits = counts.most_common(1)[0] if counts else ("en", 0)
    return best if hits >= _ENOUGH and hits > 2 * counts["en"] else "en"


def _by_script(text: str) -> str:
    """The language whose script says more than the Latin words do, or ""."""
    words = _COMMAND.sub(" ", _FORMULA.sub(" ", text))
    latin = len(_LATIN_WORD.findall(_FUNCTIONS.sub(" ", words)))
    signs = {name: len(pattern.findall(words)) for name, pattern in _SCRIPT.items()}
    if signs["ja"] >= _KANA * (signs["ja"] + signs["zh"]) > 0:
        signs["ja"], signs["zh"] = signs["ja"] + signs["zh"], 0
    said = {name: n / _SIGNS_A_WORD if name in _UNSPACED else n for name, n in signs.items()}
    best = max(said, key=lambda name: said[name])
    return best if said[best] > latin else ""


@LANGUAGE.rule
def language(problem: Problem) -> str | None:
    """The prompt is in a language that the recipe's `languages` (default: en) does not name, by script and words."""
    return None if language_of(problem.prompt) in LANGUAGES else "other_language"
