"""Instruction checks beside lm-evaluation-harness's, on made responses over all 25 types of IFEval.

    python benchmarks/ifeval_agreement.py --rows 6000
    | type | rows | agree | followed |

The harness needs `pip install langdetect immutabledict` and NLTK's data package punkt_tab (NLTK_DATA names its folder);
the two types that count sentences are left out where it is missing.
"""

import argparse
import json
import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ringlite_cli.rewards.instructions import CHECKS, verify_instructions

NEED_PUNKT = ("length_constraints:number_sentences", "change_case:capital_word_frequency")

ENGLISH = (
    "The ferry leaves at half past six, and nobody on board expects it to be late.",
    "Dr. Ramos and Mrs. Okafor met in St. Louis on Jan. 5 to sign the papers.",
    "It costs 3.50 euros; that's cheap!",
    "Why would anyone want to know?",
    "Visit the U.S. in spring, when the cherries bloom.",
    "J. K. Larsen wrote it at 9 p.m. on a train.",
    '"Come in," she said. "The door is open."',
    "We saw cats, dogs, etc. in the yard.",
    "He paused... and then he left.",
    "NASA and the ESA plan a joint mission.",
    "I CAN'T wait for the BBC's new show.",
    "The well-known X-RAY unit is old.",
    "Use bread, e.g. rye, and some butter.",
    "Mt. Hood is 3,429 m high (11,249 ft).",
    "Stop!! What are you doing?!",
    "1. Boil the water. 2. Add the tea. 3. Wait.",
    "Prof. Lind (of Oslo Univ.) agreed.",
    "The firm, Acme Inc., grew by 4.5 percent.",
    "She paid approx. ten dollars for it.",
    "They live in Washington D.C. with two dogs.",
    "See Fig. 3 and No. 7 for details.",
    "It was cold. it was dark.",
    "Wow, a UFO! Is it real? Yes.",
    "I'LL be there, and YOU'RE welcome too.",
    "version 2.0.1 is out now.",
    "A river runs through the old town and turns the mill.",
    "Please write soon; we miss you.",
    "My cat, my dog and my bird are friends.",
    "Nothing happened for a while, as usual.",
    "Tea or coffee? Neither, thanks.",
)
OTHERS = (
    "Le train part à six heures et personne ne veut attendre.",
    "Der Zug fährt um sechs Uhr ab, und niemand wartet gern.",
    "El tren sale a las seis y nadie quiere esperar más.",
    "列车六点出发，没有人愿意等待。",
    "電車は六時に出発しますので急いでください。",
    "기차는 여섯 시에 출발하니 서두르세요.",
    "Поезд отправляется в шесть часов, и никто не хочет ждать.",
    "ट्रेन छह बजे निकलती है और कोई इंतजार नहीं करना चाहता।",
    "Il treno parte alle sei e nessuno vuole aspettare.",
    "O trem parte às seis horas e ninguém quer esperar.",
)
LANGUAGES = ("en", "fr", "de", "es", "ja", "ko", "ru", "hi", "it", "pt")
WORDS = ("cat", "river", "the", "tea", "a", "train", "open", "Wait", "X-RAY", "p.m.", "don't", "six")
STARTS = (
    "The end.",
    "the ferry, late",
    "'The end.",
    '"The" end',
    "Dr. Ramos left.",
    "Wow, a UFO!",
    "Why not?",
    "I. Am",
    "",
)
RELATIONS = ("at least", "less than")

Made = tuple[str, dict[str, Any], str]
"""Type, arguments, response."""


def text(rng: random.Random, most: int = 9) -> str:
    """Return some sentences, joined as models join them."""
    pool = ENGLISH if rng.random() < 0.9 else (*ENGLISH, *OTHERS)
    said = [rng.choice(pool) for _ in range(rng.randint(1, most))]
    return "".join(each + rng.choice((" ", " ", " ", "\n", "\n\n", "  ")) for each in said)


def _marked(marks: tuple[str, ...]) -> Callable[[random.Random], str]:
    """Return a maker of texts with some of the marks among the sentences."""

    def make(rng: random.Random) -> str:
        parts = [text(rng, 2) for _ in range(rng.randint(1, 5))]
        return "".join(part + "".join(rng.choice(marks) for _ in range(rng.randint(0, 2))) for part in parts)

    return make


def _changed(rng: random.Random) -> str:
    made = text(rng, 4)
    return rng.choice((made.upper(), made.lower(), made, made.title(), "12 + 3 = 15", "OK"))


