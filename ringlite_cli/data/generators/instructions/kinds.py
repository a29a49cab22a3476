"""The 25 instructions, by IFEval's names: what each does to a reply, what it asks of the prompt, what it rules out.

An instruction that bounds something from above is measured: its bound is set when the reply is whole. Two kinds that
claim the same thing of a reply (its shape, its letters, its start, its end, its length) are never asked for together.
"""

import random
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ringlite_cli.data.generators.instructions import bank
from ringlite_cli.data.generators.instructions.bank import LANGUAGES, OPTIONS, Scale, pick, sentences
from ringlite_cli.data.generators.instructions.reply import Reply, word_count

Arguments = dict[str, Any]
AT_LEAST, LESS = "at least", "less than"
_LOWER_BOUND, _UPPER_BOUND = 0.6, 0.4


@dataclass(frozen=True)
class Kind:
    """An instruction. make: shapes the reply and returns the verifier's arguments, those that are measured apart.

    measure: the rest of the arguments, from the whole reply. claims: what no other instruction may decide.
    relation: the argument that says "at least" or "less than"; "" for kinds without.
    """

    name: str
    make: Callable[[Reply, Arguments], None]
    claims: frozenset[str] = frozenset()
    measure: Callable[[Reply, str, Arguments], None] | None = None
    relation: str = ""


def clashes(one: str, other: str) -> bool:
    """Return whether two instructions can't be asked for together."""
    return bool(KINDS[one].claims & KINDS[other].claims) or frozenset((one, other)) in _APART


def wording(rng: random.Random, scale: Scale, kind: Kind, arguments: Mapping[str, Any]) -> str:
    """An instruction in words of the prompt."""
    path = (kind.name, arguments[kind.relation]) if kind.relation else (kind.name,)
    return _ONE.sub(lambda found: found[0][:-1], pick(rng, scale, *path).format(**_slots(rng, arguments)))


_ONE = re.compile(r"\b1 (?:times|phrases|passages|expressions|gaps|blanks|words|occurrences|mentions|uses|sentences)\b")


_SLOTS = {
    "n": ("num_words", "num_sentences", "num_paragraphs", "num_placeholders", "num_bullets", "num_highlights",
          "num_sections", "frequency", "let_frequency", "capital_frequency"),
    "nth": ("nth_paragraph",),
    "word": ("keyword", "first_word", "section_spliter"),
    "letter": ("letter",),
    "marker": ("postscript_marker",),
    "phrase": ("end_phrase",),
}  # fmt: skip


def _slots(rng: random.Random, arguments: Mapping[str, Any]) -> dict[str, str]:
    found = {slot: str(arguments[name]) for slot, names in _SLOTS.items() for name in names if name in arguments}
    listed = arguments.get("keywords") or arguments.get("forbidden_words") or ()
    shown = list(OPTIONS)
    rng.shuffle(shown)
    return found | {
        "words": " and ".join(listed),
        "language": LANGUAGES.get(arguments.get("language", ""), ""),
        "options": " / ".join(shown),
    }


def _relation(reply: Reply, arguments: Arguments, name: str) -> bool:
    """Choose one of the two relations; return whether it bounds from below."""
    arguments[name] = AT_LEAST if reply.rng.random() < _LOWER_BOUND else LESS
    return bool(arguments[name] == AT_LEAST)


def _number(reply: Reply, of: str) -> int:
    return reply.rng.randint(*getattr(reply.scale, of))


def _new_word(reply: Reply, bank_name: str = "words") -> str:
    """A word that the reply does not have yet."""
    text = reply.text().lower()
    return str(reply.rng.choice([word for word in sentences()[bank_name] if word not in text]))


def _existence(reply: Reply, arguments: Arguments) -> None:
    arguments["keywords"] = []
    for _ in range(_number(reply, "few")):
        word = _new_word(reply)
        arguments["keywords"].append(word)
        reply.add("keyword", word)


def _frequency(reply: Reply, arguments: Arguments) -> None:
    if _relation(reply, arguments, "relation"):
        arguments["keyword"] = _new_word(reply)
        arguments["frequency"] = 1 + _number(reply, "few")
        for _ in range(arguments["frequency"]):
            reply.add("keyword", arguments["keyword"])
    else:
        arguments["keyword"] = reply.noun


def _frequency_below(reply: Reply, text: str, arguments: Arguments) -> None:
    if arguments["relation"] == LESS:
        arguments["frequency"] = len(re.findall(re.escape(reply.noun), text, re.I)) + reply.rng.randint(1, 2)


def _forbidden(reply: Reply, text: str, arguments: Arguments) -> None:
    held = set(re.findall(r"\w+", f"{text} {reply.request}".lower()))
    free = [word for word in sentences()["avoided"] if word not in held]
    arguments["forbidden_words"] = reply.rng.sample(free, _number(reply, "few"))


