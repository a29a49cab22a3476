"""Expressions: a parser by precedence from tokens to a tree. What it does not know makes the whole text unread.

Here are the operators; what stands between them is in atoms.py.
"""

from fractions import Fraction

from ringlite_cli.rewards.reading.atoms import Atoms
from ringlite_cli.rewards.reading.tokens import Token, Unread
from ringlite_cli.rewards.reading.tree import Node, num

DEEPEST = 120
_STARTS = {"num", "sym", "func", "open", "frac", "binom", "inf", "env"}


def parse(tokens: list[Token]) -> Node:
    """Return the tree of a whole expression. Raises Unread where a token is left over or not known."""
    parser = _Parser(tokens)
    node = parser.sum()
    if parser.place != len(tokens):
        raise Unread(f"at {parser.peek().text!r}")
    return node


class _Parser(Atoms):
    def sum(self) -> Node:
        self.depth += 1
        if self.depth > DEEPEST:
            raise Unread("too deep")
        terms = [self._signed()]
        while self.peek().kind in ("+", "-", "pm", "mp"):
            sign = self.take().kind
            term = self._signed()
            terms.append(term if sign == "+" else Node({"-": "neg"}.get(sign, sign), (term,)))
        self.depth -= 1
        return terms[0] if len(terms) == 1 else Node("add", tuple(terms))

    def _signed(self) -> Node:
        kind = self.peek().kind
        if kind in ("+", "-", "pm", "mp"):
            self.place += 1
            term = self._signed()
            return term if kind == "+" else Node({"-": "neg"}.get(kind, kind), (term,))
        return self._product()

    def _product(self) -> Node:
        node = self._mixed_or_power()
        while True:
            token = self.peek()
            if token.kind in ("*", "/"):
                self.place += 1
                signs = self.peek().kind in ("-", "+")
                factor = self._signed_factor() if signs else self._mixed_or_power()
                node = Node("mul" if token.kind == "*" else "div", (node, factor))
            elif self._starts(token):
                node = Node("mul", (node, self._power()))
            else:
                return node

    def _mixed_or_power(self) -> Node:
        mixed = self._mixed()
        return self._power() if mixed is None else self._postfix(mixed)

    def _signed_factor(self) -> Node:
        negative = self.take().kind == "-"
        factor = self._power()
        return Node("neg", (factor,)) if negative else factor

    def _starts(self, token: Token) -> bool:
        """Return whether a token begins a factor that stands beside the last one without a sign."""
        if token.kind == "num" and self.place and self.tokens[self.place - 1].kind in ("num", "sym"):
            return False  # 1 2 is no product, and x2 neither
        return token.kind in _STARTS or (token.kind == "|" and not self.bars)

    def _mixed(self) -> Node | None:
        """1 1/2 and 1\\frac{1}{2}: a whole number with a proper fraction behind it."""
        whole, after = self.peek(), self.peek(1)
        if whole.kind != "num" or not whole.text.isdigit():
            return None
        if after.kind == "num" and after.spaced and self.peek(2).kind == "/" and self.peek(3).kind == "num":
            top, bottom = after.text, self.peek(3).text
            if top.isdigit() and bottom.isdigit() and 0 < int(top[:9]) < int(bottom[:9]) and len(bottom) < 7:
                self.place += 4
                return num(int(whole.text) + Fraction(int(top), int(bottom)))
            return None
        start = self.place
        if after.kind == "open" and after.text == "{" and self.peek(2).kind == "frac":
            self.place += 3
            part = self._fraction()
            if self.take().kind != "close":
                self.place = start
                return None
        elif after.kind == "frac":
            self.place += 2
            part = self._fraction()
        else:
            return None
        top_node, bottom_node = part.args
        values = (top_node.value, bottom_node.value)
        if None not in values and top_node.decimal is None and 0 < values[0] < values[1]:  # type: ignore[operator]
            return num(int(whole.text) + values[0] / values[1])  # type: ignore[operator]
        self.place = start
        return None

    def _power(self) -> Node:
        node = self._postfix(self._atom())
        if self.peek().kind == "^":
            self.place += 1
            token = self.peek()
            if token.kind == "deg" or (token.kind == "open" and self.peek(1).kind == "deg"):
                self.place += 1 if token.kind == "deg" else 3
                return self._postfix(Node("deg", (node,)))
            if token.kind in ("-", "+"):
                exponent = self._signed_factor()
            else:
                exponent = self._group_or_power()
            return self._postfix(Node("pow", (node, exponent)))
        return node

    def _group_or_power(self) -> Node:
        """An exponent: a group stands alone, anything else may have an exponent of its own."""
        if self.peek().kind == "open" and self.peek().text == "{":
            return self._braced()
        return self._power()

    def _postfix(self, node: Node) -> Node:
        while True:
            kind = self.peek().kind
            if kind == "!":
                self.place += 1
                node = Node("fact", (node,))
            elif kind == "%":
                self.place += 1
                node = Node("pct", (node,))
            elif kind == "deg":
                self.place += 1
                node = Node("deg", (node,))
            else:
                return node