def _json(rng: random.Random) -> str:
    value = rng.choice(({"a": [1, 2]}, [1, None], "text", 7, {}, {"deep": {"x": "y, z"}}))
    made = json.dumps(value, indent=rng.choice((None, 2)))
    start, end = rng.choice(
        (("", ""), ("```json\n", "\n```"), ("```\n", "```"), ("```JSON\n", "\n```"), ("Here: ", ""))
    )
    made = start + made + end
    return rng.choice((made, made, made.replace('"', "'"), made + ",", f"\n\n{made}\n", made[:-1], "```json\n" + made))


def _parts(mark: str, *more: str) -> Callable[[random.Random], str]:
    def make(rng: random.Random) -> str:
        parts = [text(rng, 2) if rng.random() < 0.85 else rng.choice(("", " ", "\n")) for _ in range(rng.randint(1, 5))]
        if rng.random() < 0.3:
            parts[-1] = parts[0]
        return "".join(part + rng.choice((mark, f"\n{mark}\n", *more)) for part in parts[:-1]) + parts[-1]

    return make


def _wrapped(rng: random.Random) -> str:
    start, end = rng.choice((('"', '"'), ('"', ""), ("“", "”"), ("'", "'"), ("", ""), ('\n"', '" ')))
    return start + text(rng, 2).strip() + end


def _ended(rng: random.Random) -> str:
    end = rng.choice(("Any other questions?", "any other QUESTIONS?", 'Any other questions?"', "That is all.", "Bye"))
    return text(rng, 3) + end + rng.choice(("", "\n", " ", "!"))


def _repeated(rng: random.Random) -> str:
    return rng.choice(
        ("Write a poem.", " write a POEM.\n", "Write a poem", "So: Write a poem.", '"Write a poem.')
    ) + text(rng, 2)


def _count(low: int, high: int) -> Callable[[random.Random], int]:
    return lambda rng: rng.randint(low, high)


def _of(*values: Any) -> Callable[[random.Random], Any]:
    return lambda rng: rng.choice(values)


_Makers = tuple[Mapping[str, Callable[[random.Random], Any]], Callable[[random.Random], str]]
MAKERS: Mapping[str, _Makers] = {
    "keywords:existence": ({"keywords": lambda rng: rng.sample(WORDS, 2)}, text),
    "keywords:forbidden_words": ({"forbidden_words": lambda rng: rng.sample(WORDS, 2)}, text),
    "keywords:frequency": ({"keyword": _of(*WORDS), "frequency": _count(1, 4), "relation": _of(*RELATIONS)}, text),
    "keywords:letter_frequency": (
        {"letter": _of(*"aeqzTx"), "let_frequency": _count(1, 20), "let_relation": _of(*RELATIONS)},
        text,
    ),
    "language:response_language": (
        {"language": _of(*LANGUAGES)},
        lambda rng: rng.choice(OTHERS) if rng.random() < 0.6 else text(rng),
    ),
    "length_constraints:number_words": ({"num_words": _count(5, 90), "relation": _of(*RELATIONS)}, text),
    "length_constraints:number_sentences": ({"num_sentences": _count(1, 14), "relation": _of(*RELATIONS)}, text),
    "length_constraints:number_paragraphs": ({"num_paragraphs": _count(1, 5)}, _parts("***", " *** ", "****", "* * *")),
    "length_constraints:nth_paragraph_first_word": (
        {
            "num_paragraphs": _count(2, 4),
            "nth_paragraph": _count(1, 3),
            "first_word": _of("the", "the", "dr", "wow", "i", "why"),
        },
        lambda rng: "\n\n".join(rng.choice(STARTS) for _ in range(rng.randint(2, 5))),
    ),
    "detectable_content:number_placeholders": (
        {"num_placeholders": _count(1, 5)},
        _marked(("[name]", "[]", "[a [b] c]", "[broken\nline]", "]", "[", "[1]")),
    ),
    "detectable_content:postscript": (
        {"postscript_marker": _of("P.S.", "P.P.S", "P.P.S.", "N.B.")},
        _marked(
            ("P.S. hi", "P.S hi", "P. S. hi", "p.p.s hi", "P.P.S. hi", "\nP.P.S: x", "PS: no", "N.B. this", "ps.", "\n")
        ),
    ),
    "detectable_format:number_bullet_lists": (
        {"num_bullets": _count(1, 5)},
        _marked(
            ("\n* a", "\n- b", "\n*c", "\n**d**", "\n  * e", "\n*\n", "\n---\n", "\n\n\t- f", "\n*\n* g", "\n* ", "\n-")
        ),
    ),
    "detectable_format:constrained_response": (
        {},
        _marked(("My answer is yes.", "My answer is no", "my answer is no.", "My answer is maybe.", "")),
    ),
    "detectable_format:number_highlighted_sections": (
        {"num_highlights": _count(1, 6)},
        _marked(
            ("*a*", "**b**", "***c***", "* *", "****", "*d\ne*", "\n* item\n", "**f** g*", "*", "** **", "*h* *i*")
        ),
    ),
    "detectable_format:multiple_sections": (
        {"section_spliter": _of("Section", "SECTION", "Day", "PARAGRAPH "), "num_sections": _count(1, 3)},
        _marked(
            (
                "Section 1\n",
                "\nSECTION 2",
                "Section3",
                "section 4",
                "Day 1: ",
                "**Day 2**",
                "PARAGRAPH 1",
                "Section  5",
                "Section X",
            )
        ),
    ),
    "detectable_format:json_format": ({}, _json),
    "detectable_format:title": (
        {},
        _marked(
            ("<<a title>>", "<<>>", "<< >>", "<<a\nb>>", "<<<b>>>", "<<a> >>", ">>c<<", "<a>", "<<d>> e>>", "<<<>>>")
        ),
    ),
    "combination:two_responses": ({}, _parts("******", "*******", "*****", "************", "* ******")),
    "combination:repeat_prompt": ({"prompt_to_repeat": _of("Write a poem.", " Write a poem. ")}, _repeated),
    "startend:end_checker": ({"end_phrase": _of("Any other questions?", " That is all. ", "bye")}, _ended),
    "startend:quotation": ({}, _wrapped),
    "change_case:capital_word_frequency": (
        {"capital_frequency": _count(1, 6), "capital_relation": _of(*RELATIONS)},
        lambda rng: text(rng) + rng.choice(("", text(rng, 1).upper())),
    ),
    "change_case:english_capital": ({}, _changed),
    "change_case:english_lowercase": ({}, _changed),
    "punctuation:no_comma": (
        {},
        lambda rng: rng.choice((text(rng, 2), text(rng, 3).replace(",", rng.choice(("", "，", ";"))))),
    ),
}


