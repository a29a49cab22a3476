"""Family relations: from the story to parents and spouses, from these to the word.

reasoning-gym 0.1.25 names nieces, nephews and parents-in-law from the wrong side; such rows are left out.
"""

import random
import re
from collections import defaultdict
from dataclasses import dataclass, field

from ringlite_cli.data.games.base import Difficulty, Game, Row, Unworked, Worked, WrongGold, gold

_MARRIED = re.compile(r"^(.+) is married to (.+)$")
_CHILDREN = re.compile(r"^They have (?:a child|children) called (.+)$")
_WORDS = {  # relation -> (female, male)
    "parent": ("mother", "father"),
    "child": ("daughter", "son"),
    "spouse": ("wife", "husband"),
    "sibling": ("sister", "brother"),
    "grandparent": ("grandmother", "grandfather"),
    "aunt or uncle": ("aunt", "uncle"),
    "niece or nephew": ("niece", "nephew"),
    "child-in-law": ("daughter-in-law", "son-in-law"),
}


@dataclass
class _Family:
    couples: list[tuple[str, str, list[str]]] = field(default_factory=list)
    spouse: dict[str, str] = field(default_factory=dict)
    parents: defaultdict[str, list[str]] = field(default_factory=lambda: defaultdict(list))


def read(story: str) -> _Family:
    """Return who is married to whom, and whose children there are."""
    family = _Family()
    for sentence in story.strip().removesuffix(".").split(". "):
        if married := _MARRIED.match(sentence):
            one, other = married.groups()
            family.spouse |= {one: other, other: one}
            family.couples.append((one, other, []))
        elif called := _CHILDREN.match(sentence):
            one, other, children = family.couples[-1]
            for child in re.split(r", | and ", called[1]):
                family.parents[child] += [one, other]
                children.append(child)
        else:
            raise Unworked(f"a sentence of an unknown form: {sentence}")
    return family


def work(row: Row, difficulty: Difficulty, rng: random.Random) -> Worked:
    """Say who the parents are, then what one is to the other."""
    family, known = read(row["question"].partition("\n\n")[0]), row["metadata"]
    one, other = known["person1"], known["person2"]
    relation, why = _relation(family, one, other)
    female = one in difficulty["female_names"] and one not in difficulty["male_names"]
    word = _WORDS[relation][0 if female else 1]
    if word != gold(row):
        raise WrongGold(f"{one} is the {word} of {other}, not the {gold(row)}")
    facts = [_facts(family, name) for name in (one, other)]
    return Worked("".join(facts) + f"{why}\n{one} is a {relation} of {other}, {'female' if female else 'male'}\n", word)


def _relation(family: _Family, one: str, other: str) -> tuple[str, str]:
    """What `one` is to `other`, and by what."""
    own, theirs = family.parents[one], family.parents[other]
    if one in theirs:
        return "parent", f"{one} is among the parents of {other}"
    if other in own:
        return "child", f"{other} is among the parents of {one}"
    if family.spouse.get(one) == other:
        return "spouse", f"{one} and {other} are married"
    if own and set(own) == set(theirs):
        return "sibling", f"the parents of both are {' and '.join(own)}"
    if parent := next((p for p in theirs if one in family.parents[p]), None):
        return "grandparent", f"{one} is a parent of {parent}, a parent of {other}"
    if parent := next((p for p in theirs if set(own) & set(family.parents[p])), None):
        return "aunt or uncle", f"{parent}, a parent of {other}, has the parents of {one}"
    if parent := next((p for p in own if set(theirs) & set(family.parents[p])), None):
        return "niece or nephew", f"{parent}, a parent of {one}, has the parents of {other}"
    spouse = family.spouse.get(one)
    if spouse and other in family.parents[spouse]:
        return "child-in-law", f"{spouse}, married to {one}, is a child of {other}"
    raise WrongGold(f"{one} and {other} are related in no way that has a word")


def _facts(family: _Family, name: str) -> str:
    parents = " and ".join(family.parents[name]) or "not told"
    return f"{name}: parents {parents}, married to {family.spouse.get(name, 'nobody')}\n"


def short(row: Row) -> str:
    family, known = read(row["question"].partition("\n\n")[0]), row["metadata"]
    told = [f"{a} + {b}" + (f": {', '.join(children)}" if children else "") for a, b, children in family.couples]
    return "; ".join(told) + f".\nWhat is {known['person1']} to {known['person2']}?"


FAMILY_RELATIONSHIPS = Game("family_relationships", work, short)
