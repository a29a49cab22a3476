"""What prompts and replies are made of: subjects, requests, sentences, wordings; and how much each scale asks for."""

import json
import random
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Any

LANGUAGES = {"es": "Spanish", "fr": "French", "de": "German", "it": "Italian", "pt": "Portuguese"}
OPTIONS = ("My answer is yes.", "My answer is no.", "My answer is maybe.")
"""The three replies of IFEval's constrained response."""
_SHORT_NOUN = 8


@dataclass(frozen=True)
class Scale:
    """Ranges of what is asked for, both ends among them.

    name: which wordings and sentences. parts: of bullets, sections and paragraphs. few: of marks, blanks and mentions.
    """

    name: str
    parts: tuple[int, int]
    words: tuple[int, int]
    sentences: tuple[int, int]
    few: tuple[int, int]


LONG = Scale("long", (2, 5), (20, 60), (2, 6), (1, 3))
SHORT = Scale("short", (2, 3), (4, 9), (2, 3), (1, 2))


@lru_cache(maxsize=1)
def sentences() -> Any:
    """The sentences and words that replies are made of, by use and scale."""
    return _read("sentences.json")


@lru_cache(maxsize=1)
def wordings() -> Any:
    """Instruction -> scale -> templates; in between the relation, where it has one."""
    return _read("wordings.json")


@lru_cache(maxsize=1)
def requests() -> Any:
    """What prompts ask for, by scale: templates with a place for the subject."""
    return _read("requests.json")


@lru_cache(maxsize=2)
def subjects(short: bool) -> tuple[str, ...]:
    """What prompts are about: nouns that can be counted; the short ones alone on request."""
    text = (files(__package__) / "subjects.txt").read_text(encoding="utf-8")
    nouns = [noun.strip() for noun in text.replace("\n", ",").split(",") if noun.strip()]
    return tuple(noun for noun in nouns if not short or (" " not in noun and len(noun) <= _SHORT_NOUN))


def with_article(noun: str) -> str:
    """The noun with a or an before it."""
    is_vowel = noun[0] in "aeiou" and not noun.startswith(("uni", "use", "eu"))
    return f"{'an' if is_vowel or noun.startswith('hour') else 'a'} {noun}"


def pick(rng: random.Random, scale: Scale, *path: str) -> str:
    """One of the templates of a kind at a scale."""
    found = wordings()
    for step in path:
        found = found[step]
    return str(rng.choice(found[scale.name]))


def _read(name: str) -> Any:
    return json.loads((files(__package__) / name).read_text(encoding="utf-8"))
