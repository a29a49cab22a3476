"""The `ringlite` command whose first rank takes seconds to say what is wrong, as on a machine that is busy."""

import os
import time
from typing import Any

from ringlite_cli.__main__ import main
from ringlite_cli.console import Console

_say = Console.error


def _say_late(self: Console, *words: Any) -> None:
    if os.environ["RANK"] == "0":
        time.sleep(3)
    _say(self, *words)


if __name__ == "__main__":
    Console.error = _say_late  # type: ignore[method-assign, assignment]
    main()
