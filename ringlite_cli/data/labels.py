"""Labels of every row that came through (PAPER §2, phase 3), each with how it was made under `labelled_by`.

subject_class  math: the two digits of the Mathematics Subject Classification 2020 (msc2020.org)
topic          code and science: a word from `TOPICS`
education      the level that the source is written for
length         of the prompt, in characters, by powers of two
difficulty     as the source gives it; `pass_rate` is the model-aware one (difficulty.py)
"""

import re
from collections import Counter
from typing import Any

from ringlite_cli.data.suites import WRONG_SOLUTIONS
from ringlite_cli.problems import Problem

MSC = {
    "00": "general",
    "03": "logic and foundations",
    "05": "combinatorics",
    "11": "number theory",
    "12": "field theory and polynomials",
    "15": "linear algebra",
    "20": "group theory",
    "26": "real functions",
    "30": "functions of a complex variable",
    "33": "special functions",
    "34": "ordinary differential equations",
    "35": "partial differential equations",
    "40": "sequences and series",
    "51": "geometry",
    "54": "topology",
    "60": "probability",
    "62": "statistics",
    "91": "games, economics and finance",
    "97": "school mathematics",
}

_GIVEN = (  # words in the source's own subject, the first that fits
    ("number theory", "11"),
    ("counting", "05"),
    ("probability", "60"),
    ("combinatorics", "05"),
    ("geometry", "51"),
    ("linear algebra", "15"),
    ("matri", "15"),
    ("differential equation", "34"),
    ("complex", "30"),
    ("calculus", "26"),
    ("analysis", "26"),
    ("statistic", "62"),
    ("logic", "03"),
    ("topology", "54"),
    ("group", "20"),
    ("prealgebra", "97"),
    ("word problem", "97"),
    ("algebra", "12"),
    ("inequalit", "26"),
)

_WORDS = {  # words, and beginnings of words with a star after five letters
    "05": "ways arran* permu* combi* subset subsets graph vertices tourn* color* colou* commi* binom choose seated"
    " path paths",
    "11": "divis* remai* prime primes integer integers digit digits gcd lcm mod factor factors multiple multiples base",
    "12": "polyn* root roots coeff* quadr* equation equations solve",
    "15": "matrix matrices deter* vector vectors eigen* pmatrix",
    "26": "function functions deriv* integ* limit limits conti* maximum minimum lim int",
    "30": "complex imagi* holom* residue",
    "33": "sin cos tan sec cot log logarithm logarithms theta",
    "40": "seque* series conve* arithmetic geometric infinite",
    "51": "trian* circle circles angle angles square squares recta* polyg* perim* area radius cube cubes sphere spheres"
    " parallel perpe* tangent overline side sides hypot* trape* chord circ",
    "60": "proba* dice die coin coins rando* expected card cards",
    "62": "mean median mode average varia* standard",
    "97": "cost costs dollar dollars money buy buys bought sell sells sold hour hours minute minutes mile miles price"
    " percent earn earns pay pays student students apples friend friends week",
}
_WEIGHT = {"60": 3, "15": 2, "30": 2, "33": 2, "97": 1.5}  # words that leave little doubt
_EXACT = {word: code for code, words in _WORDS.items() for word in words.split() if "*" not in word}
_STEMS = {word[:5]: code for code, words in _WORDS.items() for word in words.split() if "*" in word}
_LETTERS = re.compile(r"[a-z]+")

TOPICS = {
    "code": (
        ("dynamic programming", r"subsequence|knapsack|number of ways|minimum cost|maximum profit|dynamic programming"),
        ("graphs", r"graph|edges?\b|shortest path|connected|cities|roads?\b"),
        ("trees", r"\btrees?\b|\bnodes?\b|root\b|ancestor"),
        ("linked lists", r"linked list|listnode"),
        ("strings", r"strings?\b|substrings?|palindrom\w*|characters?|letters?|words?\b"),
        ("matrices", r"matrix|grid|rows?\b.*columns?\b"),
        ("bits", r"\bbits?\b|binary|xor"),
        ("sorting and searching", r"sort\w*|k-?th|median|binary search"),
        ("mathematics", r"prime|divis\w+|digits?|factorial|gcd|power|fibonacci|number"),
        ("arrays", r"arrays?|lists?\b|subarrays?|elements?|nums"),
    ),
    "science": (
        ("astronomy", r"stars?\b|planets?|telescope|orbit\w*|galax\w+|redshift|parsecs?|solar|magnitude"),
        (
            "chemistry",
            r"molecul\w+|reaction|acid|moles?\b|bond\w*|equilibrium|ph\b|solution|oxid\w+|orbital|electrons?",
        ),
        ("mathematics", r"differential equation|laplace|fourier|matrix|y'|polynomial|transform"),
        ("economics", r"market|price|utility|demand|firms?|consumers?"),
        ("biology", r"cells?\b|genes?|protein|dna|species|enzyme"),
        (
            "physics",
            r"mass|force|velocity|energy|field|charge|temperature|pressure|wave\w*|particles?|circuit|voltage|light",
        ),
    ),
}
CLASSES = {"math": MSC} | {
    domain: {name: name for name, _ in topics} | {"other": "none of these"} for domain, topics in TOPICS.items()
}
"""The classes of each domain that has some, with what each is called."""
VAGUE = ("00", "other")
UNKNOWN = "unknown"
"""The class of a problem whose words speak for none, or for several alike."""
_SURE, _CLEAR = 2, 2  # weight that a class's words need, and how often that of the next
# Of 7,474 MATH problems, words so weighed class 50 %, and 58 % of these as their source does; with no such bar they
# class 79 %, of which 54 % are right.

