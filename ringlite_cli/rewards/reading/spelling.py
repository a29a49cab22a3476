"""One spelling of an answer: Unicode mathematics, plain-text habits and markdown as LaTeX."""

import re
import unicodedata
from functools import lru_cache

from ringlite_cli.rewards.reading.habits import late_habits, plain_habits

MAX_CHARACTERS = 4_000
_SIGNS = str.maketrans(
    {
        "−": "-", "–": "-", "—": "-", "×": r"\times ", "·": r"\cdot ", "⋅": r"\cdot ", "∙": r"\cdot ", "÷": "/",
        "⁄": "/",
        "∕": "/", "π": r"\pi ", "∞": r"\infty ", "∪": r"\cup ", "∩": r"\cap ", "∈": r"\in ", "∉": r"\notin ",
        "≤": r"\le ", "≦": r"\le ", "⩽": r"\le ", "≥": r"\ge ", "≧": r"\ge ", "⩾": r"\ge ", "≠": r"\ne ", "±": r"\pm ",
        "∓": r"\mp ", "→": r"\to ", "⟶": r"\to ", "⇒": r"\Rightarrow ", "↔": r"\leftrightarrow ", "≈": r"\approx ",
        "∼": r"\approx ", "≡": r"\equiv ", "∅": r"\emptyset ", "⌀": r"\emptyset ", "ℝ": r"\mathbb{R}",
        "ℤ": r"\mathbb{Z}",
        "ℕ": r"\mathbb{N}", "ℚ": r"\mathbb{Q}", "ℂ": r"\mathbb{C}", "°": r"^{\circ}", "′": "'", "’": "'", "″": "''",
        "…": r"\ldots ", "⋯": r"\ldots ", "，": ",", "、": ",", "。": ".", "；": ";", "：": ":", "（": "(", "）": ")",
        "【": "[", "】": "]", "［": "[", "］": "]", "｛": r"\{", "｝": r"\}", "⟨": r"\langle ", "⟩": r"\rangle ",
        "∠": r"\angle ",
        "∀": r"\forall ", "∃": r"\exists ", "¬": r"\neg ", "∧": r"\land ", "∨": r"\lor ", "∖": r"\setminus ",
        "“": '"', "”": '"', "「": '"', "」": '"', "％": r"\%", "∛": r"\cbrt ", "√": r"\surd ", "ℏ": r"\hbar ",
        "Å": r"\AA ",
        "⊥": r"\perp ", "∥": r"\parallel ", "\u00a0": " ", "\u2009": " ", "\u202f": " ", "\u200b": "", "‘": "'",
    }
)  # fmt: skip
_GREEK = {chr(code): unicodedata.name(chr(code), "").split()[-1].lower() for code in range(0x3B1, 0x3CA)}
_RAISED = re.compile("[⁰¹²³⁴-⁹⁺⁻ⁿⁱ]+")
_LOWERED = re.compile("[₀-₉]+")
_VULGAR = re.compile("[¼-¾⅐-⅞]")
_SUP = re.compile(r"<sup>([^<>]{1,80})</sup>")
_SUB = re.compile(r"<sub>([^<>]{1,80})</sub>")
_BOLD = re.compile(r"\*\*([^*\s](?:[^*]{0,300}[^*\s])?)\*\*(?![\w(])")
_CURRENCY = re.compile(r"[€£¥￥₹]\s*(?=[-+.\d])|(?<=\d)\s*[€£¥￥₹]")
_DELIMITERS = re.compile(r"\\[\[\]()]|\$")
_SPACES = r"(?:\\[,!;: ]|~|\\quad|\{,\}|,\\!)"
_THOUSANDS = re.compile(rf"(?<![\d.])\d{{1,3}}(?:(?:,|{_SPACES}\s?)\d{{3}})+(?![\d]|,\d)")
_GROUPS = re.compile(r"(?<![\d.] )(?<![\d.])\d{1,3}(?: \d{3})+(?! ?\d)")
_JOINERS = re.compile(r"[^\d]+")
_ORDINAL = re.compile(
    r"(\d)\s*(?:\^\s*\{?\s*)?(?:\\(?:text|mathrm|textrm)\s*\{\s*)?(?:st|nd|rd|th)(?![A-Za-z])\s*\}?\s*\}?"
)
_REPEATING = re.compile(r"(?<![\d.])(\d*)\.(\d*)\\(?:overline|bar|dot)\s*\{(\d+)\}(?!\d)")
_HAN = "\u3400-\u4dbf\u4e00-\u9fff"
_EQUALS = re.compile(rf"(?<=[A-Za-z0-9)}}])\s*(?:等于|为|是)\s*(?=[^\s{_HAN}])")
_AND = re.compile(rf"(?<=[^\s{_HAN}])\s*[和或与及]\s*(?=[^\s{_HAN}])")
_PRIMES = re.compile(r"\^\s*(?:\{\s*(?:\\prime\s*){1,4}\}|\\prime)")
_HUNDREDTHS = re.compile(r"百分之\s*(\d+(?:\.\d+)?)")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]")


