"""Verifiable instructions, under the names and arguments of IFEval (arXiv:2311.07911): its 25 types.

Each check says what lm-evaluation-harness's checker says of the same response, quirks included, so that scores mean
what others report: https://github.com/EleutherAI/lm-evaluation-harness/blob/v0.4.13/lm_eval/tasks/ifeval/instructions.py
Every check is linear in the response: where that checker's pattern takes quadratic time on some text, the same is found
line by line. Keywords are read as text, not as patterns ("C++" is no error); a dot in them stands for any character.
"""

import json
import re
from collections.abc import Callable, Mapping

from ringlite_cli.problems import Verdict
from ringlite_cli.rewards.english import count_capital_words, has_sentences, language_of

_Check = Callable[..., bool]
_OPTIONS = ("My answer is yes.", "My answer is no.", "My answer is maybe.")


MOST_CHARACTERS = 1_000_000
"""A longer response follows no instruction: the checks are linear in it, and this ends them within seconds."""


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
    if len(response) > MOST_CHARACTERS:
        return Verdict("wrong", 0.0, 0.0, f"a response of more than {MOST_CHARACTERS:,} characters")
    missed = []
    for name, check, given in checks:
        try:
            followed = check(response, **given)
        except (TypeError, ValueError, KeyError, TimeoutError) as error:
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


def _pattern(words: str) -> str:
    """Return a pattern of given words; a dot fits any character, as in the checker that others use."""
    return re.escape(words).replace(r"\.", ".")


def _contains(text: str, words: str) -> bool:
    return re.search(_pattern(words), text, re.IGNORECASE) is not None


def _contains_word(text: str, words: str) -> bool:
    return re.search(rf"\b{_pattern(words)}\b", text, re.IGNORECASE) is not None


def _occurrences(text: str, words: str) -> int:
    return len(re.findall(_pattern(words.strip()), text, re.IGNORECASE))


def _number_words(text: str) -> int:
    return len(re.findall(r"\w+", text))


def _has_paragraphs(text: str, num_paragraphs: int) -> bool:
    """Return whether *** separates that many paragraphs; only the first and the last part may be empty."""
    parts = re.split(r"\s?\*\*\*\s?", text)
    filled = [bool(part.strip()) for part in parts]
    return all(filled[1:-1]) and sum(filled) == num_paragraphs


def _first_word(text: str, num_paragraphs: int, nth_paragraph: int, first_word: str) -> bool:
    paragraphs = text.split("\n\n")
    count = sum(bool(paragraph.strip()) for paragraph in paragraphs)
    if not 1 <= nth_paragraph <= count or count != num_paragraphs:
        return False
    words = paragraphs[nth_paragraph - 1].split()
    word = words[0].lstrip("'").lstrip('"') if words else ""
    return bool(words) and re.split("[.,?!'\"]", word, maxsplit=1)[0].lower() == first_word.lower()


def _placeholders(text: str) -> int:
    """Count the [...] that open and close on one line."""
    count = 0
    for line in text.split("\n"):
        end = -1
        while (start := line.find("[", end + 1)) >= 0 and (end := line.find("]", start)) >= 0:
            count += 1
    return count


def _has_postscript(text: str, postscript_marker: str) -> bool:
    marker = postscript_marker.strip()
    pattern = {"P.P.S": r"p\.\s?p\.\s?s", "P.S.": r"p\.\s?s\."}.get(marker, _pattern(marker.lower()))
    return re.search(pattern, text.lower()) is not None


def _bullets(text: str) -> int:
    """Count the lines that start with - or with one asterisk; a line of a lone asterisk takes the next one in."""
    lines = [line.lstrip() for line in text.split("\n")]
    count = sum(line.startswith("-") for line in lines)
    place = 0
    while place < len(lines):
        alone = lines[place] == "*"
        if alone and place + 1 < len(lines):
            count, place = count + 1, place + 1
        elif lines[place].startswith("*") and not alone and lines[place][1] != "*":
            count += 1
        place += 1
    return count


