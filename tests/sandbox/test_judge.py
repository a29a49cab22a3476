"""Comparing outputs and values as judges do."""

import math

import pytest

from ringlite_cli.sandbox.judge import same_output, same_value


@pytest.mark.parametrize(
    ("expected", "actual", "same"),
    [
        ("1 2\n3\n", "1 2  \n3\n\n\n", True),
        ("1 2", "1  2", True),
        ("1 2", "1\n2", False),
        ("0.5", "0.5000001", True),
        ("0.5", "0.51", False),
        ("1e3", "1000", True),
        ("10", "10.0", False),
        ("10", "010", False),
        ("YES", "yes", False),
        ("nan", "0", False),
        ("", "\n", True),
        ("", "0", False),
        ("a\r\nb", "a\nb", True),
        ("0.1 x", "0.1 y", False),
    ],
)
def test_outputs(expected, actual, same):
    assert same_output(expected, actual) is same


@pytest.mark.parametrize(
    ("expected", "actual", "same"),
    [
        ([1, 2], (1, 2), True),
        ([1, 2], {2, 1}, False),  # else a set would do where sorting is the task
        ({1, 2.5}, {2.5 + 1e-9, True}, True),
        ({1, 2}, {1}, False),
        ([{3, 4}], [frozenset((4, 3))], True),
        (10**9 + 7, 1e9 + 8, False),  # a millionth of an integer is many integers
        (3, 3.0000000001, True),
        ([[1, 2.0]], [(1, 2)], True),
        ({"1": [2]}, {1: (2,)}, True),
        ({"a": 1}, {"a": 1, "b": 2}, False),
        (0.1, 0.1 + 1e-12, True),
        (0.1, 0.11, False),
        (math.nan, math.nan, True),
        (3, "3", False),
        ("3", 3, False),
        (True, 1, True),
        (None, None, True),
        (None, 0, False),
        ([], None, False),
        (10**30, 10**30 + 1, False),
        (2**53 + 1, 2**53, False),
    ],
)
def test_values(expected, actual, same):
    assert same_value(expected, actual) is same
