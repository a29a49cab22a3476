"""Rows on several ranks: accelerate's own shares of an epoch, in which each row carries loss once."""

from types import SimpleNamespace

import pytest
import torch
from accelerate.data_loader import BatchSamplerShard
from torch.utils.data import BatchSampler

from ringlite_cli.train.sft.each_once import EachRowOnce


class Plain:
    """What a Trainer does of it: batches off an iterator, and their tokens with loss."""

    def get_batch_samples(self, epoch_iterator, num_batches, device):
        batches = [next(epoch_iterator) for _ in range(num_batches)]
        return batches, self._get_num_items_in_batch(batches, device)

    def _get_num_items_in_batch(self, batches, device):
        return int(sum((batch["labels"] != -100).sum() for batch in batches))


class Trained(EachRowOnce, Plain):
    def __init__(self, rows, rank, ranks, size, joined):
        state = SimpleNamespace(active_dataloader=SimpleNamespace(remainder=-1))  # as after a resume
        self.accelerator = SimpleNamespace(num_processes=ranks, process_index=rank, gradient_state=state, reduce=of_one)
        self._total_train_tokens = 0
        self.args, self._train_batch_size = SimpleNamespace(dataloader_drop_last=False), size
        self.train_dataset, self.data_collator = [{"input_ids": [i + 1] * (i % 3 + 1)} for i in range(rows)], collator
        self.joined = joined
        self.tell_lengths()

    def epoch(self):
        shard = BatchSamplerShard(
            BatchSampler(range(len(self.train_dataset)), self._train_batch_size, False),
            self.accelerator.num_processes,
            self.accelerator.process_index,
        )
        made = [self.data_collator([self.train_dataset[i] for i in batch]) for batch in shard]
        batches, tokens = [], 0
        for place, batch in enumerate(made, 1):
            self.accelerator.gradient_state.end_of_dataloader = place == len(made)
            given = batch if self.joined else batch | {"labels": apart(batch["rows"])}
            step, counted = self.get_batch_samples(iter([given]), 1, None)
            batches, tokens = batches + step, tokens + counted
        return batches, tokens


def of_one(tensor, reduction):
    """The sum over ranks, of one that is alone."""
    return tensor


def collator(rows):
    return {"labels": torch.tensor([i for row in rows for i in row["input_ids"]])[None], "rows": rows}


def apart(rows):
    longest = max(len(row["input_ids"]) for row in rows)
    return torch.tensor([[*row["input_ids"], *[-100] * (longest - len(row["input_ids"]))] for row in rows])


@pytest.mark.parametrize("joined", [True, False], ids=["end to end", "padded"])
@pytest.mark.parametrize(("rows", "ranks", "size"), [(9, 2, 1), (7, 2, 2), (3, 4, 2), (1, 2, 1), (8, 2, 2), (11, 4, 2)])
def test_each_row_carries_loss_once(rows, ranks, size, joined):
    labels, tokens, passes, repeated = [], 0, set(), 0
    for rank in range(ranks):
        trained = Trained(rows, rank, ranks, size, joined)
        batches, counted = trained.epoch()
        assert trained.accelerator.gradient_state.active_dataloader.remainder == (
            0 if rows % (ranks * size) else -1
        )  # 0: none is cut
        assert all(batch.keys() == {"labels", "rows"} for batch in batches)
        held = sum(len(row["input_ids"]) for batch in batches for row in batch["rows"])
        repeated += held - counted
        assert trained._total_train_tokens == counted - held
        labels += [int(i) for batch in batches for i in batch["labels"].flatten() if i != -100]
        tokens, passes = tokens + counted, passes | {len(batches)}
    assert sorted(labels) == [i + 1 for i in range(rows) for _ in range(i % 3 + 1)]
    assert tokens == len(labels)
    assert (repeated > 0) == (rows % (ranks * size) > 0)
    assert len(passes) == 1  # all ranks make equally many
