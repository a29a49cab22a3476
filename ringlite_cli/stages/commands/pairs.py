"""Flags that name something for each task, such as `--data gsm8k=FILE`."""

from collections.abc import Sequence

from ringlite_cli.errors import UserError

_EXAMPLES = {"TASK=FILE": "gsm8k=gsm8k.jsonl", "TASK=COMMIT": "gsm8k=cc7b047"}


def pairs(flag: str, items: Sequence[str], form: str) -> dict[str, str]:
    """Return task -> value of a repeated flag. form: TASK=FILE or TASK=COMMIT. Raises UserError for another form."""
    found = {}
    for item in items:
        name, sign, value = item.partition("=")
        if not sign or not name or not value:
            raise UserError(f"{item!r} is not {form}", where=flag, hint=f"for example {flag} {_EXAMPLES[form]}")
        found[name] = value
    return found
