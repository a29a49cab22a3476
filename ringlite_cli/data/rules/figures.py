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
    *(
        "attach",
        "scatter",
        "number line",
    ),
    *("shaded", "the table"),
    *("below", "above", "chart", "sketch", "drawing", "illustrat", "depict", " plot", "histogram"),
    *("![", "<img", ".png", ".jp", ".g", ".s", "图", "表"),
)
_IMAGE = re.compile(
    r"!\[[^\]]*\]\(|<(?:img|image|picture)\b|<(?:image|figure)_?\d*>|\[\s*(?:image|picture|figure|diagram|img)\b[^\]\n]{0,40}\](?!\()"
    r"|\[图片?\d*\]|【图片?\d*】|\\includegraphics|\\begin\{tikzpicture\}|\.(?:png|jpe?g|gif|svg)\b",
    re.I,
)
_PLOTTED = (
    r"(?:bar|pie|line|circle|column|scatter|box|dot|tree|Venn|flow)[- ](?:and[- ]whisker[- ])?"
    r"(?:chart|graph|plot|diagram)"
)
_THING = rf"(?:figure|picture|diagram|image|illustration|drawing|sketch|{_PLOTTED}|chart|histogram|pictogram)s?"
_MAKES_ANOTHER = (
    r"(?:frame|book|shop|store|studio|gallery|album|card|hook|room|class|lesson|paper|skater|window|file|sensor)"
)
_DRAWN = rf"(?:{_THING}|(?:graph|map|plot|curve|circuit|network|ladder|number line)s?)"
_SHAPE = (
    r"(?:polygon|triangle|rectangle|square|quadrilateral|circle|angle|shape|solid|prism|cylinder|cone|cube|grid|region|net"
    r"|trapezoid|trapezium|parallelogram|rhombus|pentagon|hexagon|octagon|spinner|pattern|tower|path|board"
    r"|number line|line)s?"
)
_SPOKEN_OF = re.compile(
    r"\b(?:in|from|by|on|see|per|using|consider|study|use|(?:according|refer|referring) to|based on|look at)"
    rf" (?:the|this|these) (?:\w+ )?{_THING}(?! of)\b(?! (?:\w+(?:tion|ment|ing)|{_MAKES_ANOTHER})s?\b)"
    r"|\b(?:in|from|see|per) (?:figure|diagram)s?\b(?! of)"
    r"|\b(?:shown|look\w*|given|depicted|pictured|seen|indicated|marked|labell?ed) (?:\w+ )?(?:in|at|on|by) (?:the )?"
    rf"(?:(?!an?\b)\w+ )?{_DRAWN}\b"
    rf"|\b{_DRAWN} (?:(?:is|are|that is) )?(?:(?:shown|given|drawn) )?(?:below|above|here)\b"
    rf"|\b{_THING} (?:is |are )?shown\b|\bgraph (?:is |are )?shown\b"
    r"|\bgraphs? of [^.?!]{1,60}? (?:is|are) shown\b(?! (?:to|that)\b)"
    rf"|\b(?:following|accompanying|adjoining|adjacent|attached|nearby) {_THING}\b"
    rf"|\bthe {_THING} (?:shows?|illustrates?|depicts?|represents?|gives?)\b"
    rf"|\b(?:the|this|each|that) {_THING} (?:on|at|to) (?:the|its|your) (?:right|left|top|bottom)\b"
    rf"|\b(?:the|this) (?:\w+ )?{_SHAPE} shown\b(?=\s*(?:[.,;?]|is\b|are\b|has\b|have\b|consists\b))"
    r"|\bof the (?:figure|diagram|drawing|shape|picture|grid) (?:is|are)"
    r" (?:un)?(?:shaded|colou?red|black|gr[ae]y|white)\b"
    r"|\b(?:use|using) the (?:graph|map|plot)(?! of)\b"
    r"|\bpictured (?:below|above|here|at|to)\b|\b(?:the|this) pictured\b|\bsee (?:the )?attach\w+"
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
    r"\b(?:shown|drawn|depicted|illustrated|sketched|graphed|plotted|displayed|presented)"
    r" (?:\w+ )?(?:below|above|here)\b"
    r"|\bthe (?:\w+ )?table (?:shown )?(?:below|above)\b",
    re.I,
)
_USES_TABLE = re.compile(
    r"\b(?:use|using|from|complete|consult|(?:according|refer|referring) to|based on|look at)"
    r" (?:the|this) (?:\w+ )?table\b(?! of)",
    re.I,
)
_CELLS = 5  # numbers from which a text may hold a table on one line
_THE_SHADED = re.compile(
    r"\bthe (?:\w+ )?(?:un)?shaded (?:region|area|part|portion|sector|segment|figure|shape|section)s?\b", re.I
)
_TELLS_SHADED = re.compile(
    r"(?<!the )(?<!of )\b(?:un)?shaded\b(?! region| area| part| portion)"
    r"|\b(?:are|is|an?|and|two|each|then) (?:un)?shaded\b|\bshad(?:e|es|ing)\b"
    r"|\b(?:between|inside|outside|bounded|enclosed|within|overlap\w*|remain\w*|cut|common|inscribed|circumscribed)\b",
    re.I,
)
_IN_WORDS = re.compile(  # what is "shown above" and stands in the text itself
    r"\S.{10,}\b(?:reaction|equation|expression|formula|inequality|system|function|matrix|passage|sequence|text|data"
    r"|code)s?\s+\Z",
    re.S | re.I,
)
_CHINESE_TABLE = re.compile(r"[如见下上附]表(?:格|中|所示)?(?!示|明|达|面|演)")
_FOLLOWS = re.compile(  # what is "shown below" stands in the text after all
    r"\$\$|\\\[|\\begin\{|```|\|[^|\n]+\||:\s*\S|\n[^\n]*\S+[ \t]+\S+[^\n]*\n|\n\s*[-*•\d$\\]", re.S
)
_IN_CHINESE = re.compile(
    r"如(?:上|下|左|右)?图|(?<![构地企意版拼绘截])图(?:中|所示)|图(?:示(?!意)|像如)(?=[^。]{0,30}[?？]|.{0,12}，)"
    r"|[见上下左右]图(?!形|书|像)|看图(?!书)|附图(?!说明)|[如见下上此该右左]示意图|图[^\S\n]*[(（]?[^\S\n]*[0-9一二三四甲乙]"
    r"|题图|[由据从依看]图[象像]?(?:可[知见得以看]|[知得])|从图中|图如下"
    r"|(?:根据|从|由|观察|看|在|按照|结合|阅读|执行|运行)[^。，,]{0,6}(?:统计|折线|条形|扇形|柱状|直方|流程|树状|结构|电路|程序框|框)图"
)
_TYPESET = re.compile(
    r"\+-{2,}[-+]*\+|\n[ \t]*\|[^\n]+\|[ \t]*\n[ \t]*\|[ :|-]+\||\\begin\{(?:array|tabular|[pbv]?matrix)\}"
)  # a table or triangle of numbers is in the text
_DRAWING = re.compile(r"\[asy\].*?(?:\[/asy\]|\Z)|\\begin\{asy\}.*?(?:\\end\{asy\}|\Z)", re.S | re.I)
_APPENDED = re.compile(  # what an archive puts below a statement that needs it not
    r"\n\W*Diagrams?\W*\n\s*(?:(?:\[asy\].*?\[/asy\])\s*)+(?:[~_(][^\n]{0,80}\s*)*\Z", re.S | re.I
)
_IN_BRACKETS = re.compile(
    r"\((?:see|illustrated in|as in|shown in) (?:the )?(?:\w+ )?(?:figure|diagram)(?: (?:below|above))?\.?\)", re.I
)
_OWN_STATEMENT = 150  # characters of a statement that refers to its figure in brackets alone
_STRAY = re.compile(r"\[/?asy\]|\\(?:begin|end)\{asy\}", re.I)
_REFERS = re.compile(
    r"\b(?:figures?|diagrams?|pictures?|pictured|images?|drawings?(?! \w+ \$)|sketch|graphs?|graphed|maps?"
    r"|charts?|grids?|tables?|plots?|spinners?|shown?|shows|drawn (?:below|above|here)|depicted"
    r"|illustrated|indicated|displayed|marked|labell?ed|(?:un)?shaded"
    r"|gr[ae]y|white|black|colou?red|dotted|dashed|number line|to the (?:right|left))\b",
    re.I,
)
_MAY_REFER = re.compile(r"\b(?:below|above|following|this|these|seen)\b", re.I)
"""Words that point at a drawing which says nothing: one whose points are all named in the text illustrates it."""
_NAMED_POINTS = 3
_IN_PASSING = re.compile(  # points at a drawing, but at nothing in it
    r"\bas (?:shown|pictured|illustrated|drawn|depicted)"
    r"(?: (?:here|below|above|in the (?:\w+ )?(?:figure|diagram|picture)))*"
    r"|\((?:see|illustrated in|as in|shown in) (?:the )?(?:\w+ )?(?:figure|diagram)[^)\n]{0,20}\)"
    r"|^\W*(?:diagrams?|figures?)\W*$|\bdiagram by [^\n]*|\(not (?:drawn )?to scale\)",
    re.I | re.M,
)
_LINE_STYLE = re.compile(r'linetype\(\s*"[^"]*"|/\*.*?\*/|//[^\n]*', re.S)
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
    text = _APPENDED.sub(" ", text)
    if len(text) > _OWN_STATEMENT:
        text = _IN_BRACKETS.sub(" ", text)
    drawings = _DRAWING.findall(text)
    words = _DRAWING.sub(" ", text)
    if drawings or _STRAY.search(words):
        return not drawings or _STRAY.search(words) is not None or _tells_more(drawings, words)
    return _is_pointed_at(text)


