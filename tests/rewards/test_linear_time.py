"""Reading a response is linear: twice the text takes about twice the time, whatever it is made of."""

import pytest
from long_texts import is_quick

from ringlite_cli.boxes import last_boxed
from ringlite_cli.rewards.extract import last_code_block
from ringlite_cli.rewards.gym import last_answer
from ringlite_cli.rewards.gym_answers import EVALUATING, fault_of
from ringlite_cli.sandbox.languages import java_class
from ringlite_cli.sandbox.sources import code_only, sources_of

N = 400_000
TEXTS = {
    "a fence and a backtick": "```" + "a" * N + "`",
    "tildes and a backtick": "~" * N + "`",
    "backticks and a word": "`" * N + "a`",
    "open boxes": "\\boxed{" * (N // 7),
    "boxes and spaces": ("\\boxed" + " " * 50) * (N // 56),
    "one box, open braces": "\\boxed" + "{" * N,
    "open answers": "<answer>" * (N // 8),
    "new lines": "x" + "\n" * N + "x",
    "spaces": "x" + " " * N + "x",
    "open comments": "/*" * (N // 2),
    "open strings": '"' + '\\"' * (N // 2),
    "apostrophes": "'" + "\\'" * (N // 2),
    "mains": "int main(" * (N // 9),
    "publics": "public " * (N // 7),
    "classes": "class x" * (N // 7),
    "hashes": "#" * N,
    "digits": "9" * N,
    "quotes in a list": "['" + "a" * N,
    "escapes": "\\" * N,
}
READERS = {
    "box": last_boxed,
    "block": last_code_block,
    "answer": last_answer,
    "form": lambda text: [form(text) for form in EVALUATING.values()],
    "fault": lambda text: [fault_of(task, text) for task in ("countdown", "n_queens", "maze")],
    "java": java_class,
    "code": code_only,
    "cpp": lambda text: sources_of("cpp", text, {"mode": "function", "entry_point": "f"}),
    "java calls": lambda text: sources_of("java", text, {"mode": "function", "entry_point": "f"}),
}


SLOW = ("cpp", "java calls", "java")


@pytest.mark.parametrize("reader", [pytest.param(r, marks=pytest.mark.slow) if r in SLOW else r for r in READERS])
def test_a_long_response_is_read_in_no_time(reader):
    assert [name for name, text in TEXTS.items() if not is_quick(READERS[reader], text)] == []


@pytest.mark.parametrize(
    ("text", "blank"),
    [('int a = 1; // "x', "int a = 1;"), ('f("a\\"b") + 1', "f(") , ("1'000'000 + x", "1"), ("c = '\\u0041';", "c ="),
     ("x /* open", "x"), ('s = "open\nint main() {}', "s =")],
)  # fmt: skip
def test_what_is_no_code_is_blank(text, blank):
    code = code_only(text)
    assert len(code) == len(text)
    assert code.startswith(blank)
    assert "open" not in code
    assert ("main" in code) == ("main" in text)


@pytest.mark.parametrize(
    ("text", "language"),
    [("```python\nx\n```", "python"), ("```  {.Python} title\nx\n```", "python"), ("~~~cpp\nx\n~~~~  \n", "cpp"),
     ("```\nx\n```", ""), ("   ````java\n```\nx\n````", "java")],
)  # fmt: skip
def test_fences(text, language):
    assert last_code_block(text).language == language


@pytest.mark.parametrize("text", ["``` a`b\nx\n```", "    ```\nx\n    ```", "``x``", "```\nx", "```\nx\n``` y\n"])
def test_what_is_no_whole_block(text):
    assert last_code_block(text) is None
