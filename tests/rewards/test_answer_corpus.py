"""Answers as models write them (Chinese, sets, units), and answers that hang a comparison. Each ends in a verdict."""

import pytest

from ringlite_cli.problems import Problem
from ringlite_cli.rewards import Verifiers, VerifierSettings

SAME = {
    "full-width digits": ("42", "４２"),
    "full-width sign": ("-3.5", "－３．５"),
    "full-width brackets": ("(1, 2)", "（１，２）"),
    "full-width equals": ("3", "x＝3"),
    "Chinese full stop": ("7", "7。"),
    "Chinese comma": (r"\{1,2\}", r"\{2，1\}"),
    "Chinese measure word": ("12", r"12\text{个}"),
    "Chinese unit": ("5", r"5\text{ 厘米}"),
    "Chinese prefix": ("5", r"\text{答案是 }5"),
    "Chinese word": ("是", r"\text{是}"),
    "Chinese currency": ("30", r"30\text{元}"),
    "set in another order": (r"\{1,2,3\}", r"\{3,1,2\}"),
    "set of roots": (r"\{-\sqrt{2},\sqrt{2}\}", r"\{\sqrt{2},-\sqrt{2}\}"),
    "plus or minus": (r"\{-2,2\}", r"\pm 2"),
    "list of solutions": ("1,-2", "-2,1"),
    "interval": ("[0,1)", r"\left[0,1\right)"),
    "interval with infinity": (r"(-\infty,3]", r"\left(-\infty,3\right]"),
    "interval with fractions": (r"(\frac{1}{2},1)", "(0.5,1)"),
    "union": (r"(0,1)\cup(2,3)", r"\left(0,1\right)\cup\left(2,3\right)"),
    "membership": ("[0,1]", r"x\in[0,1]"),
    "matrix": (r"\begin{pmatrix}1&2\\3&4\end{pmatrix}", r"\begin{bmatrix}1&2\\3&4\end{bmatrix}"),
    "matrix with fractions": (r"\begin{pmatrix}\frac12\\1\end{pmatrix}", r"\begin{pmatrix}0.5\\1\end{pmatrix}"),
    "percent": (r"\frac{1}{4}", r"25\%"),
    "percent on both sides": (r"25\%", r"25 \%"),
    "percent left out": (r"25\%", "25"),
    "dollars": ("12.50", r"\$12.50"),
    "degrees": ("45", r"45^\circ"),
    "units of length": ("10", r"10\text{ cm}"),
    "square units": ("10", r"10\text{ cm}^2"),
    "scientific": ("1.5e3", r"1.5\times 10^{3}"),
    "scientific with cdot": ("0.0025", r"2.5\cdot 10^{-3}"),
    "thousands": ("1234567", "1,234,567"),
    "nested fraction": (r"\frac{1}{2}", r"\frac{\frac{1}{2}}{1}"),
    "equation": ("5", "x = 5"),
    "mixed number": (r"\frac{7}{2}", r"3\frac{1}{2}"),
    "text": (r"\text{Monday}", "Monday"),
    "multiple choice": ("B", r"\textbf{(B)}"),
    "set with words": (r"\{1, 2\}", r"\{1\} \cup \{2\}"),
    "set no backslash": ("{1,2,3}", r"\{1,2,3\}"),
    "empty set": (r"\emptyset", r"\varnothing"),
    "empty set braces": (r"\emptyset", r"\{\}"),
    "set with and": ("1 and 2", "1,2"),
    "x values or": ("2,3", r"x=2 \text{ or } x=3"),
    "set solution list": (r"\{2,3\}", "x=2, x=3"),
    "interval lbrack": ("[0,1)", r"\lbrack 0,1)"),
    "interval full width": ("[0,1)", "［0，1）"),
    "interval fullwidth2": ("(0,1]", "（0，1］"),
    "interval inequality": ("[0,1]", r"0\le x\le 1"),
    "open interval inequality": (r"(-\infty,3)", "x<3"),
    "infinity plus": (r"(0,\infty)", r"(0,+\infty)"),
    "union of three": (r"(-\infty,-1)\cup(0,1)\cup(2,\infty)", r"(0,1)\cup(-\infty,-1)\cup(2,+\infty)"),
    "column vector": (r"\begin{pmatrix}1\\2\end{pmatrix}", r"\begin{bmatrix}1\\2\end{bmatrix}"),
    "array matrix": (r"\begin{pmatrix}1&2\\3&4\end{pmatrix}", r"\left(\begin{array}{cc}1&2\\3&4\end{array}\right)"),
    "matrix trailing": (r"\begin{pmatrix}1&2\\3&4\end{pmatrix}", r"\begin{pmatrix}1 & 2 \\ 3 & 4 \\ \end{pmatrix}"),
    "fraction slash": (r"\frac{3}{4}", "3/4"),
    "fraction shorthand": (r"\frac{3}{4}", r"\frac34"),
    "negative fraction": (r"-\frac{3}{4}", r"\frac{-3}{4}"),
    "fraction decimal": (r"\frac{3}{4}", "0.75"),
    "unicode fraction": (r"\frac{1}{2}", "½"),
    "unicode mixed": (r"\frac{5}{2}", "2½"),
    "fraction unreduced": (r"\frac{1}{2}", r"\frac{2}{4}"),
    "percent word": (r"25\%", "25 percent"),
    "percent full width": (r"25\%", "25％"),
    "percent decimal": ("0.25", r"25\%"),
    "percent fractional": (r"12.5\%", r"12.5\%"),
    "unit kmh": ("60", r"60\text{ km/h}"),
    "unit mathrm": ("10", r"10\,\mathrm{m}"),
    "unit both": (r"10\text{ cm}", r"10\ \text{cm}"),
    "unit left out": (r"10\text{ cm}", "10"),
    "unit plain": ("10 cm", "10"),
    "unit plain2": ("10", "10 cm"),
    "unit sq": (r"24\text{ square units}", "24"),
    "dollars gold": (r"\$18", "18"),
    "dollars 2": ("18", r"18\text{ dollars}"),
    "euro": ("18", "€18"),
    "yuan": ("18", "18元"),
    "sci e upper": ("1500", "1.5E3"),
    "sci cdot": ("6.02e23", r"6.02\cdot10^{23}"),
    "sci unicode": ("1.5e3", "1.5×10³"),
    "sci neg": ("2.5e-3", r"2.5\times10^{-3}"),
    "sci star": ("2.5e-3", "2.5*10^-3"),
    "cn text": ("3", "答案是3"),
    "cn text 2": ("3", "答案：3"),
    "cn unit": ("3", "3千克"),
    "cn percent": (r"25\%", "百分之25"),
    "cn word quote": ("是", "“是”"),
    "cn word stop": ("是", "是。"),
    "cn same": ("甲", r"\text{甲}"),
    "cn x": ("3", "x等于3"),
    "fullwidth letters": ("ABC", "ＡＢＣ"),
    "fullwidth fraction": (r"\frac{1}{2}", "１／２"),
    "fullwidth neg": ("-12", "－１２"),
    "fullwidth dot": ("0.5", "０．５"),
    "gold int": (42, "42.0"),
    "gold float": (0.5, r"\frac12"),
    "gold float int": (42.0, "42"),
    "gold list": (["1/2", "0.6"], "0.6"),
    "gold list json": ('["1/2","0.6"]', r"\frac{1}{2}"),
    "gold list num": ([1, 2], "2"),
    "gold json num": ("[3]", "3"),
    "gold float third": (1 / 3, r"\frac{1}{3}"),
    "gold big": (10**20, "10^{20}"),
    "gold bool": (True, "True"),
    "gold nested list": ([["a"], "b"], "b"),
    "gold list interval text": ("[1, 2]", "[1,2]"),
    "gold neg float": (-1.5, r"-\frac{3}{2}"),
    "gold sci float": (1e-07, "10^{-7}"),
    "gold 1e20": (1e20, "10^{20}"),
    "set by its condition": (r"\{x \mid x>2\}", r"(2,\infty)"),
    "repeating decimal": (r"\frac{1}{3}", r"0.\overline{3}"),
    "repeating after other digits": (r"\frac{1}{6}", r"0.1\overline{6}"),
    "percent as text": (r"12.5\%", r"12.5\text{ percent}"),
    "degree sign": (r"45^{\circ}", "45°"),
    "power by stars": ("3e8", "3*10**8"),
    "Chinese unit after a spacing command": ("3", r"3\ \text{个}"),
    "Chinese and": ("1,2", "1和2"),
    "Chinese or": ("1,2", "2或1"),
    "a word's first letter": ("True", "true"),
    "infinity in words": (r"\infty", r"\text{infinity}"),
    "thousands by spaces": ("1234567", "1 234 567"),
    "base in braces": ("1010_2", "1010_{2}"),
}
DIFFERENT = {
    "another base": ("1010_2", "1010_3"),
    "two numbers are not one": ("12", "1 2"),
    "a mixed number is not its digits": ("31/2", "3 1/2"),
    "interval ends": ("[0,1)", "[0,1]"),
    "order of a pair": ("(1,2)", "(2,1)"),
    "set of fewer": (r"\{1,2,3\}", r"\{1,2\}"),
    "percent of another": (r"25\%", r"2.5\%"),
    "power of ten": ("1.5e3", r"1.5\times 10^{4}"),
    "matrix transposed": (r"\begin{pmatrix}1&2\\3&4\end{pmatrix}", r"\begin{pmatrix}1&3\\2&4\end{pmatrix}"),
    "Chinese word": ("是", "否"),
    "sign": ("5", "-5"),
    "everything": ("5", "1,2,3,4,5"),
    "interval open": ("(0,1)", "[0,1]"),
    "interval vs pair": ("(0,1)", "(0,2)"),
    "set superset": (r"\{1,2\}", r"\{1,2,3\}"),
    "set vs number": (r"\{1,2\}", "1"),
    "matrix entry": (r"\begin{pmatrix}1&2\\3&4\end{pmatrix}", r"\begin{pmatrix}1&2\\3&5\end{pmatrix}"),
    "matrix vs flat": (r"\begin{pmatrix}1&2\\3&4\end{pmatrix}", "1,2,3,4"),
    "fraction inverted": (r"\frac{3}{4}", r"\frac{4}{3}"),
    "fraction near": (r"\frac{1}{3}", "0.33"),
    "mixed vs product": (r"\frac{7}{2}", r"3\cdot\frac{1}{2}"),
    "percent x100": ("25", r"0.25\%"),
    "cn number": ("3", "答案是4"),
    "cn": ("甲", "乙"),
    "fullwidth": ("42", "４３"),
    "sci sign": ("2.5e-3", r"2.5\times10^{3}"),
    "gold list": (["1/2", "0.6"], "0.7"),
    "gold float": (0.5, "0.51"),
    "unit numbers": ("10", r"12\text{ cm}"),
    "gold list both": ([1, 2], "3"),
    "empty set": (r"\emptyset", "0"),
    "ineq": ("[0,1]", r"0\le x\le 2"),
    "union": (r"(0,1)\cup(2,3)", "(0,3)"),
    "unicode fraction": (r"\frac12", "¼"),
    "cm m": (r"10\text{ cm}", r"10\text{ m}"),
    "gold zero": (0, "1"),
    "neg": (-3, "3"),
    "unicode mixed": ("5/2", "3½"),
    "cn percent": (r"25\%", "百分之26"),
    "or": ("2,3", r"x=2 \text{ or } x=4"),
}
HANGS = {
    "power tower": "9^{9^{9^{9^{9}}}}",
    "huge power": "2^{10^{10}}",
    "huge power of a sum": "(x+1)^{100000}",
    "factorial": "(10^{10^{8}})!",
    "factorial of a factorial": "((20!)!)!",
    "nested radicals": r"\sqrt{2+" * 300 + "2" + "}" * 300,
    "nested fractions": r"\frac{1}{1+" * 1000 + "1" + "}" * 1000,
    "deep braces": "{" * 5000 + "1" + "}" * 5000,
    "unbalanced inside": r"\left(\left(\left(" * 500,
    "deep parentheses": "(" * 2000 + "1" + ")" * 2000,
    "many terms": "+".join(f"x_{{{i}}}" for i in range(5000)),
    "long number": "7" * 200_000,
    "huge binomial": r"\binom{10^{9}}{5\cdot 10^{8}}",
    "sum to infinity": r"\sum_{n=1}^{\infty}\frac{\sin(n^n)}{n!}",
    "integral": r"\int_0^{\infty} e^{-x^x}\sin(x^3)\,dx",
    "huge matrix": r"\begin{pmatrix}" + r"\\".join("&".join("12345" for _ in range(60)) for _ in range(60))
    + r"\end{pmatrix}",
    "many equals": "=".join(["x"] * 3000),
    "NUL and a surrogate": "\x00\ud800^2",
    "a megabyte": "x+" * 500_000 + "1",
}  # fmt: skip


