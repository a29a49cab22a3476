"""What a remedy against mismatch is: a weight per token, made of what engine and trainer find of it.

Two ratios, neither used twice. r = pi / pi_old is the algorithm's, clipped, with a gradient. k = pi_old / pi_engine is
the remedy's: a constant for the gradient, with the log-probability as the engine drew the token, by whichever version
of the policy. The token's loss is the weight times its clipped term; the step's divisor does not change.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ringlite_cli.c3po.algorithm import mean_of_samples
from ringlite_cli.recipe.mismatch import Mismatch


@dataclass(frozen=True, slots=True)
class Drawn:
    """The tokens of a row, as a remedy sees them. Tensors are (1, T), without gradient.

    log_k: ln(pi_old / pi_engine), 0 where the engine gave no log-probability. old_log_probs: of the policy that the
    update began with. mask: which tokens are trained. sample: the number of each token's sample in the row, from 0.
    cap, low, high, bound: the rule's numbers.
    """

    log_k: Tensor
    old_log_probs: Tensor
    mask: Tensor
    sample: Tensor
    cap: float = 2.0
    low: float = 0.0
    high: float = math.inf
    bound: float = math.inf

    @property
    def k(self) -> Tensor:
        return self.log_k.exp()

    def inside(self, values: Tensor) -> Tensor:
        """Return where values lie in the band from low to high, both included."""
        return (values >= self.low) & (values <= self.high)

    def mean_of_samples(self, values: Tensor) -> Tensor:
        """Return for each token the mean of `values` over the trained tokens of its sample."""
        return mean_of_samples(values, self.sample, self.mask)


@dataclass(frozen=True)
class Rule:
    """One remedy. Files under c3po/mismatches/ hold one each; a recipe may name another as `module:object`.

    weigh: the weight of each token, (1, T). band: its default low and high. masks: whether a weight of 0 leaves a token
    out. calibrated_by: a number per token whose quantile becomes `bound`; None where there is nothing to calibrate.
    """

    name: str
    weigh: Callable[[Drawn], Tensor]
    band: tuple[float, float] = (0.0, math.inf)
    masks: bool = False
    calibrated_by: Callable[[Drawn], Tensor] | None = None


class Remedy:
    """A rule with its numbers, and what it has learned: the same on all ranks; saved with a checkpoint."""

    def __init__(self, rule: Rule, settings: Mismatch) -> None:
        self.rule, self._settings = rule, settings
        self.bound = math.inf if settings.divergence is None else settings.divergence

    @property
    def learns(self) -> bool:
        """Return whether the bound follows from the tokens of the step before."""
        return self.rule.calibrated_by is not None and self._settings.divergence is None

    def drawn(self, log_k: Tensor, old_log_probs: Tensor, mask: Tensor, sample: Tensor) -> Drawn:
        """Return tokens as the rule sees them, with its numbers."""
        low, high = self.rule.band
        given = self._settings
        low, high = low if given.low is None else given.low, high if given.high is None else given.high
        return Drawn(log_k.detach(), old_log_probs.detach(), mask, sample, given.cap, low, high, self.bound)

    def learn(self, counts: Tensor) -> None:
        """Set the bound for the next step. counts: `Bins.counts` of the step's tokens, over all ranks."""
        if counts.sum() > 0:
            self.bound = BINS.quantile(counts, 1 - self._settings.masked_share)

    def state(self) -> dict[str, Any]:
        return {"bound": self.bound if math.isfinite(self.bound) else None}

    def restore(self, state: dict[str, Any]) -> None:
        if self.learns and state["bound"] is not None:
            self.bound = float(state["bound"])


@dataclass(frozen=True, slots=True)
class Bins:
    """Counts of numbers in bins of equal ratio: quantiles that do not depend on how tokens are shared among rows."""

    smallest: float = 1e-9
    largest: float = 1e2
    count: int = 1100

    def counts(self, values: Tensor) -> Tensor:
        """Return how many of the values lie in each bin; (count,) int64. Values outside count at the ends."""
        return torch.bincount(self.places(values), minlength=self.count)

    def places(self, values: Tensor) -> Tensor:
        """Return the bin of each value."""
        share = (values.float().clamp(self.smallest, self.largest) / self.smallest).log() / self._span
        return (share * self.count).long().clamp(0, self.count - 1)

    def quantile(self, counts: Tensor, share: float) -> float:
        """Return the upper edge of the bin below or in which `share` of the counted values lie; 0 without any."""
        total = int(counts.sum())
        if not total:
            return 0.0
        place = int(torch.searchsorted(counts.cumsum(0), torch.tensor(max(1, math.ceil(share * total)))))
        return self.smallest * math.exp(self._span * (place + 1) / self.count)

    @property
    def _span(self) -> float:
        return math.log(self.largest / self.smallest)


BINS = Bins()
"""1,100 bins over 11 decades: an edge is within 2.4 % of its neighbour."""
