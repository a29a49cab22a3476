"""Reference answers: how alike a response and the texts that a problem gives are, as a reward between 0 and 1.

token-f1  for question answering: F1 of the words that both have, articles and punctuation aside, as SQuAD counts it
rouge     for summaries: the F-measure of ROUGE-L, by Google's rouge-score, words stemmed

Of several references the likest counts. Scripts that part no words (Chinese, Japanese, Thai ...) are compared sign by
sign. ROUGE comes from rouge-score: every ROUGE that others report is its number or is checked against it. It is one
small package (Apache-2.0, needs absl-py, nltk and numpy; still since 2022, as is ROUGE). `evaluate` only wraps it,
`rouge` and `py-rouge` count differently and are older, torchmetrics has numbers of its own.
"""

import importlib.util
import json
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import replace
from functools import lru_cache
from typing import Any

from ringlite_cli.errors import UserError
from ringlite_cli.problems import Verdict
from ringlite_cli.rewards.math import ERROR, WRONG, done
from ringlite_cli.rewards.pool import RewardPool, then
from ringlite_cli.sandbox.pool import CANCELLED

CORRECT_FROM = {"token-f1": 0.8, "rouge": 0.3}
"""Route -> the score from which a response counts as correct. "8 May 1945" for "7 May 1945" has a token F1 of 0.67;
good summaries of news have a ROUGE-L of 0.3 to 0.45 against the one that a person wrote."""
MOST_CHARACTERS = 1_000_000
"""A longer response earns nothing."""
MOST_WORDS = 10_000
"""A response of more words earns no ROUGE: its table has a cell for each pair of words."""
NO_REFERENCE = "no reference with a word in it"

_ARTICLES = frozenset({"a", "an", "the"})
_UNPARTED = (  # Han, kana, Thai, Lao, Burmese, Khmer
    "\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af"
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"
)
_PARTS = re.compile(rf"[{_UNPARTED}]|[^\s{_UNPARTED}]+")
"""A word: a sign of a script that leaves no spaces between words, or all up to the next space or such sign."""


def references(answer: object) -> list[str]:
    """Return the reference texts of a problem that have a word in them, in order.

    answer: a text, a list of texts, or SQuAD's {"text": [...]}; or either as JSON text.
    """
    if isinstance(answer, str) and answer.lstrip()[:1] in ("[", "{"):
        with suppress(ValueError, RecursionError):
            answer = _listed(json.loads(answer), answer)
    if isinstance(answer, dict):
        answer = answer.get("text")
    texts = answer if isinstance(answer, list | tuple) else [answer]
    return [text for text in texts if isinstance(text, str) and words(text)]


def _listed(read: object, written: str) -> object:
    """What JSON text holds, where that is references; else the text as it was written."""
    held = read.get("text") if isinstance(read, dict) else read
    is_texts = isinstance(held, str) or (isinstance(held, list) and all(isinstance(each, str) for each in held))
    return held if is_texts else written


def words(text: str) -> list[str]:
    """Return the words of a text as token F1 compares them: lower case, without punctuation and articles.

    A text of nothing but articles keeps them ("A", the vitamin).
    """
    plain = _without(_one_case(text), "PS", "")
    found = _PARTS.findall(plain)
    return [word for word in found if word not in _ARTICLES] or found


def token_f1(response: str, reference: str) -> float:
    """Return the F1 of the words that both have, each as often as both have it."""
    mine, gold = words(response), words(reference)
    shared = (Counter(mine) & Counter(gold)).total()
    return 2 * shared / (len(mine) + len(gold)) if shared else 0.0


def verify_token_f1(answer: object, response: str) -> Verdict:
    """The reward of a response: its token F1 with the likest reference; `correct` from 0.8 on."""
    golds = references(answer)
    if not golds:
        return Verdict(ERROR, 0.0, 0.0, NO_REFERENCE)
    if len(response) > MOST_CHARACTERS:
        return Verdict(WRONG, 0.0, 0.0, f"a response of more than {MOST_CHARACTERS:,} characters")
    score, likest = max(((token_f1(response, gold), gold) for gold in golds), key=lambda pair: pair[0])
    return scored(score, "token-f1", f"token F1 {score:.3f}, expected {likest[:80]}")


