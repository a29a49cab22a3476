"""What stands between the operators of an expression: numbers, names, functions, brackets, fractions and matrices."""

from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction

from ringlite_cli.rewards.reading.tokens import Token, Unread
from ringlite_cli.rewards.reading.tree import Node, num

BASED = "based "
"""How the name of a number in another base begins."""
OPAQUE = set("fghFGHTPQRSABVy")
"""Letters that name a function where brackets follow at once: f(2) is no product."""
_CLOSING = {
    "(": (")", "]"),
    "[": ("]", ")"),
    "{": ("}",),
    "\\{": ("\\}",),
    "<": (">",),
    "floor": ("floor",),
    "ceil": ("ceil",),
}
_ENVIRONMENTS = {"pmatrix", "bmatrix", "matrix", "vmatrix", "Bmatrix", "array", "smallmatrix", "psmallmatrix"}


class Atoms:
    """Reads tokens from `place` on. Operators, and which factors stand side by side, are the parser's."""

    def __init__(self, tokens: list[Token]) -> None:
        self.tokens, self.place, self.depth, self.bars = tokens, 0, 0, 0

    def sum(self) -> Node:
        """Read a whole expression, up to what closes it."""
        raise NotImplementedError

    def _power(self) -> Node:
        raise NotImplementedError

    def _signed_factor(self) -> Node:
        raise NotImplementedError

    def _group_or_power(self) -> Node:
        raise NotImplementedError

    def _starts(self, token: Token) -> bool:
        raise NotImplementedError

    def peek(self, ahead: int = 0) -> Token:
        at = self.place + ahead
        return self.tokens[at] if at < len(self.tokens) else Token("end", "")

    def take(self) -> Token:
        token = self.peek()
        self.place += 1
        return token

    def _braced(self) -> Node:
        """The expression in braces or brackets that start here."""
        opening = self.take()
        bars, self.bars = self.bars, 0
        node = self.sum()
        self.bars = bars
        if self.peek().kind != "close" or self.peek().text not in _CLOSING[opening.text]:
            raise Unread("brackets")
        self.place += 1
        return node

    def _atom(self) -> Node:
        token = self.take()
        if token.kind == "num":
            return self._in_a_base(token) if self.peek().kind == "_" else _number(token.text)
        if token.kind == "inf":
            return Node("sym", name="inf")
        if token.kind == "sym":
            return self._symbol(token)
        if token.kind == "func":
            return self._function(token.text)
        if token.kind == "frac":
            return self._fraction()
        if token.kind == "binom":
            return Node("call", (self._argument(), self._argument()), "binom")
        if token.kind == "|":
            return self._absolute()
        if token.kind == "env":
            return self._matrix(token.text)
        if token.kind == "open":
            self.place -= 1
            return self._bracketed()
        raise Unread(f"at {token.text!r}")

    def _in_a_base(self, token: Token) -> Node:
        """1010_2: digits in another base, a number that only the same digits in the same base are."""
        self.place += 1
        return Node("sym", name=f"{BASED}{token.text}_{self._subscript()}")

    def _absolute(self) -> Node:
        self.bars += 1
        node = self.sum()
        if self.take().kind != "|":
            raise Unread("bars")
        self.bars -= 1
        return Node("abs", (node,))

    def _bracketed(self) -> Node:
        opening = self.take().text
        bars, self.bars = self.bars, 0
        items = []
        if self.peek().kind != "close":
            items.append(self.sum())
            while self.peek().kind in (",", ";"):
                self.place += 1
                items.append(self.sum())
        self.bars = bars
        closing = self.take()
        if closing.kind != "close" or closing.text not in _CLOSING[opening]:
            raise Unread("brackets")
        if opening in ("floor", "ceil"):
            return Node("call", tuple(items), opening)
        if len(items) == 1 and opening in "({[" and closing.text in ")}]":
            return items[0]
        if opening == "{" and len(items) > 1:
            opening, closing = "\\{", Token("close", "\\}")
        return Node("seq", tuple(items), opening.strip("\\") + closing.text.strip("\\"))

    def _symbol(self, token: Token) -> Node:
        name = token.text
        primes = ""
        for _ in range(2):
            while self.peek().kind == "'" or (self.peek().kind == "^" and self.peek(1).kind == "'"):
                self.place += 2 if self.peek().kind == "^" else 1
                primes += "'"
            if self.peek().kind == "_":
                self.place += 1
                name += "_" + self._subscript()
        if name.startswith("C_") and self.peek().kind == "^" and self.peek(1).kind in ("num", "open"):
            return self._combinations(name)
        name += primes
        base = name.split("_")[0].rstrip("'")
        if self.peek().kind == "open" and self.peek().text == "(":
            commas = self._commas_inside()
            if base == "C" and name == "C" and commas:
                inside = self._bracketed()
                return Node("call", inside.args, "binom")
            if (primes or base in OPAQUE) and not self.peek().spaced:
                inside = self._bracketed()
                return Node("call", inside.args if inside.kind == "seq" else (inside,), f"opaque {name}")
        return Node("sym", name=name)

    def _commas_inside(self) -> bool:
        depth = 0
        for token in self.tokens[self.place :]:
            depth += {"open": 1, "close": -1}.get(token.kind, 0)
            if depth == 0:
                return False
            if depth == 1 and token.kind == ",":
                return True
        return False

    def _combinations(self, name: str) -> Node:
        """C_5^2, the number of ways to choose."""
        start = self.place
        self.place += 1
        upper = self._group_or_power()
        lower = name.removeprefix("C_")
        if lower.isdigit() and upper.value is not None and upper.value <= int(lower):
            return Node("call", (num(int(lower)), upper), "binom")
        self.place = start
        return Node("sym", name=name)

    def _subscript(self) -> str:
        if self.peek().kind != "open":
            return self.take().text
        depth = 0
        words: list[str] = []
        while True:
            token = self.take()
            if token.kind == "end":
                raise Unread("a subscript")
            depth += {"open": 1, "close": -1}.get(token.kind, 0)
            if depth == 0:
                return "".join(words)
            if token.kind != "open" or depth > 1:
                words.append(token.text)

    def _fraction(self) -> Node:
        start = self.place
        top, bottom = self._argument(), self._argument()
        if _is_differential(top) and _is_differential(bottom):  # one symbol: its d is no factor that cancels
            return Node("sym", name="derivative " + "".join(t.text for t in self.tokens[start : self.place]))
        return Node("div", (top, bottom))

    def _argument(self) -> Node:
        """One argument of a command: a group, or a single digit or letter."""
        token = self.peek()
        if token.kind == "open" and token.text == "{":
            return self._braced()
        if token.kind == "num" and len(token.text) > 1 and token.text.isdigit():  # \frac12
            self.tokens[self.place : self.place + 1] = [Token("num", token.text[0]), Token("num", token.text[1:])]
        return self._atom()

    def _function(self, name: str) -> Node:
        power: Node | None = None
        root: Node | None = None
        if name == "sqrt" and self.peek().kind == "open" and self.peek().text == "[":
            root = self._braced()
        if name == "log" and self.peek().kind == "_":
            self.place += 1
            base = self._argument()
            return self._applied("logb", power, lambda x: (base, x))
        if self.peek().kind == "^" and name != "exp":
            self.place += 1
            power = self._signed_factor() if self.peek().kind == "-" else self._group_or_power()
            if power.kind == "neg" and power.args[0].value == 1:
                name, power = (
                    ("arc" + name, None) if name in ("sin", "cos", "tan", "cot", "sec", "csc") else (name, power)
                )
        if name == "cbrt":
            return self._applied("root", power, lambda x: (x, num(3)))
        if root is not None:
            return self._applied("root", power, lambda x: (x, root))
        return self._applied(name, power, lambda x: (x,))

    def _applied(self, name: str, power: Node | None, arguments: Callable[[Node], tuple[Node, ...]]) -> Node:
        if name == "log" and self.peek().kind == "_":
            raise Unread("a base")
        opening = self.peek()
        if opening.kind == "open" and opening.text in "({[":
            inside = self._bracketed()
            args = inside.args if inside.kind == "seq" and inside.name in ("()", "[]") else (inside,)
            found = Node("call", arguments(args[0]) if len(args) == 1 else args, name)
        elif name in ("sqrt", "root"):
            found = Node("call", arguments(self._power() if opening.kind != "num" else self._atom()), name)
        else:
            found = Node("call", arguments(self._bare_argument()), name)
        return Node("pow", (found, power)) if power is not None else found

    def _bare_argument(self) -> Node:
        """sin 2x: the factors that follow without a sign, up to another function."""
        if self.peek().kind in ("-", "+"):
            return self._signed_factor()
        node = self._power()
        while self._starts(self.peek()) and self.peek().kind != "func" and self.peek().kind != "|":
            node = Node("mul", (node, self._power()))
        if self.peek().kind == "/" and self.peek(1).kind == "num":
            self.place += 1
            node = Node("div", (node, self._power()))
        return node

    def _matrix(self, name: str) -> Node:
        if name not in _ENVIRONMENTS:
            raise Unread(name)
        rows: list[list[Node]] = [[]]
        while self.peek().kind != "endenv":
            if self.peek().kind == "row":
                self.place += 1
                if self.peek().kind != "endenv":
                    rows.append([])
            elif self.peek().kind == "&":
                self.place += 1
            elif self.peek().kind == "end":
                raise Unread("a matrix")
            else:
                rows[-1].append(self.sum())
        self.place += 1
        if len({len(row) for row in rows}) != 1 or not rows[0]:
            raise Unread("a ragged matrix")
        if name == "vmatrix":
            raise Unread("a determinant")
        if len(rows[0]) == 1 or len(rows) == 1:
            return Node("seq", tuple(cell for row in rows for cell in row), "col" if len(rows) > 1 else "row")
        return Node("matrix", tuple(Node("seq", tuple(row), "row") for row in rows))


def _is_differential(node: Node) -> bool:
    """Return whether a part of a fraction is d, dx, d^2 y or dx^2, whose d is no factor."""
    while node.kind in ("mul", "pow"):
        node = node.args[0]
    return node.kind == "sym" and node.name in ("d", "partial")


def _number(text: str) -> Node:
    mantissa, _, exponent = text.partition("e")
    if len(mantissa) > 3_000 or abs(int(exponent or 0)) > 400:
        raise Unread("a long number")
    if exponent or "." in mantissa:
        return Node(
            "num", value=Fraction(Decimal(mantissa)) * Fraction(10) ** int(exponent or 0), decimal=Decimal(text)
        )
    return Node("num", value=Fraction(int(mantissa)))
