"""Answers are read whole, or compared as text: kinds that were paid wrongly, kinds that were refused, and limits."""

import json
import sys
from pathlib import Path

import pytest
from long_texts import cpu_limit, is_quick, repeated

from ringlite_cli.boxes import final_boxed
from ringlite_cli.rewards.reading.spelling import spell
from ringlite_cli.rewards.reading.verdict import READ_AS_TEXT, compare, fault_of_gold, judge, text_key

SAME = {
    "union of rays": (r"(-\infty,-4)\cup(7,\infty)", "(-∞, -4) ∪ (7, +∞)"),
    "or of inequalities": (r"x<-4 \text{ or } x\ge 7", r"(-\infty,-4)\cup[7,\infty)"),
    "and of inequalities": (r"x>2 \text{ and } x\le 5", "(2,5]"),
    "chain": (r"-1\le t<6", "[-1,6)"),
    "set by condition": (r"\{y \mid 1<y\le 9\}", "(1,9]"),
    "all but two points": (r"x\ne\pm 3", r"\mathbb{R}\setminus\{-3,3\}"),
    "reversed brackets": (r"\left]1,4\right]", "(1,4]"),
    "the real line": (r"\mathbb{R}", "all real numbers"),
    "no solution": (r"\emptyset", r"\text{no real solutions}"),
    "labels in any order": ("a=4, b=9", "b = 9, a = 4"),
    "labels left out": ("16,5", "w=16, d=5"),
    "words as labels": ("2, 8", r"\text{Minimum: } 2, \text{Maximum: } 8"),
    "goods": ("12, 7", r"12\text{ apples and }7\text{ pears}"),
    "a unit in words": ("360", "360 bottles of milk"),
    "lead-in": ("19", r"\text{The answer is } 19"),
    "ordinal": ("23", r"23^{\text{rd}}"),
    "plus and minus written out": (r"\pm 2\sqrt{5}", r"2\sqrt5, -2\sqrt5"),
    "signs of a pair": (r"(\pm 1, \pm 2)", "(1,2),(1,-2),(-1,2),(-1,-2)"),
    "column and tuple": (r"\begin{pmatrix}4\\-1\\0\end{pmatrix}", "(4,-1,0)"),
    "unit vectors": (r"4\hat{i}-\hat{k}", "(4, 0, -1)"),
    "vector in angles": ("(7, 8)", r"\langle 7, 8\rangle"),
    "solved for y": ("3x+2y=8", r"y=4-\frac{3}{2}x"),
    "equation of a multiple": ("x^2+y^2=4", "2x^2+2y^2=8"),
    "function by another letter": ("f(x)=3x-1", "f(t)=3t-1"),
    "function and y": ("y=x^2", "f(x)=x^2"),
    "maximum with its name": (r"M_{\max}=n^2+3", "n^2+3"),
    "family by another letter": (r"x=\frac{\pi}{5}+k\pi", r"\frac{\pi}{5}+n\pi"),
    "bound by its words": ("(1+2x, 3-x)", r"(1+2t, 3-t) \text{ for some integer } t"),
    "mixed number": (r"\frac{23}{7}", "3 2/7"),
    "percent with decimals": ("17.50", r"17.5\%"),
    "thousands": ("23456789", r"23,\! 456,\! 789"),
    "money": ("1250.75", r"\$1,250.75"),
    "root by a name": (r"\sqrt{7}-2", "-2 + sqrt(7)"),
    "root by a sign": (r"5\sqrt{11}", "5√11"),
    "power by stars": ("3^{1/5}", "3**(1/5)"),
    "number of ways": (r"\binom{9}{4}", "C(9,4)"),
    "number of ways, another spelling": ("C_9^4", "126"),
    "many digits of a fraction": (r"\frac{5}{7}", "0.714285714"),
    "degrees and radians": (r"\frac{5\pi}{6}", r"150^\circ"),
    "complex": ("(2+i)^2", "3 + 4i"),
    "upright letters": (r"\mathrm{e}^{3}-\mathrm{i}", "e^3 - i"),
    "symbols are positive": (r"\sqrt{\frac{a}{b}}", r"\frac{\sqrt a}{\sqrt b}"),
    "an identity": (r"\sin^2 x", r"\frac{1-\cos 2x}{2}"),
    "a short fraction": (r"\frac{2+y}z", r"\frac{y+2}{z}"),
    "bold": ("58", "**58**"),
    "a choice with its text": ("C", r"\textbf{(C)}\ 30"),
    "a remark in brackets": ("True", "True (by symmetry)"),
    "a ratio": ("2:5", "6:15"),
    "dots": (r"1, 4, \ldots, n^2", r"1, 4, 9, \ldots, n^2"),
    "digits in a base": ("2011_3", "2011"),
    "Chinese and": ("4,9", "4和9"),
    "time of day": (r"\text{7:45 a.m.}", "7:45 AM"),
    "cents of a dollar": ("85 cents", r"\$0.85"),
    "a dollar in cents": (r"\$1.25", r"125\text{ cents}"),
    "pounds by their sign": ("£12", "12 pounds"),
    "degrees in radians by name": (r"135^\circ", r"\frac{3\pi}{4}\text{ rad}"),
    "a percent and its share": (r"0.4\%", "0.004"),
}
DIFFERENT = {
    "one end of a union": (r"(-\infty,-4)\cup(7,\infty)", "7"),
    "a number out of a list": ("6", r"6 + \sqrt{2}, 6 - \sqrt{2}"),
    "a number out of a sentence": ("7", "The value cannot be found without the root of 7."),
    "a number out of dots": ("40", "10, 20, 30, 40, ..."),
    "what stands before a word": (r"5 \text{ if } n \text{ is odd, } 8 \text{ otherwise}", "5"),
    "one of two speeds": (r"45\,\mathrm{mph}, 60\,\mathrm{mph}", r"45\,\mathrm{mph}, 61\,\mathrm{mph}"),
    "a term with unit vectors": (r"3\mathbf{i}+4\mathbf{j}", r"3\mathbf{i}"),
    "Euler's number": (r"5\mathrm{e}", "5"),
    "the imaginary part": (r"2+7\mathrm{i}", "2+7"),
    "the last symbol": (r"\frac{4}{3}\pi r^3 s", r"\frac{4}{3}\pi r^3"),
    "a symbol for another": ("7k", "7p"),
    "metres as a symbol": ("9m", "9"),
    "tiny numbers": ("4.71e-21", "4.71e-22"),
    "tiny powers": (r"\left(\frac{1}{5}\right)^{70}", r"\left(\frac{1}{7}\right)^{70}"),
    "a hair below one": (r"1-\frac{37}{2^{120}}", r"1-\frac{37}{2^{121}}"),
    "large factorials": (r"\frac{1}{2019!}", r"\frac{1}{2018!}"),
    "no real roots": ("x^2+3x+40=0", "x^2-3x+40=0"),
    "true statements": (r"\log_3 81=4", r"\log_2 16=4"),
    "a prime": ("B'", "B"),
    "a derivative": ("y''-4y=0", "y-4y=0"),
    "minutes of arc": ("35'", "35"),
    "multiplicity": ("3,3,8", "3,8"),
    "a congruence": (r"n\equiv 5 \pmod{11}", r"n\equiv 6 \pmod{11}"),
    "another name": ("x=9", "y=9"),
    "a bound": ("> 12", "12"),
    "an open end": ("(3,8]", "(3,8)"),
    "a list for a set of one": (r"\{5\}", "5, 6"),
    "dots of another row": (r"1, 2, \ldots, n", r"1, 3, \ldots, n"),
    "a modulus": ("|x|", "x"),
    "another base": ("2011_3", "2011_4"),
    "digits apart": ("45", "4 5"),
    "a choice": ("C", r"\textbf{(D)}\ 30"),
    "cents of a large sum": ("1250000.75", "1250000.76"),
    "cents for dollars": ("85 cents", r"\$85"),
    "dollars for cents": (r"\$6", "6 cents"),
    "another currency": ("€30", r"\$30"),
    "pounds for euros": ("£8", "€8"),
    "radians for degrees": (r"60^\circ", r"60\text{ radians}"),
    "a time of day for a ratio": ("8:20", "2:5"),
    "a full hour for a ratio": ("11:00", "1:0"),
    "a percent without its sign, below one": (r"0.4\%", "0.4"),
    "a genotype": ("AaBb", "AABB"),
    "a genotype that starts large": ("Aabb", "aabb"),
    "goods in another number": (r"15 \text{ hens and } 9 \text{ cows}", r"15 \text{ hens and } 8 \text{ cows}"),
}


