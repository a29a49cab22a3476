"""The entropy of a checkpoint on given traces instead of its own responses, measured once and kept."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from ringlite_cli.chat.thinking import is_answer_alone
from ringlite_cli.evals import metrics
from ringlite_cli.evals.pick import Candidate
from ringlite_cli.evals.responses import model_key
from ringlite_cli.presence import is_there
from ringlite_cli.problems import Problem, chat_messages
from ringlite_cli.runs.files import read_json, write_json
from ringlite_cli.samples import Request, Sampler

ForcedOf = Callable[[Sampler, Sequence[tuple[Request, str]]], list[tuple[float, float, int]]]
"""(entropy, loss, tokens) of each trace, in nats per token."""


class ForcedLog:
    """forced.json: candidate -> its model's key and [entropy, loss, tokens] of every trace that reasons."""

    def __init__(
        self, folder: Path, forced_of: ForcedOf | None, problems: Sequence[Problem], suffix: Mapping[str, str]
    ) -> None:
        self.path, self._forced_of = folder / "forced.json", forced_of
        self._traces = [
            (Request(p.id, chat_messages(p, suffix)), p.trace)
            for p in problems
            if p.trace and forced_of is not None and not is_answer_alone(p.domain, p.trace)
        ]
        self._found = read_json(self.path) if is_there(self.path) else {}

    def lacks(self, name: str, model: Path) -> bool:
        """Return whether the traces still have to be scored under a candidate."""
        return bool(self._traces) and self._found.get(name, {}).get("key") != self._key(model)

    def measure(self, name: str, model: Path, sampler: Sampler) -> None:
        if self._forced_of is None or not self.lacks(name, model):
            return
        rows = self._forced_of(sampler, self._traces)
        self._found[name] = {"key": self._key(model), "rows": [list(row) for row in rows]}
        write_json(self.path, self._found)

    def add_to(self, candidate: Candidate, seed: int) -> Candidate:
        """The candidate with its mean entropy and loss per token of the traces."""
        rows = self._found.get(candidate.name, {}).get("rows", []) if self._traces else []
        tokens = [row[2] for row in rows]
        if not sum(tokens):
            return candidate
        entropies, losses = ([row[i] * row[2] for row in rows] for i in (0, 1))
        return replace(
            candidate,
            forced_entropy=sum(entropies) / sum(tokens),
            forced_entropy_ci95=metrics.bootstrap(entropies, tokens, seed=seed),
            forced_loss=sum(losses) / sum(tokens),
        )

    def _key(self, model: Path) -> list[object]:
        asked = json.dumps([[list(request.messages), trace] for request, trace in self._traces])
        return [model_key(model), hashlib.sha256(asked.encode()).hexdigest()]
