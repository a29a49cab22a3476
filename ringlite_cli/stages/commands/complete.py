"""What a shell offers when Tab is pressed where a command takes a recipe or an experiment."""

from collections.abc import Iterable
from pathlib import Path

from ringlite_cli.recipe.load import shipped_experiments, shipped_recipes


def recipe_names(incomplete: str) -> list[str]:
    """Return the shipped recipes and the YAML files whose names begin with what was typed."""
    return _beginning(incomplete, shipped_recipes())


def experiment_names(incomplete: str) -> list[str]:
    """Return the shipped experiments and the YAML files whose names begin with what was typed."""
    return _beginning(incomplete, shipped_experiments())


def _beginning(incomplete: str, names: Iterable[str]) -> list[str]:
    """Where nothing is found, a shell offers files by itself."""
    folder = incomplete[: incomplete.rfind("/") + 1]
    try:
        files = sorted(f"{folder}{each.name}" for each in Path(folder).iterdir() if each.suffix in (".yaml", ".yml"))
    except OSError:
        files = []
    return [each for each in (*names, *files) if each.startswith(incomplete)]