@pytest.mark.parametrize("name", SAME)
def test_the_same_answer(name: str) -> None:
    gold, answer = SAME[name]
    assert judge([gold], answer)[0] == "correct"
    assert judge([gold], gold)[0] == "correct"


@pytest.mark.parametrize("name", DIFFERENT)
def test_another_answer(name: str) -> None:
    gold, answer = DIFFERENT[name]
    assert judge([gold], answer)[0] == "wrong"
    assert judge([gold], gold)[0] == "correct"


def test_what_is_not_read_whole_is_compared_as_text_and_says_so() -> None:
    assert compare(r"\int_0^1 x\,dx", r"\int_0^1 x dx") == (True, READ_AS_TEXT)
    assert judge([r"\int_0^1 x\,dx"], r"\frac12") == (
        "wrong",
        rf"{READ_AS_TEXT}; expected \int_0^1 x\,dx, got \frac12",
    )
    assert fault_of_gold(r"\int_0^1 x\,dx")
    assert fault_of_gold(r"\frac{3}{4}") == ""


@pytest.mark.parametrize(
    ("response", "answer"),
    [
        (r"\boxed{(1,2)} \quad\text{and}\quad \boxed{(5,6)}", "(1,2), (5,6)"),
        (r"\boxed{1}, \boxed{2}", "1, 2"),
        (r"so \(a = \boxed{3}\) and \(b = \boxed{4}\).", "3, 4"),
        (r"First \boxed{3}. Then the answer is \boxed{4}.", "4"),
        (r"\boxed{7} and thus \boxed{7}", "7"),
        ("We found \\boxed{1}\n\nand now \\boxed{2}", "2"),
        (r"\boxed{3} which is wrong as it stands, so \boxed{4}", "4"),
    ],
)
def test_the_boxes_of_the_final_sentence_are_the_answer(response: str, answer: str) -> None:
    assert final_boxed(response) == answer


