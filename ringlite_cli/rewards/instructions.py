"""Verifiable instructions, under the names and arguments of IFEval (arXiv:2311.07911, its 25 types but one).

`language:response_language` is left out: it takes a language detector, and its verdicts on short texts are guesses.
Words are runs of letters and digits and sentences end in .!? or their full-width forms; so no tokenizer is needed, and
counts can differ by a few from other implementations. Every check is linear in the response.
"""

import json
import re
from collections.abc import Callable, Mapping

from ringlite_cli.problems import Verdict

_Check = Callable[..., bool]
_OPTIONS = ("My answer is yes.", "My answer is no.", "My answer is maybe.")


def verify_instructions(answer: object, response: str) -> Verdict:
    """correct when the response follows every instruction.

    answer: JSON text (or the object) {"instruction_id_list": [...], "kwargs": [{...}, ...]}. An instruction that is not
    known, or whose arguments do not fit, is an `error`.
    """
    try:
        wanted = json.loads(answer) if isinstance(answer, str) else answer
        assert isinstance(wanted, dict)
        names = [str(name) for name in wanted["instruction_id_list"]]
        arguments = [{k: v for k, v in (each or {}).items() if v is not None} for each in wanted["kwargs"]]
        assert names
        checks = [(name, CHECKS[name], given) for name, given in zip(names, arguments, strict=True)]
    except (ValueError, KeyError, TypeError, AttributeError, AssertionError) as error:
        return Verdict("error", 0.0, 0.0, f"not a list of known instructions: {type(error).__name__} {error}"[:300])
    missed = []
    for name, check, given in checks:
        try:
            followed = check(response, **given)
        except (TypeError, ValueError, KeyError) as error:
            return Verdict("error", 0.0, 0.0, f"{name}: its arguments do not fit ({error})"[:300])
        if not followed or not response.strip():
            missed.append(name)
    if missed:
        return Verdict("wrong", 0.0, 0.0, f"not followed: {', '.join(missed)}"[:300])
    return Verdict("correct", 1.0)


def _compare(count: int, relation: str, bound: int) -> bool:
    if relation not in ("at least", "less than"):
        raise ValueError(f"relation {relation!r}")
    return count >= bound if relation == "at least" else count < bound


def _words(text: str) -> list[str]:
    return re.findall(r"\w+(?:['’]\w+)*", text)


def _sentences(text: str) -> list[str]:
    return [s for s in re.split(r"(?<=[.!?。！？])\s+|(?<=[。！？])", text) if s and s.strip()]


def _paragraphs(text: str, rule: str) -> list[str]:
    return [part.strip() for part in re.split(rule, text) if part.strip()]


def _occurrences(text: str, word: str) -> int:
    return len(re.findall(re.escape(word), text, re.IGNORECASE))


def _whole_word(text: str, word: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(word)}(?!\w)", text, re.IGNORECASE) is not None


def _is_json(text: str) -> bool:
    text = re.sub(r"^```(?:json)?\s*|\s*```$", "", text.strip(), flags=re.IGNORECASE)
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _first_word(text: str, num_paragraphs: int, nth_paragraph: int, first_word: str) -> bool:
    paragraphs = _paragraphs(text, r"\n\n+")
    if len(paragraphs) != num_paragraphs or not 1 <= nth_paragraph <= len(paragraphs):
        return False
    words = _words(paragraphs[nth_paragraph - 1])
    return bool(words) and words[0].casefold() == first_word.casefold()


def _two_responses(text: str) -> bool:
    parts = [part.strip() for part in text.split("******")]
    return len(parts) == 2 and all(parts) and parts[0] != parts[1]


def _repeats(text: str, prompt_to_repeat: str) -> bool:
    return text.strip().casefold().startswith(prompt_to_repeat.strip().casefold())


def _highlights(text: str) -> int:
    return len(re.findall(r"\*\*[^\n*]+\*\*|(?<!\*)\*[^\n*]+\*(?!\*)", text))


def _quoted(text: str) -> bool:
    text = text.strip()
    return len(text) > 1 and (text[0], text[-1]) in (('"', '"'), ("“", "”"), ("「", "」"))


def _capital_words(text: str) -> int:
    return sum(word.isupper() for word in _words(text))


CHECKS: Mapping[str, _Check] = {
    "keywords:existence": lambda text, keywords: all(_whole_word(text, w) or w in text for w in keywords),
    "keywords:forbidden_words": lambda text, forbidden_words: not any(_whole_word(text, w) for w in forbidden_words),
    "keywords:frequency": lambda text, keyword, frequency, relation: _compare(
        _occurrences(text, keyword), relation, frequency
    ),
    "keywords:letter_frequency": lambda text, letter, let_frequency, let_relation: _compare(
        text.casefold().count(letter.casefold()), let_relation, let_frequency
    ),
    "length_constraints:number_words": lambda text, num_words, relation: _compare(
        len(_words(text)), relation, num_words
    ),
    "length_constraints:number_sentences": lambda text, num_sentences, relation: _compare(
        len(_sentences(text)), relation, num_sentences
    ),
    "length_constraints:number_paragraphs": lambda text, num_paragraphs: (
        len(_paragraphs(text, r"\s*\*\*\*\s*")) == num_paragraphs
    ),
    "length_constraints:nth_paragraph_first_word": _first_word,
    "detectable_content:number_placeholders": lambda text, num_placeholders: (
        len(re.findall(r"\[[^\[\]\n]+\]", text)) >= num_placeholders
    ),
    "detectable_content:postscript": lambda text, postscript_marker: (
        re.search(rf"^\s*{re.escape(postscript_marker)}", text, re.IGNORECASE | re.MULTILINE) is not None
    ),
    "detectable_format:number_bullet_lists": lambda text, num_bullets: (
        len(re.findall(r"^[ \t]*(?:\*(?!\*)|-)[ \t]*\S", text, re.MULTILINE)) == num_bullets
    ),
    "detectable_format:constrained_response": lambda text: any(option in text for option in _OPTIONS),
    "detectable_format:number_highlighted_sections": lambda text, num_highlights: _highlights(text) >= num_highlights,
    "detectable_format:multiple_sections": lambda text, section_spliter, num_sections: (
        len(re.findall(rf"^\W*{re.escape(section_spliter)}\s*\d", text, re.MULTILINE | re.IGNORECASE)) >= num_sections
    ),
    "detectable_format:json_format": _is_json,
    "detectable_format:title": lambda text: re.search(r"<<[^\n<>]*\S[^\n<>]*>>", text) is not None,
    "combination:two_responses": _two_responses,
    "combination:repeat_prompt": _repeats,
    "startend:end_checker": lambda text, end_phrase: (
        text.strip().strip('"').casefold().endswith(end_phrase.strip().casefold())
    ),
    "startend:quotation": _quoted,
    "change_case:capital_word_frequency": lambda text, capital_frequency, capital_relation: _compare(
        _capital_words(text), capital_relation, capital_frequency
    ),
    "change_case:english_capital": lambda text: text.isupper(),
    "change_case:english_lowercase": lambda text: text.islower(),
    "punctuation:no_comma": lambda text: "," not in text and "，" not in text,
}
