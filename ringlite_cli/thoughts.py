"""Where a reasoning model's thoughts end and its answer begins: one rule for all verifiers, votes and reports.

The answer is what stands after the last closed thought. A thought that is never closed takes all that follows it. A
closing tag alone closes a thought too: many chat templates open it at the end of the prompt, and the response then
starts inside. Tags in a finished code block, or between quotes or backticks, are text (outside thoughts).
"""

import re
from collections.abc import Sequence
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
    """Walks over the tags and fences of one response, from left to right."""

    def __init__(self, response: str, tags: tuple[tuple[str, str], ...]) -> None:
        self._text, self._tags = response, tags
        self._marks = list(_pattern(tags).finditer(response))
        self._closable = self._longest_bare_fences()

    def answer(self) -> str:
        start, cut = 0, len(self._text)
        inside = ""  # the tag that closes the thought that is open
        fence = ""  # the marker of the code block that is open
        for place, mark in enumerate(self._marks):
            if inside:
                if mark["close"] and _same(inside, mark["close"]):
                    start, cut, inside = mark.end(), len(self._text), ""
            elif mark["fence"]:
                fence = self._after_fence(place, fence)
            elif mark["close"]:
                if self._closes(mark, fence):
                    start, fence = mark.end(), ""
            elif not fence and not self._is_quoted(mark):
                cut, inside = mark.start(), self._end_of(mark["open"])
        return self._text[start:cut]

    def _after_fence(self, place: int, fence: str) -> str:
        """The code block that is open after a fence: a block that no later fence closes is none."""
        mark = self._marks[place]
        marker = mark["fence"]
        if fence:
            closes = marker[0] == fence[0] and len(marker) >= len(fence) and not mark["info"].strip()
            return "" if closes else fence
        return marker if self._closable[place][marker[0]] >= len(marker) else ""

    def _longest_bare_fences(self) -> list[dict[str, int]]:
        """For each mark, the longest fence without a language among the marks after it, by character."""
        longest, found = {"`": 0, "~": 0}, []
        for mark in reversed(self._marks):
            found.append(dict(longest))
            if mark["fence"] and not mark["info"].strip():
                longest[mark["fence"][0]] = max(longest[mark["fence"][0]], len(mark["fence"]))
        return found[::-1]

    def _closes(self, mark: re.Match[str], fence: str) -> bool:
        """Whether a closing tag without an open thought ends one; in a code block only if alone on its line."""
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
