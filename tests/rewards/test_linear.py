"""What is read out of model text on the host takes time in line with the text, whatever a policy writes."""

from collections.abc import Callable

import pytest
from long_texts import is_quick, repeated

from ringlite_cli.data.verification import foreign_imports
from ringlite_cli.evals.metrics import final_answer
from ringlite_cli.rewards.extract import last_code_block
from ringlite_cli.rewards.judge import read_grade
from ringlite_cli.rewards.logic import verify_logic

READERS: dict[str, Callable[[str], object]] = {
    "code block": last_code_block,
    "vote": final_answer,
    "grade": read_grade,
    "logic": lambda text: verify_logic("5", f"\\boxed{{{text}}}"),
    "imports": foreign_imports,
}
UNITS = [
    "```a", "```a`", "``` ", "```\n", "~~~a`\n", "`", "~", "\\boxed{", "\\boxed{a", "\\boxed{}", "{", "}", "\\text{",
    "\\text ", "\\(", "\\[", "<answer>", " ", "\n", "a", "\\", "$", "[", '{"grade": ', "<grade>1",
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", READERS)
def test_time_grows_with_the_text_and_not_with_its_square(name):
    frames = (("", ""), ("```", "`"), ("```python\n", ""))
    texts = ((unit, before, after) for unit in UNITS for before, after in frames)
    assert [case for case in texts if not is_quick(READERS[name], case[1] + repeated(case[0]) + case[2])] == []


@pytest.mark.parametrize(
    ("response", "code"),
    [
        ("```python\ns = 'a\x0cb'\n```", "s = 'a\x0cb'\n"),  # a form feed ends no line
        ("```python\r\nprint(1)\r\n```\r\n", "print(1)\n"),
        ("```python\nprint('\u2028')\n```", "print('\u2028')\n"),
    ],
)
def test_a_program_is_taken_as_it_stands(response, code):
    assert last_code_block(response).code == code
