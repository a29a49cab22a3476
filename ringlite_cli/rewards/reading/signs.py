"""Plus-minus signs written out."""

from dataclasses import replace
from itertools import product

from ringlite_cli.rewards.reading.forms import Form, Items, Relation, Value
from ringlite_cli.rewards.reading.tree import Node

_MOST = 64


def expanded(node: Node) -> list[Node]:
    """Return the values that a plus-minus stands for: all of a tree's signs are upper, then all are lower."""
    if not any(n.kind in ("pm", "mp") for n in node.walk()):
        return [node]
    return [_signed(node, upper) for upper in (True, False)]


def _signed(node: Node, upper: bool) -> Node:
    args = tuple(_signed(arg, upper) for arg in node.args)
    if node.kind in ("pm", "mp"):
        return args[0] if (node.kind == "pm") == upper else Node("neg", args)
    return replace(node, args=args)


def written_out(form: Form) -> list[Form]:
    """Return a form once for each choice of its signs; those of a tuple's entries are chosen apart."""
    if isinstance(form, Value):
        return [replace(form, node=node) for node in expanded(form.node)]
    if isinstance(form, Items):
        choices = [written_out(item) for item in form.items]
        if not form.brackets or form.brackets == "{}":
            return [replace(form, items=tuple(item for each in choices for item in each))]
        count = 1
        for each in choices:
            count *= len(each)
        if count == 1 or count > _MOST:
            return [form]
        return [replace(form, items=items) for items in product(*choices)]
    if isinstance(form, Relation) and form.signs == ("=",):
        return [replace(form, sides=(form.sides[0], side)) for side in written_out(form.sides[1])]
    return [form]
