"""A reply in the making: sentences about a subject, which instructions shape one after the other."""

import json
import random
import re
from collections.abc import Iterator

from ringlite_cli.data.generators.instructions.bank import Scale, sentences


class Reply:
    """Blocks of sentences, what parts them, and what stands around them.

    request: the prompt's own question, which a reply may have to repeat. marks: what blocks have before their first
    sentence. tail: the end of the last block. whole: a reply that is nothing but this.
    """

    def __init__(self, rng: random.Random, noun: str, request: str, scale: Scale) -> None:
        self.rng, self.noun, self.request, self.scale = rng, noun, request, scale
        self.pool = self._about()
        self._unused: dict[str, list[str]] = {}  # use -> sentences that this reply does not have yet
        self.blocks: list[list[str]] = [[]]
        self.marks: list[str] = [""]
        self.joint = "\n"
        self.top = self.bottom = self.tail = self.whole = ""
        self.case = ""
        self.quoted = self.as_json = False
        self.grow(1)

    def split(self, parts: int, joint: str, mark: str = "") -> None:
        """Make so many blocks, each with a sentence at least; `mark` may have a place for the block's number."""
        self.joint = joint
        self.blocks += [[] for _ in range(parts - len(self.blocks))]
        self.marks = [mark.format(n=n) for n in range(1, parts + 1)]
        for block in self.blocks:
            if not block:
                block.append(next(self.pool))

    def grow(self, count: int) -> None:
        """Add sentences until there are so many."""
        while sum(map(len, self.blocks)) < count:
            min(self.blocks, key=len).append(next(self.pool))

    def grow_to_words(self, count: int) -> None:
        """Add sentences until the reply has so many words."""
        while word_count(self.text()) < count:
            min(self.blocks, key=len).append(next(self.pool))

    def add(self, kind: str, word: str) -> None:
        """Add a sentence with this word: a keyword or a blank."""
        left = self._unused.setdefault(kind, [])
        if not left:
            left += sentences()[kind][self.scale.name]
            self.rng.shuffle(left)
        min(self.blocks, key=len).append(left.pop().format(word=word))

    def say_plainly(self) -> None:
        """Add sentences that are told as English in capitals and small letters too; short ones alone often are not."""
        plain = [sentence.format(the=f"the {self.noun}") for sentence in sentences()["plain"]]
        if len(self.blocks) == 1 and len(self.blocks[0]) == 1:
            self.blocks[0] = []
        for sentence in plain:
            min(self.blocks, key=len).append(sentence)

    def in_language(self, code: str) -> None:
        """Say it in another language, whose sentences name no subject."""
        bank = list(sentences()["languages"][code])
        self.rng.shuffle(bank)
        self.pool = iter(bank)
        self.blocks = [[next(self.pool), next(self.pool)]]

    def change_words(self, count: int, change: str) -> None:
        """Put so many words of the sentences through a template of `{}`, at most one in a sentence."""
        self.grow(count)
        places = [(block, n) for block in self.blocks for n in range(len(block))]
        for block, n in self.rng.sample(places, count):
            words = block[n].split(" ")
            last = max(range(len(words)), key=lambda place: len(words[place].strip(".")))
            end = "." if words[last].endswith(".") else ""
            word = words[last].removesuffix(".")
            words[last] = (word.upper() if change == "upper" else change.format(word)) + end
            block[n] = " ".join(words)

    def text(self) -> str:
        """The reply as it stands."""
        if self.whole:
            return self.whole
        parts = [mark + " ".join(block) for mark, block in zip(self.marks, self.blocks, strict=True)]
        text = self.joint.join(parts)
        if self.as_json:
            text = json.dumps({"about": self.noun, "text": text}, ensure_ascii=False)
        text = self.top + text + (f" {self.tail}" if self.tail else "") + self.bottom
        text = {"upper": text.upper(), "lower": text.lower()}.get(self.case, text)
        return f'"{text}"' if self.quoted else text

    def _about(self) -> Iterator[str]:
        bank = list(sentences()[self.scale.name])
        while True:
            self.rng.shuffle(bank)
            for sentence in bank:
                yield sentence.format(the=f"the {self.noun}", The=f"The {self.noun}")


def word_count(text: str) -> int:
    """Return the number of words as the verifier counts them."""
    return len(re.findall(r"\w+", text))