@lru_cache(maxsize=256)
def spell(text: str) -> str:
    """Return the answer in one spelling, without math delimiters, markdown and thousands separators."""
    text = plain_habits(_CONTROL.sub(" ", text.strip()))
    text = _VULGAR.sub(lambda m: _fraction(m[0]), text)
    text = _RAISED.sub(lambda m: "^{" + unicodedata.normalize("NFKC", m[0]).replace("−", "-") + "}", text)
    text = _LOWERED.sub(lambda m: "_{" + unicodedata.normalize("NFKC", m[0]) + "}", text)
    text = unicodedata.normalize("NFKC", text.translate(_SIGNS)).translate(_SIGNS)
    text = "".join(f"\\{_GREEK[c]} " if c in _GREEK else c for c in text)
    text = _SUB.sub(r"_{\1}", _SUP.sub(r"^{\1}", text))
    text = _BOLD.sub(r"\1", text)
    text = _CURRENCY.sub("", text)
    text = re.sub(r"(?:\\text\s*\{\s*)?\\\$(?:\s*\})?", " ", text)  # a dollar sign is money: the number counts
    text = _DELIMITERS.sub(lambda m: " " if m[0] in ("$", r"\(", r"\)", r"\[", r"\]") else m[0], _breaks(text))
    text = (
        text.replace("**", "^").replace("\\dfrac", "\\frac").replace("\\tfrac", "\\frac").replace("\\cfrac", "\\frac")
    )
    text = _HUNDREDTHS.sub(r"\1\\%", _AND.sub(",", _EQUALS.sub("=", text)))
    text = _PRIMES.sub(lambda m: "'" * m[0].count("prime"), text)
    text = late_habits(text)
    text = _REPEATING.sub(_repeating, text)
    text = _THOUSANDS.sub(lambda m: _JOINERS.sub("", m[0]), text)
    text = _GROUPS.sub(lambda m: m[0].replace(" ", ""), text)
    text = _ORDINAL.sub(r"\1", text).strip()
    while text and text[-1] in ".;," and not text.endswith(("..", "\\,", "\\;")):
        text = text[:-1].rstrip()
    return text


def _breaks(text: str) -> str:
    r"""Keep `\\[2pt]`, the line break of a matrix, from being taken for the start of a formula."""
    return re.sub(r"\\\\(?:\s*\[[^\[\]]{0,12}\])?", r"\\cr ", text)


def _fraction(sign: str) -> str:
    top, bottom = unicodedata.normalize("NFKC", sign).split("⁄")
    return rf"\frac{{{top}}}{{{bottom}}}"


def _repeating(match: re.Match[str]) -> str:
    whole, fixed, period = match.groups()
    if len(fixed) + len(period) > 30:
        return match[0]
    top = int((whole + fixed + period) or "0") - int((whole + fixed) or "0")
    return rf"{{\frac{{{top}}}{{{10 ** len(fixed) * (10 ** len(period) - 1)}}}}}"
