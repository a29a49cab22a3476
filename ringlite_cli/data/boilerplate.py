"""What the prompts of a source share: an instruction at the end or the start that says nothing of the problem.

It is found, not listed: the words with which most prompts of a source end (or start), or at least a tenth of a larger
source. At the start the digits of a number, as in "Question 7 of 9:", count as equal. For comparison with other rows it
is taken off, as are numbers of questions ("7. ", "Question 7."). From the prompt itself it goes only where the recipe's
own suffix would say the same again.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from ringlite_cli.data.rows import CuratedRow

SAMPLE = 2000  # rows of a source that are looked at
MOST, PART = 0.5, 0.1  # share of a source that must have it; the smaller in a source of at least `LARGE` rows
LARGE = 200
FEWEST = 4  # rows that must have it
SHORTEST, LONGEST = 4, 60  # words
NUMBER_IN = 3  # first words in which a number is the question's own
_MEANT = 3  # words of a suffix that must stand in a text for it to say the same

_WORD = re.compile(r"\S+")
_DIGITS = re.compile(r"\d+")
_UNSPACED = re.compile("[\u3040-\u30ff\u3400-\u9fff]")
_CLAUSE = re.compile(r"(?<=[.?!:;。？！：；])")
_LETTERS = re.compile(r"[^\W\d_]{3,}")
_MARKUP = r"(?:#{1,6}\s*|\*{1,3}|>\s*)?"
_COUNTED = (  # 7.  (7)  [7]  #7  2.14 Find  Question 7:  Exercise 7 on a line
    r"\(?\d{1,3}[.)、．]|\[\d{1,3}\]|#\d{1,4}[.:]?|\d{1,2}\.\d{1,3}(?=\s+[A-Z])"
    r"|[^\W\d_]{1,12}\.?\s*#?\d+(?:\.\d+)*[a-z]?\s*(?:[.:)、：]|(?=\*|[ \t]*\n))"
)
_LABEL = r"(?:Question|Problem|Exercise|Task|Prompt|Instruction|Input|User|Human|Q|题目?|问题?)\s*[:：]"
_NAMED = (  # Exercise 3.12 Find
    r"(?:Question|Problem|Exercise|Example|Task|Ex\.|Q)\s*#?\d{1,4}(?:\.\d+)*[a-z]?(?=\s+[A-Z$\\])"
)
_ORIGIN = (  # (5 points)  [AMC 12, 2010]
    r"(?:[\[(（【]\s*(?:\d{1,3}\s*(?:points?|pts?\.?|marks?|分)"
    r"|(?=[^\])）】\n]*\b(?:19|20)\d\d\b)(?=[^\])）】\n]*[A-Za-z]{2})"
    r"(?:[A-Z\d#][\w.#/-]*[ ,]*){1,8})\s*[\])）】]\s*(?![-+*/^=]))"
)
_NUMBER = re.compile(
    rf"\s*{_MARKUP}(?:{_COUNTED}|{_LABEL}|{_NAMED})\**[:.]?\s+{_ORIGIN}?(?=\S)|\s*{_ORIGIN}(?=\S)"
    r"|\s*第\s*\d+\s*[题題][.:：、,，]?\s*|\s*\d{1,3}[、．]\s*|\s*(?:题目?|问题?)\s*[:：]\s*"
)
_OPENED = re.compile(r"\s+(?:#{1,6}\s*|\*{1,3})?(?:Assistant|Solution|Answer|Response|A|解答?|答案?)\s*[:：]\**\s*\Z")
"""What opens the response at the end of a prompt."""
_CREDIT = re.compile(rf"(?<=[.?!。？！$])\s*{_ORIGIN}\Z")
"""Points or the contest at the end of a prompt."""
_TAG = r"<\|?/?[A-Za-z_]{2,30}\|?>|\[/?[A-Z_]{3,20}\]"  # <question>  <|im_end|>  [/INST]
_IS_TAG = re.compile(_TAG)
_PIECE = re.compile(rf"[\u3040-\u30ff\u3400-\u9fff]|{_TAG}|(?:(?!{_TAG})[^\s\u3040-\u30ff\u3400-\u9fff])+")

Key = tuple[str, ...]


@dataclass(frozen=True)
class Shared:
    """What prompts of one source share, in pieces; the digits of the first few of `starts` as "0"."""

    ends: frozenset[Key] = frozenset()
    starts: frozenset[Key] = frozenset()
    longest: int = 0

    @cached_property
    def closers(self) -> tuple[str, ...]:
        """The last words of the ends: a text that ends in none of them has no shared end."""
        return tuple(sorted({key[-1] for key in self.ends}))


@dataclass
class Boilerplate:
    """What each source's prompts share, by the name of the source, and how often it stands in the sample."""

    shared: dict[str, Shared] = field(default_factory=dict)
    counts: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    def core(self, prompt: str, source: str) -> tuple[str, str]:
        """Return (the prompt without its number and what its source's prompts share, the latter)."""
        number = _NUMBER.match(prompt)
        text = prompt[number.end() :] if number and number.end() < len(prompt) else prompt
        if text.rstrip(" *\n").endswith((":", "：")):
            text = _OPENED.sub("", text) or text
        if text.rstrip().endswith((")", "]", "）", "】")):
            text = _CREDIT.sub("", text) or text
        shared = self.shared.get(source)
        if shared is None:
            return text, ""
        start, end = _start_of(text, shared), _end_of(text, shared)
        if start >= end:
            return text, ""
        return text[start:end], text[:start] + text[end:]

    def echoes(self, source: str, suffixes: Iterable[str]) -> bool:
        """Return whether something that the source's prompts share says again what a suffix says."""
        texts = [told["text"] for told in self.counts.get(source, ())]
        return any(says_the_same(text, suffix) for text in texts for suffix in suffixes)

    def without_echo(self, prompt: str, source: str, suffix: str) -> str:
        """The prompt without the shared ends that say again what the recipe's suffix says."""
        shared = self.shared.get(source)
        if shared is None or not suffix:
            return prompt
        end, start = _end_of(prompt, shared), _start_of(prompt, shared)
        if end > start and end < len(prompt) and says_the_same(prompt[end:], suffix):
            prompt = prompt[:end].rstrip()
        if 0 < start < len(prompt) and says_the_same(prompt[:start], suffix):
            prompt = prompt[start:].lstrip()
        return prompt


