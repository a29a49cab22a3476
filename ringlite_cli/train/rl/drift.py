"""How far engine and trainer are apart in a step: quantiles of |ln k| by the age of tokens and by domain."""

from collections.abc import Sequence

import torch
from accelerate import Accelerator
from torch import Tensor

from ringlite_cli.c3po.loss import LossSums
from ringlite_cli.c3po.mismatch import BINS, Remedy
from ringlite_cli.runs.row_types import MetricsRow

OLDEST = 15
"""Tokens older than this count as if they were of this age."""
QUANTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99}


class Drift:
    """Counts the tokens of a step in bins; `close` gives the step's numbers and starts the next one's."""

    def __init__(self, accelerator: Accelerator, remedy: Remedy) -> None:
        self._accelerator, self._remedy = accelerator, remedy
        self.forget()

    def forget(self) -> None:
        """Drop what was counted since the last step."""
        self._counts: Tensor | None = None  # (ages and domains, bins)
        self._learned: Tensor | None = None  # (bins,) of what the remedy is calibrated by

    def add(self, sums: LossSums, row: MetricsRow, domains: int) -> None:
        """Count a row's tokens. domains: how many there are in the step; the row has a number of each token's."""
        drawn = sums.drawn
        if drawn is None:
            return
        kept = drawn.mask
        places = BINS.places(drawn.log_k.abs()[kept])
        none = torch.zeros_like(drawn.sample)
        ages = row.get("ages", none)[kept].clamp(max=OLDEST)
        of_domain = OLDEST + 1 + row.get("domains", none)[kept]
        groups = OLDEST + 1 + domains
        both = torch.cat([ages * BINS.count + places, of_domain * BINS.count + places])
        counts = torch.bincount(both, minlength=groups * BINS.count)
        self._counts = counts if self._counts is None else self._counts + counts
        if self._remedy.learns and self._remedy.rule.calibrated_by is not None:
            learned = BINS.counts(self._remedy.rule.calibrated_by(drawn)[kept])
            self._learned = learned if self._learned is None else self._learned + learned

    def close(self, domains: Sequence[str]) -> MetricsRow:
        """Return the step's numbers over all ranks, {} where no rank's engine told; the remedy learns from them."""
        if not domains:
            return {}
        groups, device = OLDEST + 1 + len(domains), self._accelerator.device
        counts = self._counts if self._counts is not None else torch.zeros(groups * BINS.count, device=device).long()
        counts = self._accelerator.reduce(counts, reduction="sum").view(groups, BINS.count).cpu()
        if self._remedy.learns:
            learned = self._learned if self._learned is not None else torch.zeros(BINS.count, device=device).long()
            self._remedy.learn(self._accelerator.reduce(learned, reduction="sum").cpu())
        self.forget()
        if not counts.any():
            return {}
        ages, of_domain = counts[: OLDEST + 1], counts[OLDEST + 1 :]
        return {
            **{f"mismatch_{name}": BINS.quantile(ages.sum(0), share) for name, share in QUANTILES.items()},
            "mismatch_by_age": {str(age): _quantiles(found) for age, found in enumerate(ages) if found.any()},
            "mismatch_by_domain": {
                name: _quantiles(found) for name, found in zip(domains, of_domain, strict=True) if found.any()
            },
            "tokens_by_age": {str(age): int(found.sum()) for age, found in enumerate(ages) if found.any()},
        }


def _quantiles(counts: Tensor) -> dict[str, float]:
    return {name: BINS.quantile(counts, share) for name, share in QUANTILES.items()}