def shows_image(text: str) -> bool:
    """Whether an image stands in the text."""
    return bool(_IMAGE.search(text))


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
    if _USES_TABLE.search(text) and not _FOLLOWS.search(text) and len(_NUMBER.findall(text)) < _CELLS:
        return True
    if _THE_SHADED.search(text) and not _TELLS_SHADED.search(text):
        return True
    shown = _SHOWN_HERE.search(text)
    if shown and _IN_WORDS.search(text[: shown.start()]):
        return False
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
    words = _IN_PASSING.sub(" ", words)
    if not said or _REFERS.search(words):
        return True
    labels = [label for drawing in drawings for label in _QUOTED.findall(_LINE_STYLE.sub(" ", drawing))]
    marks = {mark for label in labels for mark in _MARK.findall(label)}
    if len(marks) < _NAMED_POINTS and _MAY_REFER.search(words):
        return True
    return any(not _is_known(mark, said, words) for mark in marks)


def _is_known(mark: str, said: set[str], words: str) -> bool:
    """A number that the words have, the name of a point, or a word or sign that stands there; "III" is a place."""
    if mark[0].isdigit():
        return mark in said
    if len(mark) == 1 and mark.isupper():
        return True
    if mark.lstrip("\\") in _LOOK:
        return True
    return not mark.isupper() and re.search(rf"(?<![A-Za-z]){re.escape(mark)}(?![A-Za-z])", words) is not None
