"""Values across the wire: what arrives is what was sent, and only data arrives."""

import json
from collections import Counter, OrderedDict, deque
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringlite_cli.sandbox.guest import wire

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary()
KEYS = st.integers() | st.text() | st.tuples(st.integers(), st.text())
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner) | st.dictionaries(KEYS, inner) | st.tuples(inner, inner) | st.sets(st.integers()),
    max_leaves=20,
)


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(VALUES)
def test_round_trip(value):
    back = wire.unpack(json.loads(json.dumps(wire.pack(value))))
    assert back == value
    assert type(back) is type(value)


@pytest.mark.parametrize(
    ("value", "arrives"),
    [
        (Counter("aab"), {"a": 2, "b": 1}),
        (OrderedDict(x=1), {"x": 1}),
        (deque([1, 2]), deque([1, 2])),
        (range(3), [0, 1, 2]),
        ({"~": 1}, {"~": 1}),
        (Decimal("1.5"), Decimal("1.5")),
        (Fraction(1, 3), Fraction(1, 3)),
        (1j, 1j),
    ],
)
def test_kin_of_plain_types(value, arrives):
    assert wire.unpack(json.loads(json.dumps(wire.pack(value)))) == arrives


def test_a_subclass_loses_its_operators():
    class Sly(list):
        def __eq__(self, other):
            return True

        __hash__ = None

    assert type(wire.unpack(wire.pack(Sly([1])))) is list


def test_linked_nodes_and_their_cycles():
    tree = [1, None, 2, 3]
    assert wire.pack(wire.tree_node(tree)) == {"~": "TreeNode", "v": tree}
    assert wire.list_values(wire.unpack(wire.pack(wire.list_node([1, 2, 3])))) == [1, 2, 3]
    loop = wire.list_node([1, 2])
    loop.next.next = loop
    with pytest.raises(wire.Unsendable, match="cycle"):
        wire.pack(loop)


@pytest.mark.parametrize("value", [object(), print, int, [lambda: 0]])
def test_no_objects(value):
    with pytest.raises(wire.Unsendable):
        wire.pack(value)


@pytest.mark.parametrize("hostile", [{"~": "os.system", "v": "true"}, {"~": "remote", "id": 0}])
def test_unknown_tags_are_refused(hostile):
    with pytest.raises(wire.Unsendable):
        wire.unpack(hostile)