def _letters(reply: Reply, text: str, arguments: Arguments) -> None:
    rng = reply.rng
    if _relation(reply, arguments, "let_relation"):
        arguments["letter"] = rng.choice([letter for letter in "aeilnorst" if letter in text.lower()])
        count = text.lower().count(arguments["letter"])
        arguments["let_frequency"] = max(1, count - rng.randint(0, count // 3))
    else:
        arguments["letter"] = rng.choice("bfgjkqvwxyz")
        arguments["let_frequency"] = max(2, text.lower().count(arguments["letter"]) + rng.randint(1, 2))


def _language(reply: Reply, arguments: Arguments) -> None:
    arguments["language"] = reply.rng.choice(list(LANGUAGES))
    reply.in_language(arguments["language"])


def _words(reply: Reply, arguments: Arguments) -> None:
    if _relation(reply, arguments, "relation"):
        step = 5 if reply.scale is bank.LONG else 1
        arguments["num_words"] = _number(reply, "words") // step * step
        reply.grow_to_words(arguments["num_words"])


def _words_below(reply: Reply, text: str, arguments: Arguments) -> None:
    if arguments["relation"] == LESS:
        step = 5 if reply.scale is bank.LONG else 1
        arguments["num_words"] = word_count(text) // step * step + reply.rng.randint(1, 3) * step


def _sentences(reply: Reply, arguments: Arguments) -> None:
    count = _number(reply, "sentences")
    if _relation(reply, arguments, "relation"):
        arguments["num_sentences"] = count
        reply.grow(count)


def _sentences_below(reply: Reply, text: str, arguments: Arguments) -> None:
    if arguments["relation"] == LESS:
        arguments["num_sentences"] = len(re.findall(r"[.!?]", text)) + reply.rng.randint(1, 2)


def _paragraphs(reply: Reply, arguments: Arguments) -> None:
    arguments["num_paragraphs"] = _number(reply, "parts")
    reply.split(arguments["num_paragraphs"], "\n***\n")


def _first_word(reply: Reply, arguments: Arguments) -> None:
    count = arguments["num_paragraphs"] = _number(reply, "parts")
    nth = arguments["nth_paragraph"] = reply.rng.randint(1, count)
    word = arguments["first_word"] = reply.rng.choice(sentences()["firsts"])
    reply.split(count, "\n\n")
    begun = sentences()["first"][reply.scale.name].format(word=word.capitalize(), the=f"the {reply.noun}")
    reply.blocks[nth - 1][0] = begun


def _placeholders(reply: Reply, arguments: Arguments) -> None:
    arguments["num_placeholders"] = _number(reply, "few")
    for word in reply.rng.sample(sentences()["blanks"], arguments["num_placeholders"]):
        reply.add("placeholder", word)


def _postscript(reply: Reply, arguments: Arguments) -> None:
    marker = arguments["postscript_marker"] = reply.rng.choice(("P.S.", "P.P.S"))
    reply.bottom = f"\n{marker} {reply.rng.choice(sentences()['postscripts'][reply.scale.name])}"


def _bullets(reply: Reply, arguments: Arguments) -> None:
    arguments["num_bullets"] = _number(reply, "parts")
    reply.split(arguments["num_bullets"], "\n", "* ")


def _constrained(reply: Reply, arguments: Arguments) -> None:
    reply.whole = reply.rng.choice(OPTIONS)


def _highlights(reply: Reply, arguments: Arguments) -> None:
    arguments["num_highlights"] = _number(reply, "few")
    reply.change_words(arguments["num_highlights"], "*{}*")


def _sections(reply: Reply, arguments: Arguments) -> None:
    arguments["section_spliter"] = reply.rng.choice(sentences()["splitters"])
    arguments["num_sections"] = _number(reply, "parts")
    reply.split(arguments["num_sections"], "\n", arguments["section_spliter"] + " {n}\n")


def _json(reply: Reply, arguments: Arguments) -> None:
    reply.as_json = True


def _title(reply: Reply, arguments: Arguments) -> None:
    reply.top = f"<<{reply.rng.choice(sentences()['titles'][reply.scale.name])}>>\n"


def _two(reply: Reply, arguments: Arguments) -> None:
    reply.split(2, "\n******\n")


def _repeat(reply: Reply, arguments: Arguments) -> None:
    arguments["prompt_to_repeat"] = reply.request
    reply.top = f"{reply.request}\n"


def _end(reply: Reply, arguments: Arguments) -> None:
    reply.tail = arguments["end_phrase"] = reply.rng.choice(sentences()["ends"])


def _quotation(reply: Reply, arguments: Arguments) -> None:
    reply.quoted = True


def _capitals(reply: Reply, arguments: Arguments) -> None:
    if _relation(reply, arguments, "capital_relation"):
        arguments["capital_frequency"] = _number(reply, "few")
        reply.change_words(arguments["capital_frequency"], "upper")


def _capitals_below(reply: Reply, text: str, arguments: Arguments) -> None:
    if arguments["capital_relation"] == LESS:
        held = sum(word.isupper() for word in text.split())
        arguments["capital_frequency"] = max(2, held + reply.rng.randint(1, 2))


def _case(case: str) -> Callable[[Reply, Arguments], None]:
    def make(reply: Reply, arguments: Arguments) -> None:
        reply.case = case
        reply.say_plainly()

    return make


def _nothing(reply: Reply, arguments: Arguments) -> None:
    """The sentences have no comma, and what is left out is measured."""


def _claims(*names: str) -> frozenset[str]:
    return frozenset(names)


_EVERYTHING = ("shape", "letters", "start", "end", "length")
KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (  # in the order in which they shape a reply
        Kind("language:response_language", _language, _claims("letters")),
        Kind("change_case:english_capital", _case("upper"), _claims("letters")),
        Kind("change_case:english_lowercase", _case("lower"), _claims("letters")),
        Kind("length_constraints:number_paragraphs", _paragraphs, _claims("shape")),
        Kind("length_constraints:nth_paragraph_first_word", _first_word, _claims("shape", "start")),
        Kind("detectable_format:number_bullet_lists", _bullets, _claims("shape")),
        Kind("detectable_format:multiple_sections", _sections, _claims("shape")),
        Kind("detectable_format:json_format", _json, _claims("shape", "start", "end")),
        Kind("detectable_format:constrained_response", _constrained, _claims(*_EVERYTHING)),
        Kind("combination:two_responses", _two, _claims("shape")),
        Kind("keywords:existence", _existence),
        Kind("keywords:frequency", _frequency, measure=_frequency_below, relation="relation"),
        Kind("detectable_content:number_placeholders", _placeholders),
        Kind(
            "length_constraints:number_sentences", _sentences, _claims("shape", "length"), _sentences_below, "relation"
        ),
        Kind("length_constraints:number_words", _words, _claims("length"), _words_below, "relation"),
        Kind("detectable_format:number_highlighted_sections", _highlights),
        Kind("change_case:capital_word_frequency", _capitals, _claims("letters"), _capitals_below, "capital_relation"),
        Kind("combination:repeat_prompt", _repeat, _claims("start")),
        Kind("detectable_format:title", _title, _claims("start")),
        Kind("detectable_content:postscript", _postscript, _claims("end")),
        Kind("startend:end_checker", _end, _claims("end")),
        Kind("startend:quotation", _quotation, _claims("start", "end")),
        Kind("punctuation:no_comma", _nothing),
        Kind("keywords:letter_frequency", _nothing, measure=_letters, relation="let_relation"),
        Kind("keywords:forbidden_words", _nothing, measure=_forbidden),
    )
}


def _pairs(name: str, *others: str) -> set[frozenset[str]]:
    return {frozenset((name, other)) for other in others}


_ENGLISH = (
    "keywords:existence", "keywords:frequency", "keywords:forbidden_words", "detectable_content:number_placeholders",
    "combination:repeat_prompt", "detectable_format:title", "detectable_content:postscript", "startend:end_checker",
    "length_constraints:nth_paragraph_first_word", "detectable_format:multiple_sections",
    "detectable_format:json_format",
)  # fmt: skip
_FIXED_CASE = (
    "combination:repeat_prompt", "startend:end_checker", "detectable_content:postscript",
    "detectable_format:multiple_sections",
)  # fmt: skip
_APART = (
    _pairs("language:response_language", *_ENGLISH)
    | _pairs("change_case:english_capital", *_FIXED_CASE)
    | _pairs("change_case:english_lowercase", *_FIXED_CASE)
    | _pairs("detectable_format:json_format", "punctuation:no_comma", "detectable_content:number_placeholders",
             "detectable_format:number_highlighted_sections", "change_case:capital_word_frequency")
    | _pairs("detectable_format:number_highlighted_sections", "detectable_format:number_bullet_lists",
             "length_constraints:number_paragraphs", "combination:two_responses",
             "length_constraints:nth_paragraph_first_word")
    | _pairs("length_constraints:number_sentences", "detectable_format:title", "detectable_content:postscript",
             "combination:repeat_prompt")
    | _pairs("combination:two_responses", "combination:repeat_prompt", "detectable_format:title",
             "detectable_content:postscript", "startend:end_checker", "startend:quotation")
    | _pairs("length_constraints:nth_paragraph_first_word", "detectable_content:postscript",
             "change_case:capital_word_frequency")
    | _pairs("startend:quotation", "detectable_format:number_bullet_lists")
    | _pairs("detectable_format:constrained_response", "keywords:existence", "keywords:frequency",
             "keywords:letter_frequency", "detectable_content:number_placeholders",
             "detectable_format:number_highlighted_sections")
)  # fmt: skip