def test_decimals_have_the_slack_of_the_gold_answer() -> None:
    assert judge(["0.4286"], "0.42857142")[0] == "wrong"  # three digits are shown, so 0.43 would do as little
    assert judge([r"\frac37"], "0.428571")[0] == "correct"
    assert judge([r"\frac37"], "0.4286")[0] == "wrong"
    assert judge(["2.6458"], r"\sqrt7")[0] == "correct"
    assert judge(["1234567.8"], "1234567.9")[0] == "wrong"
    assert judge([r"\frac13"], "0.33", 0.01)[0] == "correct"
    assert judge(["1.05e-34"], r"\frac{6.6e-34}{2\pi}", 0.01)[0] == "correct"
    assert judge(["1.05e-34"], r"\frac{6.6e-30}{2\pi}", 0.01)[0] == "wrong"


HOSTILE = ["(" * 20_000, "9^{" * 3_000, "1," * 30_000, r"\frac" * 9_000, r"\sqrt{" * 2_000, "x+" * 30_000, "9" * 90_000,
           r"\begin{pmatrix}" * 2_000, "|" * 9_000, "1.2.3." * 9_000, "((20!)!)!", "9^{9^{9^{9}}}",
           r"\pm" * 9_000]  # fmt: skip


@pytest.mark.parametrize("answer", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_text_has_a_verdict_soon(answer: str) -> None:
    with cpu_limit():
        assert judge([r"\sqrt{5}"], answer)[0] == "wrong"


PATTERN_FOOD = (
    "1 ",
    "1,",
    "\\text{",
    "{\\prime",
    "**a",
    "<sup>",
    "0.\\bar{",
    "\\,1",
    "1e",
    "$",
    "百分之1",
    "st",
    "\\boxed{1} ",
    "`" * 3,
)


@pytest.mark.slow
@pytest.mark.parametrize("piece", PATTERN_FOOD)
def test_patterns_are_linear_in_the_text(piece: str) -> None:
    """A second or so for each function; where a pattern is quadratic, minutes."""
    text = repeated(piece, 1_000_000)
    assert [function.__name__ for function in (spell, text_key, final_boxed) if not is_quick(function, text)] == []


def test_mutated_golds_are_not_paid(real_data: Path) -> None:
    sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
    try:
        from mutated_golds import pairs
    finally:
        sys.path.pop(0)
    made = pairs(400, 3, real_data)
    assert len(made) == 400
    assert [(gold, answer) for _, gold, answer in made if judge([gold], answer)[0] == "correct"] == []


@pytest.mark.slow
def test_golds_are_read_whole_and_are_themselves(real_data: Path) -> None:
    rows = json.loads((real_data / "train" / "math.json").read_text())[:1500]
    golds = [row["answer"] for row in rows if (row["answer"] or "").strip()]
    unread = [gold for gold in golds if fault_of_gold(gold)]
    assert len(unread) < 0.005 * len(golds), unread
    assert [gold for gold in golds if judge([gold], gold)[0] != "correct"] == []
