"""`ringlite launcher`: where the files lie that start ringlite on several GPUs or nodes."""

from ringlite_cli.shipped import LAUNCH, by_name, launch_file


def launcher_text(name: str | None) -> str:
    """Return a launch file's path; without a name, each file with its first line. Raises UserError for another name."""
    if name is not None:
        return str(launch_file(name))
    lines = []
    for each, path in by_name(LAUNCH).items():
        comments = [line for line in path.read_text(encoding="utf-8").splitlines() if line.startswith("# ")]
        lines.append(f"{each:<10} {comments[0].removeprefix('# ').rstrip(':')}")
    return "\n".join(lines)
