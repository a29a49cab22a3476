"""The groups as text for the page: compressed JSON in base64, which holds no character that HTML or a script reads."""

import base64
import gzip
import json
from collections.abc import Mapping, Sequence
from typing import Any

from ringlite_cli.report.reading.groups import Group


def pack(groups: Sequence[Group], golds: Mapping[str, str], colours: Mapping[str, str]) -> str:
    """Return the groups for the page's script (rollouts.js). colours: domain -> colour class."""
    problems: dict[str, int] = {}
    asked: list[list[str]] = []
    rows = []
    for group in groups:
        if group.problem not in problems:
            problems[group.problem] = len(asked)
            asked.append([group.problem, group.prompt, golds.get(group.problem, "")])
        rows.append(
            {
                "policy": group.policy,
                "step": group.step,
                "task": group.task,
                "problem": problems[group.problem],
                "domain": group.domain,
                "more": group.left_out,
                "rows": group.rows,
            }
        )
    page: dict[str, Any] = {"problems": asked, "groups": rows, "colours": dict(colours)}
    text = json.dumps(page, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    # The time of compression is left out, so that the same run makes the same page.
    return base64.b64encode(gzip.compress(text.encode("utf-8", "replace"), 9, mtime=0)).decode()
