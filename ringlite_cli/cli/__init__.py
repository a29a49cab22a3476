"""The commands. Thin on purpose: parse, load the recipe, hand over; heavy imports happen inside the commands.

The order of the imports is the order of the commands in the help.
"""

# isort: off
from ringlite_cli.cli.options import app
from ringlite_cli.cli import stages  # noqa: F401
from ringlite_cli.cli import runs  # noqa: F401
from ringlite_cli.cli import recipes  # noqa: F401
from ringlite_cli.cli import tools  # noqa: F401

# isort: on
from ringlite_cli.stages.commands.shared_options import share_options
from ringlite_cli.stages.kinds import KINDS

__all__ = ["app"]

share_options(
    app,
    working=("run", *KINDS, "rl-math", "rl-mixed", "select-by-entropy", "rescore", "verify"),
    answering=("status", "plan", "check", "compare", "doctor", "recipes", "experiment"),
    others=("show", "clean", "report"),
)
