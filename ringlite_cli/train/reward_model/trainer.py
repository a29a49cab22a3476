"""TRL's RewardTrainer with a loss that is the mean over all pairs of a step, in however many batches and on all ranks.

TRL takes the mean of its batches' means: a pair weighs more in a smaller batch. And accelerate fills the last batches
of an epoch with pairs that were in others: here they are passed without loss, and counted nowhere.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ringlite_cli.train.epoch_order import OrderedByEpoch
from ringlite_cli.train.filled_batches import FilledBatches
from ringlite_cli.train.finite import FiniteGradients
from ringlite_cli.train.resume.checkpoints import load_weights

if TYPE_CHECKING:
    from trl import RewardTrainer

_PAIRS = "ringlite_pairs"
"""How many pairs of a batch, from its first one, are this rank's own."""


class _Found:
    """What the pairs since the last log got, as the sums and extremes of one rank."""

    def __init__(self, device: torch.device) -> None:
        self._sums = torch.zeros(4, dtype=torch.float64, device=device)  # pairs, ranked right, margins, scores
        self._ends = torch.full((2,), -torch.inf, dtype=torch.float64, device=device)  # -lowest and highest score

    def add(self, chosen: Tensor, rejected: Tensor) -> None:
        """Add scores of pairs."""
        margins, scores = chosen - rejected, torch.cat((chosen, rejected))
        seen = (torch.ones_like(margins).sum(), (margins > 0).sum(), margins.sum(), scores.sum())
        self._sums += torch.stack([one.double() for one in seen])
        if len(scores):
            self._ends = torch.maximum(self._ends, torch.stack((-scores.min(), scores.max())).double())

    def metrics(self, accelerator: Any) -> dict[str, float]:
        """Return TRL's metrics of the pairs of all ranks; {} where there was none."""
        pairs, right, margins, scores = accelerator.reduce(self._sums, reduction="sum").tolist()
        lowest, highest = accelerator.gather(self._ends[None]).amax(dim=0).tolist()
        if not pairs:
            return {}
        means = {"accuracy": right / pairs, "margin": margins / pairs, "mean_reward": scores / pairs / 2}
        return {**means, "min_reward": -lowest, "max_reward": highest}


def trainer_class() -> type["RewardTrainer"]:
    """Make the trainer's class; at use, for TRL is slow to import."""
    from trl import RewardTrainer

    class WholeRewardTrainer(FiniteGradients, OrderedByEpoch, FilledBatches, RewardTrainer):
        _found: _Found | None = None
        _of_step = 1  # pairs of the step at hand, over all ranks

        def get_batch_samples(self, epoch_iterator: Iterator[Any], num_batches: int, device: Any) -> Any:
            batches, items = super().get_batch_samples(epoch_iterator, num_batches, device)
            for batch in batches:
                batch[_PAIRS] = len(batch["input_ids"]) // 2
            own = self.own_rows_of_last() if batches else None
            if own is not None:
                batches[-1][_PAIRS] = min(own, batches[-1][_PAIRS])
            counted = [(batch[_PAIRS], _tokens(batch["attention_mask"], batch[_PAIRS])) for batch in batches]
            sums = torch.tensor(counted, device=device).sum(dim=0)
            self._of_step, tokens = (int(n) for n in self.accelerator.reduce(sums, reduction="sum"))
            self._total_train_tokens += tokens
            return batches, items

        def compute_loss(
            self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
        ) -> Any:
            own = inputs.pop(_PAIRS)
            outputs = model(**inputs, use_cache=False)
            chosen, rejected = (side[:own] for side in outputs.logits.squeeze(-1).chunk(2))
            losses = -torch.nn.functional.logsigmoid(chosen - rejected)
            if self.args.center_rewards_coefficient is not None:
                losses = losses + self.args.center_rewards_coefficient * (chosen + rejected) ** 2
            self._found = self._found or _Found(losses.device)
            self._found.add(chosen.detach(), rejected.detach())
            # Trainer divides by the batches of a step, and takes the mean of the ranks' gradients
            loss = losses.sum() / self._of_step * self.current_gradient_accumulation_steps
            loss = loss * self.accelerator.num_processes
            return (loss, outputs) if return_outputs else loss

        def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
            if self._found is not None:
                found = {**self._found.metrics(self.accelerator), "num_tokens": self._total_train_tokens}
                self._metrics["train"].update({name: [value] for name, value in found.items()})
                self._found = None
            super().log(logs, *args, **kwargs)

        def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
            load_weights(self.accelerator.unwrap_model(model or self.model), resume_from_checkpoint)

    return WholeRewardTrainer


def _tokens(attention_mask: Tensor, pairs: int) -> int:
    """Return the tokens of both texts of a batch's first pairs."""
    return sum(int(side[:pairs].sum()) for side in attention_mask.chunk(2))
