"""The folder of local data sets, which the environment variable RINGLITE_DATA names."""

import os
from pathlib import Path


def data_folder() -> Path | None:
    """Return the folder of local data sets, `~` expanded; None where RINGLITE_DATA is not set."""
    named = os.environ.get("RINGLITE_DATA")
    return Path(named).expanduser() if named else None
