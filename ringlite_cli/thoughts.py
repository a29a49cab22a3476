"""Where a reasoning model's thoughts end and its answer begins: one rule for all verifiers, votes and reports.

The answer is what stands after the last closed thought. A thought that is never closed takes all that follows it. A
closing tag alone closes a thought too: many chat templates open it at the end of the prompt, and the response then
starts inside. Tags in a finished code block, or between quotes or backticks, are text (outside thoughts).
"""

import re
from array import array
from collections.abc import Iterator, Sequence
from functools import lru_cache

Tags = Sequence[tuple[str, str]]

TAGS: Tags = (
    ("<think>", "</think>"),
    ("<thinking>", "</thinking>"),
    ("<thought>", "</thought>"),
    ("<thoughts>", "</thoughts>"),
    ("<reasoning>", "</reasoning>"),
    ("<|begin_of_thought|>", "<|end_of_thought|>"),
    ("<seed:think>", "</seed:think>"),
    ("[THINK]", "[/THINK]"),
    ("◁think▷", "◁/think▷"),
)
"""The tags that open and close a thought; case is ignored in those of angle brackets."""

_FENCE = r"^ {0,3}(?P<fence>`{3,}+|~{3,}+)(?P<info>[^\n`<\[◁]*+)$"
_QUOTES = {"`": "`", '"': '"', "'": "'", "“": "”"}


def answer_part(response: str, tags: Tags = TAGS) -> str:
    """Return what stands after the last closed thought, up to a thought that is not closed ("" if nothing does).

    Linear in the response. For a model whose prompt opened the thought, put its tag before the response.
    """
    tags, lowered = tuple((start, end) for start, end in tags), response.lower()
    if not any(tag.lower() in lowered for pair in tags for tag in pair):
        return response
    return _Reader(response, tags).answer()


def opened_thought(prompt: str, tags: Tags = TAGS) -> str:
    """Return the tag of the thought that a rendered prompt opens by ending with it, or ""."""
    end = prompt[-200:].rstrip()
    return next((start for start, _ in tags if end.endswith(start) or end.lower().endswith(_folded(start))), "")


def tags_of(verify: object) -> Tags:
    """Return the tags that a verifier knows, or the usual ones."""
    return getattr(verify, "thought_tags", TAGS)


def with_thought(response: str, opened: bool | str, tags: Tags = TAGS) -> str:
    """Return a response together with the tag that its prompt opened.

    opened: the tag; or True for one of unknown kind: it is then the kind that the response closes first, else the first
    of `tags`.
    """
    if not isinstance(opened, str):
        opened = _first_closed(response, tuple(tags)) if opened else ""
    return f"{opened}\n{response}" if opened else response


def _first_closed(response: str, tags: tuple[tuple[str, str], ...]) -> str:
    for match in _pattern(tags).finditer(response):
        if match["close"]:
            return next(start for start, end in tags if _same(end, match["close"]))
    return tags[0][0] if tags else ""


def _folded(tag: str) -> str:
    """The tag as it is compared: in lower case, but for brackets such as [THINK], where case tells it from text."""
    return tag if tag.startswith("[") else tag.lower()


def _same(tag: str, found: str) -> bool:
    return tag == found or (not tag.startswith("[") and tag.lower() == found.lower())


@lru_cache(maxsize=32)
def _pattern(tags: tuple[tuple[str, str], ...]) -> re.Pattern[str]:
    starts, ends = ("|".join(_any_case(tag) for tag in kind) for kind in zip(*tags, strict=True)) if tags else ("", "")
    never = r"(?!)"
    return re.compile(rf"(?P<close>{ends or never})|(?P<open>{starts or never})|{_FENCE}", re.MULTILINE)


def _any_case(tag: str) -> str:
    return re.escape(tag) if tag.startswith("[") else f"(?i:{re.escape(tag)})"


class _Reader:
    """Walks over the tags and fences of one response, from left to right.

    It reads them twice and keeps none: 100,000 kept matches cost seconds of garbage collection in a large process.
    """

    def __init__(self, response: str, tags: tuple[tuple[str, str], ...]) -> None:
        self._text, self._tags = response, tags
        self._longest = self._longest_bare_fences()

    def _marks(self) -> Iterator[re.Match[str]]:
        return _pattern(self._tags).finditer(self._text)

    def answer(self) -> str:
        start, cut = 0, len(self._text)
        inside = ""  # the tag that closes the thought that is open
        fence = ""  # the marker of the code block that is open
        fences = -1  # how many fences stand before this one
        for mark in self._marks():
            fences += bool(mark["fence"])
            if inside:
                if mark["close"] and _same(inside, mark["close"]):
                    start, cut, inside = mark.end(), len(self._text), ""
            elif mark["fence"]:
                fence = self._after_fence(mark, fences, fence)
            elif mark["close"]:
                if self._closes(mark, fence):
                    start, fence = mark.end(), ""
            elif not fence and not self._is_quoted(mark):
                cut, inside = mark.start(), self._end_of(mark["open"])
        return self._text[start:cut]

    def _after_fence(self, mark: re.Match[str], place: int, fence: str) -> str:
        """The code block that is open after a fence: a block that no later fence closes is none."""
        marker = mark["fence"]
        if fence:
            closes = marker[0] == fence[0] and len(marker) >= len(fence) and _is_bare(mark)
            return "" if closes else fence
        return marker if self._longest[marker[0]][place] >= len(marker) else ""

    def _longest_bare_fences(self) -> dict[str, "array[int]"]:
        """By character: for each fence, the length of the longest fence without a language after it."""
        longest = {"`": array("l"), "~": array("l")}
        for mark in self._marks():
            if mark["fence"]:
                for character, lengths in longest.items():
                    own = character == mark["fence"][0] and _is_bare(mark)
                    lengths.append(len(mark["fence"]) if own else 0)
        for lengths in longest.values():
            best = 0
            for place in range(len(lengths) - 1, -1, -1):
                lengths[place], best = best, max(best, lengths[place])
        return longest

    def _closes(self, mark: re.Match[str], fence: str) -> bool:
        """Return whether a closing tag without an opening one ends a thought; in code only if alone on its line."""
        if not fence:
            return not self._is_quoted(mark)
        before = self._text[max(0, mark.start() - 1) : mark.start()]
        after = self._text[mark.end() : mark.end() + 1]
        return before in ("", "\n") and after in ("", "\n", "\r")

    def _is_quoted(self, mark: re.Match[str]) -> bool:
        before, after = self._text[mark.start() - 1 : mark.start()], self._text[mark.end() : mark.end() + 1]
        return bool(after) and _QUOTES.get(before) == after

    def _end_of(self, opened: str) -> str:
        return next(end for start, end in self._tags if _same(start, opened))


def _is_bare(fence: re.Match[str]) -> bool:
    """Return whether a fence names no language: such a one alone closes a block."""
    return not fence["info"].strip()
