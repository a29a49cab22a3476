"""What is known of response lengths: which prompts will take long, and what a long response loses."""

from collections.abc import Mapping, Sequence
from typing import Any

from ringlite_cli.recipe.rollouts import Overlong
from ringlite_cli.runs.row_types import MetricsRow


class LengthHistory:
    """Running means of response lengths, by prompt and by domain. The same on all ranks; saved with a checkpoint."""

    def __init__(self, memory: float = 0.5) -> None:
        """memory: share of the past in a mean."""
        self._memory = memory
        self._prompts: dict[str, float] = {}
        self._domains: dict[str, float] = {}

    def note(self, prompts: Sequence[str], domains: Sequence[str], lengths: Sequence[int]) -> None:
        """Learn from responses: prompt, domain and length of each."""
        for known, names in ((self._prompts, prompts), (self._domains, domains)):
            found: dict[str, list[int]] = {}
            for name, length in zip(names, lengths, strict=True):
                found.setdefault(name, []).append(length)
            for name, values in found.items():
                mean = sum(values) / len(values)
                known[name] = self._memory * known[name] + (1 - self._memory) * mean if name in known else mean

    def expected(self, row: Mapping[str, Any]) -> float:
        """Return the length that a prompt's responses are likely to have: by itself, else by its domain, else 0."""
        by_domain = self._domains.get(str(row.get("domain", "")), 0.0)
        return self._prompts.get(str(row.get("problem_id", "")), by_domain)

    def longest_first(self, rows: list[MetricsRow]) -> None:
        """Sort prompts in place: the longest responses are expected of the first; equals keep their order."""
        rows.sort(key=lambda row: -self.expected(row))

    def state(self) -> dict[str, Any]:
        return {"prompts": self._prompts, "domains": self._domains}

    def restore(self, state: Mapping[str, Any]) -> None:
        self._prompts, self._domains = dict(state["prompts"]), dict(state["domains"])


def penalty(length: int, longest: int, overlong: Overlong) -> float:
    """Return what a response of this length loses of its reward, from 0 to -1 (DAPO, arXiv 2503.14476, Eq. 13).

    Nothing up to longest - buffer tokens, then in proportion, and -1 at `longest`.
    """
    if overlong.buffer is None:
        return 0.0
    return max(-1.0, min(0.0, (longest - overlong.buffer - length) / overlong.buffer))
