"""What test code may ask of a program, read from the test code alone, before any program is seen."""

import ast
import builtins
import dis
import types
from dataclasses import dataclass, field

MODULES = frozenset(
    {"bisect", "cmath", "collections", "contextlib", "copy", "datetime", "decimal", "fractions", "functools", "heapq"}
    | {"io", "itertools", "json", "math", "operator", "os", "random", "re", "statistics", "string", "sys", "time"}
    | {"typing", "unittest"}
)
# Functions that HumanEval's prompts define and its tests call (openai/human-eval, tasks 32, 38 and 50).
_HUMANEVAL = """
def poly(xs, x): return sum(coeff * x**i for i, coeff in enumerate(xs))
def encode_cyclic(s):
    groups = [s[i : i + 3] for i in range(0, len(s), 3)]
    return "".join(group[1:] + group[0] if len(group) == 3 else group for group in groups)
def encode_shift(s): return "".join(chr(((ord(ch) + 5 - ord("a")) % 26) + ord("a")) for ch in s)
"""


@dataclass
class Uses:
    """The names that test code takes from a program, and as what.

    names: all of them. classes: those that it calls by a capitalised name and looks into. exceptions: those that it
    catches, or expects to be raised. modules: names of the standard library that it uses without an import.
    leetcode: whether it is written for LeetCode's `class Solution`, with the names that come with it.
    helpers: source that comes before it.
    """

    names: set[str] = field(default_factory=set)
    read: set[str] = field(default_factory=set)
    classes: set[str] = field(default_factory=set)
    exceptions: set[str] = field(default_factory=set)
    modules: set[str] = field(default_factory=set)
    leetcode: bool = False
    helpers: str = ""


def uses_of(source: str, entry_point: str = "", offered: frozenset[str] = frozenset()) -> Uses:
    """Read test code. Raises SyntaxError, ValueError, RecursionError or MemoryError for what is not Python.

    entry_point: the one name that the program may give, where the tests name it.
    offered: the names that come with LeetCode's `class Solution`.
    """
    tree = ast.parse(source)
    read, bound = _names(compile(source, "tests.py", "exec", dont_inherit=True))
    free = {name for name in read - bound if not hasattr(builtins, name) and not name.startswith("__")}
    asked = _candidates(tree) or ({entry_point.partition(".")[0]} & free)
    uses = Uses(names=free, read=read, leetcode="Solution" in free)
    if uses.leetcode:
        uses.names = uses.names - offered
    called = {node.func.id for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}
    based = {
        node.value.id for node in ast.walk(tree) if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
    }
    uses.modules = (uses.names & MODULES & based) - called
    if asked:
        taken = {name for name in uses.names - asked if f"def {name}(" in _HUMANEVAL}
        uses.helpers = _HUMANEVAL if taken else ""
        uses.names = uses.names & asked
    uses.names = uses.names - uses.modules
    capital = {name for name in uses.names - {"Solution"} if name[:1].isupper()}
    uses.exceptions = _expected(tree) & capital
    uses.classes = (_looked_into(tree) & capital) - uses.exceptions
    return uses


def _names(code: types.CodeType) -> tuple[set[str], set[str]]:
    """The global names that the tests read, and those that they bind."""
    read, bound = set[str](), set[str]()
    waiting = [code]
    while waiting:
        part = waiting.pop()
        for step in dis.get_instructions(part):
            if step.opname in ("LOAD_NAME", "LOAD_GLOBAL"):
                read.add(str(step.argval))
            elif step.opname in ("STORE_NAME", "STORE_GLOBAL"):
                bound.add(str(step.argval))
        waiting += [constant for constant in part.co_consts if isinstance(constant, types.CodeType)]
    return read, bound


def _candidates(tree: ast.Module) -> set[str]:
    """The names handed to `check(candidate)`, in HumanEval's and LeetCode's form; empty for other tests."""
    found: set[str] = set()
    checks = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == "check"]
    if not checks:
        return found
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "check":
            found |= {part.id for arg in node.args for part in ast.walk(arg) if isinstance(part, ast.Name)}
    return found


def _expected(tree: ast.Module) -> set[str]:
    """The names that stand where a class of exceptions must: after `except` or `raise`, or in `raises(...)`."""
    places: list[ast.AST] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ExceptHandler) and node.type is not None:
            places.append(node.type)
        elif isinstance(node, ast.Raise) and node.exc is not None:
            places.append(node.exc.func if isinstance(node.exc, ast.Call) else node.exc)
        elif isinstance(node, ast.Call):
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            places += node.args[:1] if "raises" in str(name).lower() else []
    return {part.id for place in places for part in ast.walk(place) if isinstance(part, ast.Name)}


def _looked_into(tree: ast.Module) -> set[str]:
    """The names that the tests call, or whose attributes they read: classes, where they are capitalised."""
    found = set()
    for node in ast.walk(tree):
        part = node.func if isinstance(node, ast.Call) else node.value if isinstance(node, ast.Attribute) else None
        if isinstance(part, ast.Name):
            found.add(part.id)
    return found