def _highlights(text: str) -> int:
    single = re.findall(r"\*[^\n*]*\*", text)
    double = re.findall(r"\*\*[^\n*]*\*\*", text)
    return sum(bool(each.strip("*").strip()) for each in single) + sum(bool(each[2:-2].strip()) for each in double)


def _sections(text: str, section_spliter: str) -> int:
    return len(re.findall(rf"{_pattern(section_spliter.strip())}\s?\d+", text))


def _is_json(text: str) -> bool:
    text = text.strip()
    for fence in ("```json", "```Json", "```JSON", "```"):
        text = text.removeprefix(fence)
    try:
        json.loads(text.removesuffix("```").strip())
    except (ValueError, RecursionError):
        return False
    return True


def _has_title(text: str) -> bool:
    """Return whether a line has a title in << >>: from its first << to its last >>."""
    for line in text.split("\n"):
        start, end = line.find("<<"), line.rfind(">>")
        if start >= 0 and end > start + 2 and line[start : end + 2].lstrip("<").rstrip(">").strip():
            return True
    return False


def _two_responses(text: str) -> bool:
    parts = [part.strip() for part in text.split("******")]
    filled = [part for part in parts if part]
    return all(parts[1:-1]) and len(filled) == 2 and filled[0] != filled[1]


def _repeats(text: str, prompt_to_repeat: str) -> bool:
    return text.strip().lower().startswith(prompt_to_repeat.strip().lower())


def _ends_with(text: str, end_phrase: str) -> bool:
    return text.strip().strip('"').lower().endswith(end_phrase.strip().lower())


def _quoted(text: str) -> bool:
    text = text.strip()
    return len(text) > 1 and text[0] == text[-1] == '"'


def _is_in(text: str, language: str) -> bool:
    """Return whether a text is in that language; a text without any letters counts as followed."""
    return language_of(text) in (language, None)


CHECKS: Mapping[str, _Check] = {
    "keywords:existence": lambda text, keywords: all(_contains(text, w) for w in keywords),
    "keywords:forbidden_words": lambda text, forbidden_words: not any(_contains_word(text, w) for w in forbidden_words),
    "keywords:frequency": lambda text, keyword, frequency, relation: _compare(
        _occurrences(text, keyword), relation, frequency
    ),
    "keywords:letter_frequency": lambda text, letter, let_frequency, let_relation: _compare(
        text.lower().count(letter.strip().lower()), let_relation, let_frequency
    ),
    "language:response_language": _is_in,
    "length_constraints:number_words": lambda text, num_words, relation: _compare(
        _number_words(text), relation, num_words
    ),
    "length_constraints:number_sentences": lambda text, num_sentences, relation: _compare(
        num_sentences if has_sentences(text, num_sentences) else num_sentences - 1, relation, num_sentences
    ),
    "length_constraints:number_paragraphs": _has_paragraphs,
    "length_constraints:nth_paragraph_first_word": _first_word,
    "detectable_content:number_placeholders": lambda text, num_placeholders: _placeholders(text) >= num_placeholders,
    "detectable_content:postscript": _has_postscript,
    "detectable_format:number_bullet_lists": lambda text, num_bullets: _bullets(text) == num_bullets,
    "detectable_format:constrained_response": lambda text: any(option in text for option in _OPTIONS),
    "detectable_format:number_highlighted_sections": lambda text, num_highlights: _highlights(text) >= num_highlights,
    "detectable_format:multiple_sections": lambda text, section_spliter, num_sections: (
        _sections(text, section_spliter) >= num_sections
    ),
    "detectable_format:json_format": _is_json,
    "detectable_format:title": _has_title,
    "combination:two_responses": _two_responses,
    "combination:repeat_prompt": _repeats,
    "startend:end_checker": _ends_with,
    "startend:quotation": _quoted,
    "change_case:capital_word_frequency": lambda text, capital_frequency, capital_relation: _compare(
        count_capital_words(text), capital_relation, capital_frequency
    ),
    "change_case:english_capital": lambda text: text.isupper() and _is_in(text, "en"),
    "change_case:english_lowercase": lambda text: text.islower() and _is_in(text, "en"),
    "punctuation:no_comma": lambda text: "," not in text,
}