def scored(score: float, route: str, detail: str) -> Verdict:
    """Return a score from 0 to 1 as the verdict of a route."""
    return Verdict("correct" if score >= CORRECT_FROM[route] else WRONG, score, 0.0, detail)


def is_installed() -> bool:
    """Return whether rouge-score is here."""
    return importlib.util.find_spec("rouge_score") is not None


def require_rouge() -> None:
    """Raise UserError with the line that installs it."""
    if not is_installed():
        raise UserError(
            "problems of verifier 'rouge' need rouge-score",
            hint="pip install rouge-score, or pip install 'ringlite[rouge]'",
        )


def verify_rouge(answer: object, response: str, pool: RewardPool) -> "Future[Verdict]":
    """The reward of a response: its ROUGE-L with the likest reference; `correct` from 0.3 on."""
    golds = references(answer)
    if not golds:
        return done(ERROR, NO_REFERENCE)
    if not response.strip():
        return done(WRONG, "an empty response")
    if len(response) > MOST_CHARACTERS or len(spoken(response, stem=False)) > MOST_WORDS:
        return done(WRONG, f"a response of more than {MOST_WORDS:,} words")
    return then(pool.submit(golds, response), _of_rouge)


_SAID = "ROUGE-L "


def _of_rouge(made: "Future[Verdict]") -> Verdict:
    verdict = Verdict(ERROR, 0.0, 0.0, CANCELLED) if made.cancelled() else made.result()
    if not verdict.detail.startswith(_SAID):
        return verdict
    score = float(verdict.detail.removeprefix(_SAID).split(" ", 1)[0])
    return replace(scored(score, "rouge", verdict.detail), seconds=verdict.seconds)


def rouge(golds: list[str], response: str) -> tuple[str, str]:
    """Compare a response with its references in a worker; the detail begins with the score that is the reward."""
    scores = _scorer().score_multi(golds, response)
    one, two, longest = (scores[name].fmeasure for name in _MEASURES)
    return WRONG, f"{_SAID}{longest:.6f} (ROUGE-1 {one:.3f}, ROUGE-2 {two:.3f})"


_MEASURES = ("rouge1", "rouge2", "rougeL")


class _Words:
    """A tokenizer for rouge-score, whose own one drops every letter but a to z."""

    def tokenize(self, text: str) -> list[str]:
        return spoken(text)


@lru_cache(maxsize=1)
def _scorer() -> Any:
    from rouge_score.rouge_scorer import RougeScorer

    return RougeScorer(list(_MEASURES), tokenizer=_Words())


@lru_cache(maxsize=1)
def _stemmer() -> Any:
    from nltk.stem.porter import PorterStemmer

    return PorterStemmer()


def spoken(text: str, *, stem: bool = True) -> list[str]:
    """Return the words of a text as ROUGE compares them: on plain English those of rouge-score with its stemmer."""
    found = _PARTS.findall(_without(_one_case(text), "PSC", " "))
    if not stem:
        return found
    return [_stemmer().stem(word) if len(word) > 3 and word.isascii() else word for word in found]


def _one_case(text: str) -> str:
    return unicodedata.normalize("NFKC", text).lower()


def _without(text: str, kinds: Iterable[str], put: str) -> str:
    """A text with something else in place of characters of these Unicode categories (P: punctuation, S: symbols)."""
    gone = {sign for sign in set(text) if unicodedata.category(sign)[0] in kinds and not sign.isspace()}
    hidden = {sign for sign in set(text) if unicodedata.category(sign) == "Cf"}
    return text.translate(dict.fromkeys(map(ord, gone), put) | dict.fromkeys(map(ord, hidden), ""))