def says_the_same(text: str, suffix: str) -> bool:
    """Return whether a text gives the instruction of the suffix: the same box, or several of its words."""
    if "\\boxed" in text and "\\boxed" in suffix:
        return True
    return len({*_LETTERS.findall(text.lower())} & {*_LETTERS.findall(suffix.lower())}) >= _MEANT


def find_boilerplate(rows: Sequence[CuratedRow]) -> Boilerplate:
    """Look through a sample of each source; procedural rows share their templates and are left out."""
    by_source: defaultdict[str, list[str]] = defaultdict(list)
    for source, prompt in _sampled(rows):
        by_source[source].append(prompt)
    found = Boilerplate()
    for source, prompts in by_source.items():
        ends = _shared(prompts, at_end=True)
        starts = _shared(prompts, at_end=False)
        if ends or starts:
            longest = max(map(len, [*ends, *starts]))
            found.shared[source] = Shared(frozenset(ends), frozenset(starts), longest)
            found.counts[source] = [
                {"where": where, "text": _text(key), "share": round(n / len(prompts), 3)}
                for where, keys in (("end", ends), ("start", starts))
                for key, n in sorted(keys.items(), key=lambda item: (-item[1], item[0]))
            ]
    return found


def _sampled(rows: Sequence[CuratedRow]) -> Iterator[tuple[str, str]]:
    """(source, prompt) of rows spread evenly over each run of rows of one source."""
    human = [row for row in rows if not row.procedural]
    step = max(len(human) // (4 * SAMPLE), 1)
    taken: Counter[str] = Counter()
    for row in human[::step]:
        problem = row.problem
        if taken[problem.source] < SAMPLE:
            taken[problem.source] += 1
            yield problem.source, problem.prompt


def _shared(prompts: Sequence[str], *, at_end: bool) -> dict[Key, int]:
    """Return what enough prompts end or start with -> how many do; of nested ones the longest."""
    distinct = {" ".join(prompt.split()) for prompt in prompts}
    least = max(FEWEST, (PART if len(distinct) >= LARGE else MOST) * len(distinct))
    counts: Counter[Key] = Counter()
    live = [_pieces(text, at_end) for text in distinct]
    for size in range(1, LONGEST + 1):
        here = Counter(tuple(p[-size:] if at_end else p[:size]) for p in live if len(p) > size)
        often = {key for key, n in here.items() if n >= least}
        if not often:
            break
        counts.update({key: here[key] for key in often})
        live = [p for p in live if len(p) > size and tuple(p[-size:] if at_end else p[:size]) in often]
    return _longest(counts, at_end)


def _longest(counts: Mapping[Key, int], at_end: bool) -> dict[Key, int]:
    """The keys that are long enough and whole clauses, but those of which nearly all are part of a longer one."""
    kept: dict[Key, int] = {}
    for key in sorted(counts, key=lambda key: (-len(key), key)):
        if not _is_markup(key) and (len(key) < SHORTEST or not _is_whole(key, at_end)):
            continue
        longer = (k for k in kept if len(k) > len(key) and (k[-len(key) :] if at_end else k[: len(key)]) == key)
        if sum(counts[k] for k in longer) < 0.9 * counts[key]:
            kept[key] = counts[key]
    return kept


def _is_whole(key: Key, at_end: bool) -> bool:
    """Return whether the pieces may be a clause: they open with a capital or sign, or (at the start) close one."""
    return not key[0][0].islower() if at_end else key[-1][-1] in ".?!:;,。？！：；，"


def _is_markup(key: Key) -> bool:
    """Return whether a short key is a tag, with a role beside it at most: "<question>", "<|im_start|> user"."""
    return bool(_IS_TAG.fullmatch(key[0]) or _IS_TAG.fullmatch(key[-1]))


def _pieces(text: str, at_end: bool) -> list[str]:
    """The last or first words of a text, signs of unspaced scripts one by one."""
    if at_end:
        return _PIECE.findall(text[-LONGEST * 12 :])[-LONGEST - 1 :]
    return _numbered(_PIECE.findall(text[: LONGEST * 12])[: LONGEST + 1])


def _numbered(pieces: list[str]) -> list[str]:
    """The first words of a text with the digits of its number as 0; later digits belong to the problem."""
    return [_DIGITS.sub("0", piece) for piece in pieces[:NUMBER_IN]] + pieces[NUMBER_IN:]


def _end_of(text: str, shared: Shared) -> int:
    """Return where the shared end begins; the length of the text where there is none."""
    if not text.rstrip().endswith(shared.closers):
        return len(text)
    spans = list(_PIECE.finditer(text, max(0, len(text) - LONGEST * 12)))[-shared.longest - 1 :]
    pieces = [match[0] for match in spans]
    for first in range(max(1, len(pieces) - shared.longest), len(pieces)):
        if tuple(pieces[first:]) in shared.ends:
            return spans[first].start()
    return len(text)


def _start_of(text: str, shared: Shared) -> int:
    """Return where the problem begins after the shared start; 0 where there is none."""
    if not shared.starts:
        return 0
    spans = list(_PIECE.finditer(text, 0, LONGEST * 12))
    pieces = _numbered([match[0] for match in spans])
    for last in range(min(len(pieces) - 1, shared.longest), 0, -1):
        if tuple(pieces[:last]) in shared.starts:
            return spans[last].start()
    return 0


def _text(key: Iterable[str]) -> str:
    """The pieces as one readable line."""
    line = " ".join(key)
    return re.sub("(?<=[\u3040-\u30ff\u3400-\u9fff。，：]) (?=[\u3040-\u30ff\u3400-\u9fff。，：])", "", line)
