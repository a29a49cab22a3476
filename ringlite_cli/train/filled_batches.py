"""Which rows of an epoch's last batches are repeated ones.

accelerate fills the last batches of an epoch with rows from its start, so that all ranks make equally many passes. Of
few long rows on many ranks that may be most of a batch.
"""

from typing import Any


class FilledBatches:
    """For a Trainer that trains and counts each row once an epoch."""

    accelerator: Any
    args: Any
    train_dataset: Any
    _train_batch_size: int

    def repeats_rows(self) -> bool:
        """Return whether the last batches of an epoch are filled with rows that were in others."""
        ranks, dropped = self.accelerator.num_processes, self.args.dataloader_drop_last
        return ranks > 1 and not dropped and len(self.train_dataset) % self._of_all_ranks() > 0

    def own_rows_of_last(self) -> int | None:
        """Return how many rows of the batch that was read last are this rank's; None where all of them are.

        Metrics are no longer cut by accelerate then: it would leave out ranks, in all batches of the step.
        """
        state = self.accelerator.gradient_state
        if not (self.repeats_rows() and state.end_of_dataloader):
            return None
        state.active_dataloader.remainder = 0
        last = len(self.train_dataset) % self._of_all_ranks()
        return int(max(0, last - self.accelerator.process_index * self._train_batch_size))

    def _of_all_ranks(self) -> int:
        return int(self._train_batch_size * self.accelerator.num_processes)