def made_rows(rows: int, seed: int = 0) -> Iterator[Made]:
    """Return that many (type, arguments, response), every type in turn."""
    rng = random.Random(seed)
    for number in range(rows):
        name = list(MAKERS)[number % len(MAKERS)]
        arguments, response = MAKERS[name]
        given = {key: draw(rng) for key, draw in arguments.items()}
        if "nth_paragraph" in given:
            given["nth_paragraph"] = min(given["nth_paragraph"], given["num_paragraphs"])
        yield name, given, response(rng)


def harness_says(name: str, arguments: Mapping[str, Any], response: str) -> bool:
    """Return whether the harness's strict checker finds the instruction followed."""
    import langdetect
    from lm_eval.tasks.ifeval import utils

    langdetect.DetectorFactory.seed = 0  # without one, the harness's own verdict differs from call to call
    given = utils.InputExample(0, [name], "", [dict(arguments)])
    return bool(utils.test_instruction_following_strict(given, response).follow_all_instructions)


def ringlite_says(name: str, arguments: Mapping[str, Any], response: str) -> bool:
    """Return whether ringlite finds the instruction followed. Raises AssertionError for an error of ours."""
    verdict = verify_instructions({"instruction_id_list": [name], "kwargs": [dict(arguments)]}, response)
    assert verdict.verdict in ("correct", "wrong"), verdict.detail
    return verdict.verdict == "correct"


def has_punkt() -> bool:
    """Whether NLTK's trained sentence splitter is installed, which the harness counts sentences by."""
    import nltk

    try:
        nltk.data.find("tokenizers/punkt_tab/english/")
    except LookupError:
        return False
    return True


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=6000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--show", type=int, default=5, help="disagreements to print")
    options = parser.parse_args()
    left_out = () if has_punkt() else NEED_PUNKT
    assert set(MAKERS) == set(CHECKS)
    rows, agree, followed, shown = Counter[str](), Counter[str](), Counter[str](), 0
    for name, arguments, response in made_rows(options.rows, options.seed):
        if name in left_out:
            continue
        theirs, ours = harness_says(name, arguments, response), ringlite_says(name, arguments, response)
        rows[name] += 1
        agree[name] += theirs == ours
        followed[name] += theirs
        if theirs != ours and shown < options.show:
            shown += 1
            print(f"harness {theirs}, ringlite {ours}: {name} {arguments} {response!r}")
    print("| type | rows | agree | followed |\n|---|---:|---:|---:|")
    for name in rows:
        print(f"| {name} | {rows[name]:,} | {agree[name]:,} | {followed[name]:,} |")
    print(f"| all | {rows.total():,} | {agree.total():,} | {followed.total():,} |")
    if left_out:
        print(f"left out, for punkt_tab is not installed: {', '.join(left_out)}")


if __name__ == "__main__":
    main()
