"""Results that were made from earlier results of other stages: a stage was run again, and what read it was not yet."""

from collections.abc import Mapping
from typing import Any

Manifests = Mapping[str, Mapping[str, Any]]
"""Stage -> its manifest, as JSON."""


def made_from_earlier(stage: str, manifests: Manifests) -> list[str]:
    """Return the stages of which a finished stage read an earlier result than the one that they have now.

    By the digests in the manifests: no file is read. An input that its stage does not tell of is taken as unchanged,
    unless that stage began anew since: then it is being made again.

    >>> rl = {"status": "done", "outputs": {"policy": {"digest": "new"}}}
    >>> made_from_earlier("eval", {"rl": rl, "eval": {"status": "done", "inputs": {"rl/policy": {"digest": "old"}}}})
    ['rl']
    """
    manifest = manifests.get(stage, {})
    if manifest.get("status") != "done":
        return []
    inputs = _entries(manifest.get("inputs"))
    return list(dict.fromkeys(name.partition("/")[0] for name in inputs if is_earlier(stage, name, manifests)))


def is_earlier(stage: str, name: str, manifests: Manifests) -> bool:
    """Return whether a stage read an earlier result of an input, as `rl/policy`, than the one that is there now."""
    read = _entries(manifests.get(stage, {}).get("inputs")).get(name)
    maker, _, artifact = name.partition("/")
    if read is None or maker not in manifests:
        return False
    made = _entries(manifests[maker].get("outputs")).get(artifact)
    if made is None:
        began, was_read = (str(manifests[each].get("started") or "") for each in (maker, stage))
        return manifests[maker].get("status") != "done" and began > was_read > ""
    return bool(made.get("digest") != read.get("digest"))


def _entries(value: Any) -> dict[str, dict[str, Any]]:
    return {str(k): v for k, v in value.items() if isinstance(v, dict)} if isinstance(value, dict) else {}
