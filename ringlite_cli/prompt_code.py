"""Code that a completion prompt gives: what stands beside the function that is asked for."""

import ast


def code_beside(prompt: str, entry_point: str) -> str:
    """Return what the prompt defines and imports beside `entry_point`, as source; "" if it cannot be read.

    Tests that call a helper of the prompt (HumanEval's `poly`, `encode_cyclic`, `encode_shift`) must bring their own:
    with the program's helper they would believe what the program says.
    """
    for source in (prompt, prompt.rstrip() + "\n    pass\n"):  # a signature without a docstring has no body yet
        try:
            tree = ast.parse(source)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            continue
        kept = [node for node in tree.body if getattr(node, "name", None) != entry_point]
        return "".join(f"{ast.unparse(node)}\n" for node in kept)
    return ""
