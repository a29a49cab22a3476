"""Whether a problem needs a figure that its text does not hold.

Asymptote code alone is no reason: much of it draws what the text has said already. It is one where the text speaks of
what stands in a figure (more than "as shown"), says no number at all, or lacks a number or a name that stands in the
drawing. What stays keeps its code, so that the text loses nothing.
"""

import re
from collections.abc import Iterable

_WORDS = (
    *("figure", "picture", "diagram", "graph", "image", "map", "asy", "tikz"),
    *("![", "<img", ".png", ".jp", ".g", ".s"),
)
_IMAGE = re.compile(
    r"!\[[^\]]*\]\(|<img\b|\\includegraphics|\\begin\{tikzpicture\}|\.(?:png|jpe?g|gif|svg)\b",
    re.I,
)
_SPOKEN_OF = re.compile(
    r"\b(?:in|from|by) the (?:\w+ )?(?:figure|picture|diagram)s?\b"
    r"|\b(?:shown|look) (?:\w+ )?(?:in|at) the (?:\w+ )?(?:figure|diagram|picture|graph|image|map)s?\b"
    r"|\b(?:figure|diagram|picture|image|graph)s? (?:(?:is|are) )?(?:shown|(?:shown )?below|(?:shown )?above)\b"
    r"|\b(?:following|accompanying|adjoining) (?:figure|diagram|picture|image)s?\b",
    re.I,
)
_TYPESET = re.compile(r"\\begin\{(?:array|tabular|[pbv]?matrix)\}")  # a table or triangle of numbers is in the text
_DRAWING = re.compile(r"\[asy\].*?(?:\[/asy\]|\Z)|\\begin\{asy\}.*?(?:\\end\{asy\}|\Z)", re.S | re.I)
_STRAY = re.compile(r"\[/?asy\]|\\(?:begin|end)\{asy\}", re.I)
_REFERS = re.compile(
    r"\b(?:figures?|diagrams?|pictures?|pictured|images?|drawings?|sketch|graphs?|graphed|maps?|charts?|grids?|tables?"
    r"|plots?|spinners?|shown?|shows|drawn|depicted|illustrated|indicated|displayed|marked|labell?ed|(?:un)?shaded"
    r"|gr[ae]y|white|black|colou?red|dotted|dashed|below|above|following|this|these|number line|seen"
    r"|to the (?:right|left))\b",
    re.I,
)
_IN_PASSING = re.compile(  # points at a drawing, but at nothing in it
    r"\bas (?:shown|pictured|illustrated|drawn|depicted)(?: (?:here|below|above|in the (?:figure|diagram|picture)))*"
    r"|\bdiagram by [^\n]*|\(not (?:drawn )?to scale\)",
    re.I,
)
_QUOTED = re.compile(r'"([^"]*)"')
_NUMBER = re.compile(r"\d+(?:\.\d+)?")
_MARK = re.compile(r"\d+(?:\.\d+)?|\\?[A-Za-z]+")
_LOOK = {"circ", "mathrm", "text", "textbf", "overline", "tiny", "small", "rm", "footnotesize", "scriptstyle", "prime"}


def figure_needed(text: str) -> bool:
    """Whether the text shows an image, or speaks of a figure that it does not hold."""
    if not _mentions(text, _WORDS):
        return False
    if _IMAGE.search(text):
        return True
    drawings = _DRAWING.findall(text)
    words = _DRAWING.sub(" ", text)
    if drawings or _STRAY.search(words):
        return not drawings or _STRAY.search(words) is not None or _tells_more(drawings, words)
    return bool(_SPOKEN_OF.search(text)) and not _TYPESET.search(text)


def without_drawings(text: str) -> str:
    """The text with a space for each drawing in Asymptote code."""
    return _DRAWING.sub(" ", text) if "asy" in text.lower() else text


def _mentions(text: str, words: Iterable[str]) -> bool:
    return any(map(text.lower().__contains__, words))


def _tells_more(drawings: Iterable[str], words: str) -> bool:
    """Whether the words refer to the drawings, or the drawings' labels say more than the words do."""
    said = set(_NUMBER.findall(words))
    if not said or _REFERS.search(_IN_PASSING.sub(" ", words)):
        return True
    marks = {mark for drawing in drawings for label in _QUOTED.findall(drawing) for mark in _MARK.findall(label)}
    return any(not _is_known(mark, said) for mark in marks)


def _is_known(mark: str, said: set[str]) -> bool:
    """A number that the words have, the name of a point, or a command of layout; an angle's or a length's is not."""
    if mark[0].isdigit():
        return mark in said
    return (len(mark) == 1 and mark.isupper()) or mark.lstrip("\\") in _LOOK
