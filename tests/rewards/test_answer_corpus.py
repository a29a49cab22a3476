"""Answers as models write them (Chinese, sets, units), and answers that hang a comparison. Each ends in a verdict."""

import time

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
}
DIFFERENT = {
    "interval ends": ("[0,1)", "[0,1]"),
    "order of a pair": ("(1,2)", "(2,1)"),
    "set of fewer": (r"\{1,2,3\}", r"\{1,2\}"),
    "percent of another": (r"25\%", r"2.5\%"),
    "power of ten": ("1.5e3", r"1.5\times 10^{4}"),
    "matrix transposed": (r"\begin{pmatrix}1&2\\3&4\end{pmatrix}", r"\begin{pmatrix}1&3\\2&4\end{pmatrix}"),
    "Chinese word": ("是", "否"),
    "sign": ("5", "-5"),
    "everything": ("5", "1,2,3,4,5"),
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
    with Verifiers(VerifierSettings(workers=2, math_timeout=1.0)) as opened:
        yield opened


def pairs(table):
    return [(Problem(name, "math", "?", answer=gold), f"so \\boxed{{{said}}}") for name, (gold, said) in table.items()]


def test_the_same_answer_written_differently(verify):
    verdicts = verify(pairs(SAME))
    assert {n: v for n, v in zip(SAME, verdicts, strict=True) if v.verdict != "correct"} == {}


def test_another_answer_is_wrong(verify):
    verdicts = verify(pairs(DIFFERENT))
    assert {n: v for n, v in zip(DIFFERENT, verdicts, strict=True) if v.verdict != "wrong"} == {}


@pytest.mark.slow
def test_no_answer_hangs_the_pool(verify):
    started = time.monotonic()
    verdicts = verify(pairs({name: (r"\sqrt{5}+1", said) for name, said in HANGS.items()}))
    odd = {n: v for n, v in zip(HANGS, verdicts, strict=True) if v.verdict not in ("wrong", "unparsed", "timeout")}
    assert odd == {}
    assert time.monotonic() - started < 60
    assert verify(pairs({"after": (r"\sqrt{5}+1", r"1+5^{1/2}")}))[0].verdict == "correct"


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