@pytest.fixture(scope="module")
def verify():
    with Verifiers(VerifierSettings(workers=2, math_timeout=20.0)) as opened:  # the machine may be busy
        yield opened


def pairs(table):
    return [(Problem(name, "math", "?", answer=gold), f"so \\boxed{{{said}}}") for name, (gold, said) in table.items()]


@pytest.mark.slow
def test_the_same_answer_written_differently(verify):
    verdicts = verify(pairs(SAME))
    assert {n: v for n, v in zip(SAME, verdicts, strict=True) if v.verdict != "correct"} == {}


def test_another_answer_is_wrong(verify):
    verdicts = verify(pairs(DIFFERENT))
    assert {n: v for n, v in zip(DIFFERENT, verdicts, strict=True) if v.verdict != "wrong"} == {}


@pytest.mark.slow
def test_no_answer_hangs_the_pool():
    with Verifiers(VerifierSettings(workers=2, math_timeout=1.0)) as verify:
        verdicts = verify(pairs({name: (r"\sqrt{5}+1", said) for name, said in HANGS.items()}))
        odd = {n: v for n, v in zip(HANGS, verdicts, strict=True) if v.verdict not in ("wrong", "unparsed", "timeout")}
        assert odd == {}
        after = verify(pairs({f"after {n}": (r"\sqrt{5}+1", rf"{n}-{n - 1}+5^{{1/2}}") for n in range(3, 9)}))
    assert "correct" in {v.verdict for v in after}  # on a busy machine one may be late


@pytest.mark.slow
def test_unbalanced_and_hostile_responses_have_a_verdict(verify):
    responses = [
        "\\boxed{" * 10_000,
        "\\boxed{1" + "}" * 10_000,
        "\\boxed{\\frac{1}{",
        "}" * 100_000,
        "\\boxed\\boxed{}",
    ]
    problem = Problem("p", "math", "?", answer="1")
    assert [v.verdict for v in verify([(problem, r) for r in responses])] == [
        "unparsed", "correct", "unparsed", "unparsed", "unparsed",
    ]  # fmt: skip
