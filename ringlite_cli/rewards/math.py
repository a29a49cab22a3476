"""Math: the boxes of the final sentence against the gold answer.

Text and plain numbers are decided here, the rest by the reader of whole answers (`reading/`) in a pool of processes.
Paper §3.3: 1 or 0, no format reward. It names Math-Verify, which takes a lone number out of what it cannot parse.
"""

import math
import re
from concurrent.futures import Future

from ringlite_cli.boxes import final_boxed
from ringlite_cli.problems import Verdict
from ringlite_cli.rewards.normalise import PAIRED, answer_texts, decimal_of, is_close, squeeze
from ringlite_cli.rewards.pool import RewardPool
from ringlite_cli.rewards.units import read_quantity

MAX_CHARACTERS = 10_000
CORRECT, WRONG, UNPARSED, TIMEOUT, ERROR = "correct", "wrong", "unparsed", "timeout", "error"


def done(verdict: str, detail: str = "", seconds: float = 0.0) -> "Future[Verdict]":
    """A verdict that is already there."""
    future: Future[Verdict] = Future()
    future.set_result(Verdict(verdict, float(verdict == CORRECT), seconds, detail))
    return future


def verify_math(answer: object, response: str, pool: RewardPool, tolerance: float = 0.0) -> "Future[Verdict]":
    """Return the verdict on one response. answer: text, a number, or a list of alternatives.

    tolerance: relative, of numbers in science; 0 in mathematics.
    """
    boxed = final_boxed(response)
    if boxed is None:
        return done(UNPARSED, "no complete \\boxed{}")
    golds = answer_texts(answer)
    if not golds:
        return done(ERROR, "the problem has no gold answer")
    quick = plain_verdict(golds, boxed) if not tolerance else None
    if quick is not None:
        return done(quick, "" if quick == CORRECT else f"expected {golds[0][:80]}, got {boxed[:80]}")
    if not boxed.strip():
        return done(UNPARSED, "an empty \\boxed{}")
    if len(boxed) > MAX_CHARACTERS:
        return done(UNPARSED, f"an answer of more than {MAX_CHARACTERS:,} characters")
    return pool.submit(golds, boxed, tolerance)


_MARKED_UNIT = re.compile(r"\\(?:text|mathrm|textrm|mbox|operatorname)\s*\{|\d\s+[A-Za-z]")


def _by_units(gold: str, answer: str) -> bool | None:
    """Whether two quantities agree, of which both have a unit, set apart from the number; None for anything else."""
    if not (_MARKED_UNIT.search(gold) and _MARKED_UNIT.search(answer)):
        return None
    want, got = read_quantity(gold), read_quantity(answer)
    if want is None or got is None or want.unit is None or got.unit is None:
        return None
    same = want.unit.dimension == got.unit.dimension
    return same and math.isclose(want.value * want.unit.factor, got.value * got.unit.factor, rel_tol=1e-6)


_BASED = re.compile(r"[0-9A-Fa-f]+_\d+\Z")  # 1010_2: in another base it is another answer


def _same_text(gold: str, key: str) -> bool:
    """Return whether two keys are the same; a word may start small or large."""
    if gold == key:
        return True
    word = len(key) > 3 and key.isalpha() and not PAIRED.match(key)
    return word and gold[1:] == key[1:] and gold[0].lower() == key[0].lower()


def plain_verdict(golds: list[str], answer: str) -> str | None:
    """correct or wrong when text, plain decimals or quantities with units decide it; None when it takes algebra."""
    key, number = squeeze(answer), decimal_of(answer)
    wrong = 0
    for gold in golds:
        if key and _same_text(squeeze(gold), key):
            return CORRECT
        gold_number = decimal_of(gold)
        if number is not None and gold_number is not None:
            if is_close(number, gold_number):
                return CORRECT
            wrong += 1
        elif _BASED.match(key) and _BASED.match(squeeze(gold)):
            wrong += 1
        elif (same := _by_units(gold, answer)) is not None:
            if same:
                return CORRECT
            wrong += 1
    return WRONG if wrong == len(golds) else None
