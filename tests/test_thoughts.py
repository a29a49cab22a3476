"""Where thoughts end: the answer is what stands after the last closed one."""

import gc

import pytest
from long_texts import is_quick, repeated

from ringlite_cli.thoughts import TAGS, answer_part, opened_thought, with_thought


@pytest.mark.parametrize(
    ("response", "answer"),
    [
        ("no thought at all", "no thought at all"),
        ("<think>a</think>b", "b"),
        ("<THINK>a</Think>b", "b"),
        ("a</think>b", "b"),  # opened by the prompt
        ("<think>a</think>b<think>c</think>d", "d"),
        ("<think>a<think>b</think>c</think>d", "d"),
        ("<think>a", ""),
        ("b<think>a", "b"),
        ("<think>a</think>b<think>c", "b"),
        ("<think>a</think>", ""),
        ("<think><reasoning>a</reasoning>b", ""),  # another kind's tag closes nothing
        ("[THINK]a[/THINK]b", "b"),
        ("[think] is a word", "[think] is a word"),
        ("<|begin_of_thought|>a<|end_of_thought|>b", "b"),
        ("Write `<think>` first: b", "Write `<think>` first: b"),
        ('Write "<think>" first: b', 'Write "<think>" first: b'),
        ("```python\nprint('<think>')\n```\n", "```python\nprint('<think>')\n```\n"),
        ("```python\ns.split('</think>')\n```\n", "```python\ns.split('</think>')\n```\n"),
        ("a\n```python\nbroken off\n</think>\n```python\nb\n```\n", "\n```python\nb\n```\n"),
        ("```\n<think> \\boxed{5}", "```\n"),  # a block that is never closed hides no tag
        ("````\n```\n<think>\n````\nb", "````\n```\n<think>\n````\nb"),
        ("<think>```\nx</think>b", "b"),  # what is a code block inside a thought does not matter
    ],
)
def test_the_answer_stands_after_the_last_closed_thought(response, answer):
    assert answer_part(response) == answer


@pytest.mark.parametrize("tags", TAGS)
def test_every_kind_of_tag_is_known_in_all_its_roles(tags):
    start, end = tags
    assert answer_part(f"{start}a{end}b") == "b"
    assert answer_part(f"{start}a") == ""
    assert opened_thought(f"user: hi\nassistant: {start}\n") == start
    assert answer_part(with_thought("a", start)) == ""
    assert answer_part(with_thought(f"a{end}b", True)) == "b"


def test_tags_can_be_given():
    assert answer_part("<plan>a</plan>b", [("<plan>", "</plan>")]) == "b"
    assert answer_part("<think>a</think>b", [("<plan>", "</plan>")]) == "<think>a</think>b"
    assert answer_part("<think>a</think>b", []) == "<think>a</think>b"


@pytest.mark.parametrize("prompt", ["", "assistant:", "<think>\n\n</think>\n\n", "write <think> first\nassistant:"])
def test_a_prompt_that_opens_no_thought(prompt):
    assert opened_thought(prompt) == ""


@pytest.mark.slow
@pytest.mark.parametrize(
    "unit",
    ["<think>", "</think>", "<think></think>", "```\n", "```a\n", "~~~~\n````\n", "<", "`", "``` <", " ", "[THINK",
     "<think>`", "<|begin_of_", "\n```x<", "<think>\n```\n</think>\n", "```a\n</think>x\n", "<reasoning></think>"],
)  # fmt: skip
def test_reading_is_linear(unit):
    assert is_quick(answer_part, "x<think>y" + repeated(unit, 2_000_000))


@pytest.mark.parametrize("unit", ["</think>", "```a\n", "<think>`"])
def test_reading_keeps_no_object_a_mark(unit):
    """A reader that keeps them starts garbage collections, which cost seconds in a process of many objects."""
    gc.collect()
    before = gc.get_stats()[0]["collections"]
    answer_part("x<think>y" + unit * 50_000)
    assert gc.get_stats()[0]["collections"] - before < 10
