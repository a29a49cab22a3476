"""What an equation names and states, and whether two equations or ratios say the same."""

from ringlite_cli.rewards.reading.forms import Form, Items, Labelled, Ratio, Relation, Value
from ringlite_cli.rewards.reading.same_values import tree_key
from ringlite_cli.rewards.reading.tree import Node, num
from ringlite_cli.rewards.reading.values import same_value


def label(form: Form) -> tuple[str, tuple[str, ...], Form]:
    """Return (what is named, its arguments' names, what it is); ("", (), form) without a label.

    `f(x) = 2x` names f of x.
    """
    if isinstance(form, Labelled):
        return form.label, (), form.form
    if isinstance(form, Relation) and set(form.signs) <= {"=", "approx"}:
        left = form.sides[0]
        if isinstance(left, Value) and not left.words:
            if left.node.kind == "sym" and left.node.name not in ("pi", "e", "i", "inf"):
                return left.node.name, (), form.sides[-1]
            if left.node.kind == "call" and left.node.name.startswith("opaque "):
                names = tuple(arg.name for arg in left.node.args)
                return left.node.name.removeprefix("opaque "), names, form.sides[-1]
            if left.node.kind == "mul" and _is_segment(left.node):
                return "segment", (), form.sides[-1]
        if isinstance(left, Items):
            return "tuple", (), form.sides[-1]
    return "", (), form


def _is_segment(node: Node) -> bool:
    return all(n.kind == "mul" or (n.kind == "sym" and n.name.isupper()) for n in node.walk())


def states_a_result(answer: Relation) -> bool:
    """Whether an equation tells what a sum of letters, an angle or a calculation comes to: a + b = 7, 3 + 4 = 7."""
    left, right = answer.sides[0], answer.sides[-1]
    if set(answer.signs) != {"="} or not isinstance(left, Value) or not isinstance(right, Value) or left.words:
        return False
    node = left.node
    if right.node.symbols():
        return False
    if not node.symbols():
        return bool(same_value(node, right.node))
    angle = node.kind == "mul" and node.args[0].name in ("angle", "triangle")
    return angle or (node.kind == "add" and all(term.kind == "sym" for term in node.args))


def _difference(form: Form) -> Node | None:
    if isinstance(form, Relation) and form.signs == ("=",):
        left, right = form.sides
        if isinstance(left, Value) and isinstance(right, Value) and not left.words and not right.words:
            return Node("add", (left.node, Node("neg", (right.node,))))
    return None


def same_equation(gold: Form, answer: Form) -> bool:
    """Return whether the sides of two equations differ by a constant ratio, or one is the other solved for a symbol."""
    one, two = _difference(gold), _difference(answer)
    if one is not None and two is not None:
        if not one.symbols() and not two.symbols():
            return isinstance(gold, Relation) and isinstance(answer, Relation) and all(
                isinstance(a, Value) and isinstance(b, Value) and tree_key(a.node) == tree_key(b.node)
                for a, b in zip(gold.sides, answer.sides, strict=True)
            )  # fmt: skip
        return one.symbols() == two.symbols() and _in_ratio(one, two)
    equation, plain = (one, answer) if one is not None else (two, gold)
    if equation is None or not isinstance(plain, Value) or plain.words:
        return False
    for symbol in sorted(equation.symbols() - plain.node.symbols()):
        solved = Node("add", (Node("sym", name=symbol), Node("neg", (plain.node,))))
        if solved.symbols() == equation.symbols() and _in_ratio(equation, solved):
            return True
    return False


def _in_ratio(one: Node, two: Node) -> bool:
    """Return whether two expressions are the same up to a constant factor that is not 0, at many points."""
    import mpmath

    from ringlite_cli.rewards.reading.values import number, points

    with mpmath.workdps(60):
        ratios = []
        for point in points(one.symbols() | two.symbols(), negative=True):
            a, b = number(one, point), number(two, point)
            if a is None or b is None:
                continue
            if abs(a) < 1e-30 or abs(b) < 1e-30:
                if abs(a - b) > 1e-25:
                    return False
                continue
            ratios.append(a / b)
        return len(ratios) >= 3 and all(abs(r - ratios[0]) <= 1e-30 * abs(ratios[0]) for r in ratios)


def _parts(form: Form) -> tuple[Node, ...] | None:
    if isinstance(form, Ratio):
        return form.parts
    if isinstance(form, Value) and not form.words and not form.node.symbols():
        return form.node.args if form.node.kind == "div" else (form.node, num(1))
    return None


def same_ratio(gold: Form, answer: Form) -> bool:
    """Return whether two ratios are proportional; a fraction is a ratio of two."""
    one, two = (_parts(form) for form in (gold, answer))
    if one is None or two is None or len(one) != len(two):
        return False
    return all(
        bool(same_value(Node("mul", (one[0], b)), Node("mul", (two[0], a))))
        for a, b in zip(one[1:], two[1:], strict=True)
    )


def named_point(form: Value) -> Items | None:
    """Return A(2, -1), a point with its name, as a tuple."""
    node = form.node
    name, args = node.name.removeprefix("opaque "), node.args
    if node.kind == "mul" and args[0].kind == "sym" and args[1].kind == "seq" and args[1].name == "()":
        name, args = args[0].name, args[1].args
    elif node.kind != "call" or name == node.name:
        return None
    is_point = len(name) == 1 and name.isupper() and len(args) > 1 and not form.words
    return Items(tuple(map(Value, args)), "()") if is_point else None


def components(node: Node) -> Items | None:
    """2i + 3j, written with unit vectors, as a tuple."""
    bases = {"hat i": 0, "hat j": 1, "hat k": 2, "mathbf i": 0, "mathbf j": 1, "mathbf k": 2, "hat \\imath": 0,
    "hat \\jmath": 1,
             "vec i": 0, "vec j": 1, "vec k": 2,
             "hat x": 0, "hat y": 1, "hat z": 2}  # fmt: skip
    terms = node.args if node.kind == "add" else (node,)
    entries: dict[int, Node] = {}
    for term in terms:
        negative = term.kind == "neg"
        term = term.args[0] if negative else term
        factor, base = (num(1), term) if term.kind == "sym" else term.args if term.kind == "mul" else (term, term)
        place = bases.get(base.name) if base.kind == "sym" else None
        if place is None or place in entries or any(n.name in bases for n in factor.walk()):
            return None
        entries[place] = Node("neg", (factor,)) if negative else factor
    length = max(max(entries) + 1, 2)
    return Items(tuple(Value(entries.get(place, num(0))) for place in range(length)), "()")