_TOPICS = {
    domain: [(name, re.compile(rf"\b(?:{words})", re.I)) for name, words in topics] for domain, topics in TOPICS.items()
}


def label(problem: Problem, verified: str = "") -> dict[str, Any]:
    """The problem's labels with those that rules can add; `verified` as of its row."""
    made, how = dict(problem.labels), dict(problem.labels.get("labelled_by", {}))
    made.pop(WRONG_SOLUTIONS, None)  # they have served to order the tests
    if problem.domain == "math":
        made["subject_class"], how["subject_class"] = subject_class(problem)
    elif problem.domain in TOPICS:
        made["topic"], how["topic"] = topic(problem)
    if verified:
        made["verified_by"], how["verified_by"] = verified, "verifier"
    made["length"] = length(problem.prompt)
    how["length"] = "counted"
    for name, maker in (
        ("difficulty", "source"),
        ("education", "source"),
        ("pass_rate", "models"),
        ("wrong_programs_caught", "sandbox"),
        ("subject", "source"),
    ):
        if name in made:
            how.setdefault(name, maker)
    return made | {"labelled_by": how}


def subject_class(problem: Problem) -> tuple[str, str]:
    """(two digits, how): out of the source's own subject where it gives one, else by the words of the prompt."""
    given = str(problem.labels.get("subject", "")).lower()
    counts = _counts(problem.prompt)
    if given == "precalculus":
        return max(("15", "30", "33", "26"), key=lambda code: counts[code]), "source's subject and words"
    for word, code in _GIVEN:
        if word in given:
            if word == "counting" and counts["60"]:
                code = "60"  # MATH's "Counting & Probability" is two classes
            return code, "source's subject"
    if problem.labels.get("education") == "grade school":
        return "97", "source's level"
    (best, most), (_, second) = [*counts.most_common(2), (UNKNOWN, 0), (UNKNOWN, 0)][:2]
    if most < _SURE or most < _CLEAR * second:
        return UNKNOWN, "words: unsure" if counts else "words: none known"
    return best, "words"


class _Codes(dict[str, str | None]):
    """The class that a word speaks for, or None; looked up once each, and forgotten when there are too many."""

    def __missing__(self, word: str) -> str | None:
        if len(self) >= _WORDS_KNOWN:
            self.clear()
        self[word] = code = _EXACT.get(word) or _STEMS.get(word[:5])
        return code


_WORDS_KNOWN = 100_000
_CODES = _Codes()


def _counts(prompt: str) -> Counter[str]:
    """Class -> weight of the words that speak for it."""
    found = Counter(filter(None, map(_CODES.__getitem__, _LETTERS.findall(prompt.lower()))))
    for code in _WEIGHT.keys() & found.keys():
        found[code] *= _WEIGHT[code]  # type: ignore[assignment]
    return found


def topic(problem: Problem) -> tuple[str, str]:
    """(topic, how): the source's first tag, or the topic whose words stand most often."""
    tags = problem.labels.get("tags")
    if isinstance(tags, list) and tags:
        return str(tags[0]).lower(), "source's tag"
    counts = {name: len(pattern.findall(problem.prompt)) for name, pattern in _TOPICS[problem.domain]}
    best = max(counts, key=lambda name: counts[name])
    if not counts[best]:
        return UNKNOWN, "words: none known"
    several = sum(number == counts[best] for number in counts.values()) > 1
    return (UNKNOWN, "words: unsure") if several else (best, "words")


def length(prompt: str) -> str:
    """The power of two at or below the characters of a prompt, as a range."""
    low = 1 << max(len(prompt).bit_length() - 1, 0)
    return f"{low}-{2 * low - 1} characters"
