"""Files that come with ringlite: recipes, experiments, data cards, launch files, and the versions it was tested with.

They lie in this package, so that every way to install it brings them along.
"""

from importlib.resources import files
from pathlib import Path

from ringlite_cli.errors import UserError, near

FOLDER = Path(str(files(__name__)))
RECIPES, DATA_CARDS, LAUNCH = FOLDER / "recipes", FOLDER / "data_cards", FOLDER / "launch"


def by_name(folder: Path, pattern: str = "*") -> dict[str, Path]:
    """Return name -> file, sorted, of the files in a folder that match; a file's name is what stands before its dot."""
    return {file.stem: file for file in sorted(folder.glob(pattern)) if file.is_file()}


def launch_file(name: str) -> Path:
    """Return the launch file of a name: `ddp`, `fsdp2` and `fsdp2-8gpu` are accelerate's, `slurm` is for sbatch.

    Raises UserError where none has this name.
    """
    known = by_name(LAUNCH)
    if name not in known:
        raise UserError("no such launch file", where=name, hint=near(name, known, f"there are {', '.join(known)}"))
    return known[name]
