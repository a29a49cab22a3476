"""Print the versions installed here as a constraints file: `make test-newest` keeps it once its tests have passed."""

import platform
from datetime import UTC, datetime
from importlib.metadata import distributions

from packaging.version import Version

from ringlite_cli.shipped.tested import normal

_TOOLS = {"ringlite", "pip", "setuptools", "wheel"}


def page() -> str:
    """Return `name==version` of every package here but ringlite and the installers, without the builds' own marks."""
    head = [
        "# The newest versions that passed `make test-newest`: the fast tests and a toy run, without vLLM.",
        f"# {datetime.now(UTC):%Y-%m-%d}, Python {platform.python_version()}.",
    ]
    found = {normal(each.name): Version(each.version).public for each in distributions()}
    return "\n".join([*head, *(f"{name}=={found[name]}" for name in sorted(found.keys() - _TOOLS))])


if __name__ == "__main__":
    print(page())
