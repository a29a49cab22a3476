"""Whether a problem needs a figure that its text does not hold, in English or Chinese words.

Asymptote code alone is no reason: much of it draws what the text has said already. It is one where the text speaks of
what stands in a figure (more than "as shown"), says no number at all, or lacks a number or a name that stands in the
drawing. What stays keeps its code, so that the text loses nothing.
"""

import re
from collections.abc import Iterable

_WORDS = (  # one of these stands in whatever needs a figure
    *(
        "figure",
        "fig.",
        " fig",
        "picture",
        "diagram",
        "graph",
        "image",
        " map",
        "[asy",
        "asy}",
        "asy]",
        "tikz",
        "shown",
    ),
    *("below", "above", "chart", "sketch", "drawing", "illustrat", "depict", " plot", "histogram"),
    *("![", "<img", ".png", ".jp", ".g", ".s", "图", "表"),
)
_IMAGE = re.compile(
    r"!\[[^\]]*\]\(|<img\b|\\includegraphics|\\begin\{tikzpicture\}|\.(?:png|jpe?g|gif|svg)\b",
    re.I,
)
_THING = r"(?:figure|picture|diagram|image|illustration|drawing|sketch|bar chart|pie chart|chart|histogram)s?"
_DRAWN = rf"(?:{_THING}|(?:graph|map|plot|curve|circuit|network|ladder)s?)"
_SPOKEN_OF = re.compile(
    rf"\b(?:in|from|by|on|see|per|using|consider|study|use) (?:the|this|these) (?:\w+ )?{_THING}(?! of)\b"
    r"|\b(?:in|from|see|per) (?:figure|diagram)s?\b(?! of)"
    r"|\b(?:shown|look\w*|given|depicted|pictured|seen|indicated|marked|labell?ed) (?:\w+ )?(?:in|at|on|by) (?:the )?"
    rf"(?:(?!an?\b)\w+ )?{_DRAWN}\b"
    rf"|\b{_DRAWN} (?:(?:is|are|that is) )?(?:(?:shown|given|drawn) )?(?:below|above|here)\b"
    rf"|\b{_THING} (?:is |are )?shown\b|\bgraph (?:is |are )?shown\b"
    r"|\bgraphs? of [^.?!]{1,60}? (?:is|are) shown\b(?! (?:to|that)\b)"
    rf"|\b(?:following|accompanying|adjoining|adjacent|attached|nearby) {_THING}\b"
    rf"|\bthe {_THING} (?:shows?|illustrates?|depicts?|represents?|gives?)\b"
    r"|\bpictured (?:below|above|here|at|to)\b"
    r"|\bto the (?:right|left) (?:is|are) shown\b|\bshown (?:at|to|on) (?:the )?(?:right|left)\b",
    re.I,
)
_NUMBERED = re.compile(
    r"\b(?:Fig(?:ure)?s?\b\.?|FIG(?:URE)?\b\.?)\s*~?(?:\\ref\b|\(?[A-Z]{0,2}\d)|\bfig\.\s*\d|\bfigure \(?\d"
)
_OF_THE_STORY = re.compile(  # somebody draws or takes it; the text tells what is in it
    r"\b(?:an?|\d+|some|many|his|her|their|took|takes?|taken|taking|draws?|drew|drawn|drawing|paint\w*|of|each) "
    r"(?:\w+ )?"
    rf"{_THING}\b(?! (?:is|are|shown|below|above))",
    re.I,
)
_SHOWN_HERE = re.compile(
    r"\b(?:shown|drawn|depicted|illustrated|sketched|graphed|plotted) (?:\w+ )?(?:below|above|here)\b"
    r"|\b(?:in|see|to|from|use|using) the table (?:below|above)\b",
    re.I,
)
_CHINESE_TABLE = re.compile(r"[如见下上附]表(?:格|中|所示)?(?!示|明|达|面|演)")
_FOLLOWS = re.compile(  # what is "shown below" stands in the text after all
    r"\$\$|\\\[|\\begin\{|```|\|[^|\n]+\||:\s*\S|\n[^\n]*\S+[ \t]+\S+[^\n]*\n|\n\s*[-*•\d$\\]", re.S
)
_IN_CHINESE = re.compile(
    r"如(?:上|下|左|右)?图|图(?:示|中|所示|像如)|[见看上下左右附]图(?!形)|示意图|图\s*[(（]?\s*[0-9一二三四甲乙]"
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
_IMAGE_WHOLE = re.compile(r"!\[[^\]]*\]\([^)]*\)|<img\b[^>]*>|https?://\S+", re.I)
_LETTERS = re.compile(r"[^\W\d_]{2,}|[\u4e00-\u9fff]")
_FEW_WORDS = 12  # beside the images of a programming task, below which it is told by them
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
    return _is_pointed_at(text)


def only_figures(text: str) -> bool:
    """Whether hardly any words stand beside the images of a text."""
    return bool(_IMAGE.search(text)) and len(_LETTERS.findall(_IMAGE_WHOLE.sub(" ", text))) < _FEW_WORDS


def _is_pointed_at(text: str) -> bool:
    """Whether the words point at a figure, and no table or formula of the text is what they point at."""
    if not text.isascii() and _IN_CHINESE.search(text):
        return True
    if _NUMBERED.search(text):
        return True
    table = _CHINESE_TABLE.search(text)
    if table and not _FOLLOWS.search(text):
        return True
    if _TYPESET.search(text):
        return False
    if _SPOKEN_OF.search(text) and not _OF_THE_STORY.search(text):
        return True
    shown = _SHOWN_HERE.search(text)
    if shown is None:
        return False
    pointed_at = text[: shown.start()] if shown[0].lower().endswith("above") else text[shown.end() :]
    return not _FOLLOWS.search(pointed_at)


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
