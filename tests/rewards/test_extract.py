"""Which part of a response is the answer."""

import pytest

from ringlite_cli.boxes import last_box, last_boxed
from ringlite_cli.rewards.extract import last_code_block


@pytest.mark.parametrize(
    ("response", "answer"),
    [
        (r"so \boxed{5}", "5"),
        (r"\boxed{1} then \boxed{2}", "2"),
        (r"\boxed{\frac{1}{\sqrt{2}}} end", r"\frac{1}{\sqrt{2}}"),
        (r"\boxed{\{1, 2\}}", r"\{1, 2\}"),
        (r"\boxed {7}", "7"),
        (r"\boxed 7 is it", "7"),
        (r"\fbox{7}", "7"),
        (r"\boxed{5} and \boxed{6", "5"),
        (r"\boxed{", None),
        (r"\boxed{\left\{1\right\}", None),
        ("the answer is 5", None),
        ("", None),
        (r"\boxed{}", ""),
        ("\\boxed{" * 1000 + "3}", "3"),
        ("x" * 1_000_000 + r"\boxed{3}", "3"),
    ],
)
def test_last_boxed(response, answer):
    assert last_boxed(response) == answer


@pytest.mark.parametrize(
    ("response", "language", "code", "blocks"),
    [
        ("```python\nx = 1\n```", "python", "x = 1\n", 1),
        ("```\nx\n```\ntext\n```py\ny\n```\n", "py", "y\n", 2),
        ("```python\nx\n```\n```python\ny", "python", "x\n", 1),
        ("````md\n```python\nx\n```\n````", "md", "```python\nx\n```\n", 1),
        ("~~~\nx\n~~~", "", "x\n", 1),
        ("  ```python\n  x\n  ```", "python", "  x\n", 1),
        ("```python\r\nx\r\n```", "python", "x\n", 1),
    ],
)
def test_last_code_block(response, language, code, blocks):
    found = last_code_block(response)
    assert (found.language, found.code, found.blocks) == (language, code, blocks)


@pytest.mark.parametrize("response", ["", "x = 1", "```python\nx = 1", "use `x` here"])
def test_no_code_block(response):
    assert last_code_block(response) is None


@pytest.mark.parametrize(
    ("response", "box"),
    [
        (r"so \boxed{\frac{1}{2}}.", r"\boxed{\frac{1}{2}}"),
        (r"so \boxed 7 it is", r"\boxed 7"),
        (r"\fbox{5} and \boxed{6", r"\fbox{5}"),
        (r"\boxed{\{1, 2\}}", r"\boxed{\{1, 2\}}"),
        ("no box", None),
    ],
)
def test_the_box_as_it_is_written(response: str, box: str | None) -> None:
    assert last_box(response) == box
