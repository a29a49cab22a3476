"""An `eval` that computes numbers, lists and sympy expressions, and can do nothing else.

Libraries that score answers call Python's `eval` on them (sympy's `parse_expr` and `sympify`, several scorers of
reasoning-gym). Here the text is read as a syntax tree first, and refused where it holds anything but literals,
operators and the names below: no attribute, no subscript, no comprehension, no call of anything else.
Imports the standard library alone: the warm process of a jail uses it, and the script that compares math answers.
"""

import ast
import fractions
import sys
from collections.abc import Mapping
from typing import Any

MAX_CHARACTERS = 20_000
_MAX_BITS = 100_000  # of a power's or a shift's result

_FUNCTION_NAMES = """
sin cos tan cot sec csc asin acos atan acot asec acsc sinh cosh tanh coth asinh acosh atanh exp log ln sqrt cbrt root
Abs sign factorial factorial2 binomial Min Max floor ceiling Mod erf erfi Si Ci Ei li
"""
FUNCTIONS = frozenset(_FUNCTION_NAMES.split())
CONSTANTS = frozenset({"pi", "E", "I"})
_SYMPY_MAKERS = frozenset({"Symbol", "Integer", "Float", "Rational", "Function"})  # what its tokens become
_DATA: tuple[type[ast.AST], ...] = (
    ast.Expression, ast.Constant, ast.Load, ast.List, ast.Tuple, ast.Set, ast.Dict, ast.UnaryOp, ast.BinOp,
    ast.operator, ast.unaryop,
)  # fmt: skip
_SYMBOLIC: tuple[type[ast.AST], ...] = (
    ast.Expression, ast.Constant, ast.Load, ast.Tuple, ast.UnaryOp, ast.BinOp, ast.operator, ast.unaryop, ast.Compare,
    ast.cmpop, ast.Call, ast.Name,
)  # fmt: skip


class Refused(ValueError):
    """The text is more than data."""


def literal(text: object, *_: Any) -> Any:
    """What `eval` gives for literals, lists and arithmetic of whole numbers. Raises Refused for anything else."""
    tree = _parse(text)
    for node in ast.walk(tree):
        if not isinstance(node, _DATA):
            raise Refused(f"{type(node).__name__} is not data")
    return _value(tree.body)


def exact(text: str) -> fractions.Fraction:
    """The exact value of an expression of whole numbers, + - * / and brackets. Raises Refused, ZeroDivisionError."""
    return _exact(_parse(text).body)


def close_sympy() -> None:
    """Let sympy's parsers read expressions alone, in this process, for good. Costs an import of sympy.

    Closing them again changes nothing.
    """
    from sympy.parsing import sympy_parser

    parser: Any = sympy_parser
    stringify = parser.stringify_expr
    if stringify.__module__ == __name__:
        return

    def checked(text: str, local_dict: Any, global_dict: Any, transformations: Any) -> str:
        if len(text) > MAX_CHARACTERS:
            raise Refused("too long an expression")
        code = stringify(text, local_dict, global_dict, transformations)
        _require_symbolic(code, local_dict or {})
        return str(code)

    parser.stringify_expr = checked


def close_modules(package: str) -> None:
    """Give every loaded module of `package` the `eval` of this file, and an `exec` that refuses."""
    for name, module in list(sys.modules.items()):
        if module is not None and (name == package or name.startswith(f"{package}.")):
            vars(module).update(eval=literal, exec=_refuse)


def _refuse(*_: Any) -> None:
    raise Refused("nothing is executed here")


def _parse(text: object) -> ast.Expression:
    if not isinstance(text, str) or len(text) > MAX_CHARACTERS:
        raise Refused("no text, or too long a text")
    try:
        return ast.parse(text.strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise Refused(str(error)) from None


def _require_symbolic(code: str, local: Mapping[str, Any]) -> None:
    tree = _parse(code)
    called = {node.func for node in ast.walk(tree) if isinstance(node, ast.Call)}
    for node in ast.walk(tree):
        if not isinstance(node, _SYMBOLIC):
            raise Refused(f"{type(node).__name__} is no part of an expression")
        if isinstance(node, ast.Call):
            _require_call(node)
        elif isinstance(node, ast.Name):
            known = FUNCTIONS | _SYMPY_MAKERS if node in called else CONSTANTS | set(local)
            if node.id not in known:
                raise Refused(f"the name {node.id!r} is no part of an expression")


def _require_call(node: ast.Call) -> None:
    """A call of a function by name, or of an unknown one, which sympy writes Function('f')(x)."""
    made = isinstance(node.func, ast.Call) and isinstance(node.func.func, ast.Name) and node.func.func.id == "Function"
    if node.keywords or not (made or isinstance(node.func, ast.Name)):
        raise Refused("a call of something that is no function's name")


_UNARY: dict[type, Any] = {ast.USub: lambda a: -a, ast.UAdd: lambda a: +a, ast.Invert: lambda a: ~a}
_BINARY: dict[type, Any] = {
    ast.Add: lambda a, b: a + b, ast.Sub: lambda a, b: a - b, ast.Mult: lambda a, b: a * b,
    ast.Div: lambda a, b: a / b, ast.FloorDiv: lambda a, b: a // b, ast.Mod: lambda a, b: a % b,
    ast.BitAnd: lambda a, b: a & b, ast.BitOr: lambda a, b: a | b, ast.BitXor: lambda a, b: a ^ b,
    ast.RShift: lambda a, b: a >> b, ast.LShift: lambda a, b: _bounded(a.bit_length() + b) and a << b,
    ast.Pow: lambda a, b: _bounded(a.bit_length() * b) and a**b,
}  # fmt: skip


def _bounded(bits: int) -> bool:
    if bits > _MAX_BITS:
        raise Refused("too large a number")
    return True


def _value(node: ast.AST) -> Any:
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.List | ast.Tuple | ast.Set):
        kind = {ast.List: list, ast.Tuple: tuple, ast.Set: set}[type(node)]
        return kind(_value(item) for item in node.elts)
    if isinstance(node, ast.Dict):
        if None in node.keys:
            raise Refused("** in a dict")
        return {_value(key): _value(value) for key, value in zip(node.keys, node.values, strict=True) if key}
    if isinstance(node, ast.UnaryOp) and type(node.op) in _UNARY:
        return _UNARY[type(node.op)](_number(node.operand))
    if isinstance(node, ast.BinOp) and type(node.op) in _BINARY:
        return _BINARY[type(node.op)](_number(node.left), _number(node.right))
    raise Refused(f"{type(node).__name__} is not data")


def _number(node: ast.AST) -> Any:
    value = _value(node)
    if not isinstance(value, int | float | complex):  # "a" * 10**9 is text without end
        raise Refused("arithmetic of something that is no number")
    return value


def _exact(node: ast.AST) -> fractions.Fraction:
    if isinstance(node, ast.Constant) and type(node.value) is int:
        return fractions.Fraction(node.value)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
        return _UNARY[type(node.op)](_exact(node.operand))
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Sub | ast.Mult | ast.Div):
        return _BINARY[type(node.op)](_exact(node.left), _exact(node.right))
    raise Refused(f"{type(node).__name__} is no arithmetic")
